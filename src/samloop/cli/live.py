"""A training run as it goes: two lines that stay in place on a terminal, a line per report elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from samloop.cli.output import Output, duration, figure, safe

BAR_COLUMNS: Final = 24

Tell = Callable[[Mapping[str, Any]], None]
"""Called with each line of a run's metrics, events included."""


class View:
    """What is known of a run from the lines told so far."""

    def __init__(self) -> None:
        self._latest: dict[str, Any] = {}
        self._best: float | None = None
        self._note = ""

    def tell(self, line: Mapping[str, Any]) -> None:
        """Take one line in."""
        if "event" in line:
            self._note = _note(line)
            return
        self._note = ""
        kept = {"validation_loss": self._latest.get("validation_loss")} if line.get("step") else {}
        self._latest = {**kept, **{name: value for name, value in line.items() if value is not None}}
        validation = line.get("validation_loss")
        if validation is not None and line.get("step"):
            self._best = validation if self._best is None else min(self._best, validation)

    def lines(self) -> list[str]:
        """How far it is, and its figures: 80 columns at most where the figures are ordinary."""
        now = self._latest
        if not now:
            return [f"loading the base {self._note}".rstrip()]
        step, steps = int(now.get("step", 0)), max(1, int(now.get("steps", 1)))
        filled = min(BAR_COLUMNS, BAR_COLUMNS * step // steps)
        parts = [f"step {step:,} of {steps:,}", "━" * filled + "╌" * (BAR_COLUMNS - filled), f"{step / steps:.0%}"]
        if now.get("phase"):
            parts.append(str(now["phase"]))
        if self._note:
            parts.append(self._note)
        elif now.get("eta_seconds"):
            parts.append(f"{duration(now['eta_seconds'])} left")
        return [safe("  ".join(parts)), safe("  ".join(self._figures()))]

    def line(self) -> str:
        """The same as one line for a file or a pipe, without the bar."""
        now = self._latest
        if self._note or not now:
            where = f"step {now['step']:,}  " if now else ""
            return safe(f"{where}{self._note or 'loading the base'}")
        left = f"  {duration(now['eta_seconds'])} left" if now.get("eta_seconds") else ""
        return safe(f"step {now.get('step', 0):,} of {now.get('steps', 0):,}  {'  '.join(self._figures())}{left}")

    def _figures(self) -> list[str]:
        now, figures = self._latest, []
        for name, label in (("loss", "loss"), ("validation_loss", "validation"), ("accuracy", "accuracy")):
            if now.get(name) is not None:
                best = f" (best {figure(self._best)})" if name == "validation_loss" and self._best is not None else ""
                figures.append(f"{label} {figure(now[name])}{best}")
        if now.get("tokens_per_second"):
            figures.append(f"{now['tokens_per_second']:,.0f} tokens/s")
        if now.get("memory_bytes"):
            figures.append(f"{now['memory_bytes'] / 10**6:,.0f} MB")
        return figures


def _note(event: Mapping[str, Any]) -> str:
    if event["event"] == "paused":
        from samloop.train.guard import describe

        return f"paused: {describe(dict(event))}"
    if event["event"] == "reference":
        return f"asking the base about pairs: {event.get('done', 0):,} of {event.get('total', 0):,}"
    return ""


@contextmanager
def live(out: Output, *, lines: bool = False) -> Iterator[Tell]:
    """Show a run while the block runs, on standard error where that is a terminal.

    Args:
        lines: where it is none, print a line per report on standard output, unless that is to be a JSON document.
    """
    view = View()
    if not out.errors.is_terminal:

        def report(line: Mapping[str, Any]) -> None:
            view.tell(line)
            if lines and not out.as_json and line.get("event") != "reference":
                out.line(view.line())

        yield report
        return
    from rich.live import Live
    from rich.text import Text

    def drawn() -> Text:
        return Text("\n".join(view.lines()), no_wrap=True, overflow="ellipsis")

    with Live(drawn(), console=out.errors, transient=True, refresh_per_second=4) as shown:

        def tell(line: Mapping[str, Any]) -> None:
            view.tell(line)
            shown.update(drawn())

        yield tell
