"""Progress on standard error: bars and spinners on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, Final

from samloop.cli.output import Output, duration, figure, shorten

Tell = Callable[[str, Mapping[str, Any]], None]
"""Called with the name of a stage and what there is to say about it."""

TITLE_COLUMNS: Final = 20
NEWS_COLUMNS: Final = 34
"""With spinner, bar and time they fill 80 columns."""


@contextmanager
def spinner(out: Output, title: str) -> Iterator[Callable[[str], None]]:
    """One line that turns while the block runs; the function given says what is being done."""
    if not out.errors.is_terminal:
        yield lambda _text: None
        return
    with out.errors.status(shorten(title, 60)) as status:
        yield lambda text: status.update(shorten(f"{title}: {text}", 60))


@contextmanager
def stages(out: Output) -> Iterator[Tell]:
    """A line per stage of the loop, with a bar where its end is known; they vanish when the block ends."""
    if not out.errors.is_terminal:
        yield lambda _stage, _news: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=10),
        TextColumn("{task.fields[news]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out.errors, transient=True) as progress:
        lines: dict[tuple[str, str], Any] = {}

        def tell(stage: str, news: Mapping[str, Any]) -> None:
            key = (stage, f"{news['source']} {news.get('location', '')}" if "source" in news else "")
            if key not in lines:
                for (other, _), line in lines.items():
                    if other != stage:  # it has ended when the next one speaks; sources are read side by side
                        progress.update(line, total=1, completed=1)
                lines[key] = progress.add_task(shorten(title(stage, news), TITLE_COLUMNS), total=None, news="")
            done, total = (1.0, 1.0) if news.get("ended") else position(news)
            progress.update(lines[key], completed=done, total=total, news=shorten(summary(news), NEWS_COLUMNS))

        yield tell


def title(stage: str, news: Mapping[str, Any]) -> str:
    """What a line is called: a source after what it reads, since several may be of one kind."""
    if "source" not in news:
        return stage
    return f"{stage} {PurePath(str(news.get('location') or news['source'])).name}"


def position(news: Mapping[str, Any]) -> tuple[float, float | None]:
    """How far a stage is, and how far it goes; None where that is not known."""
    for done, total in (("step", "steps"), ("done", "total")):
        if news.get(total):
            return float(news.get(done) or 0), float(news[total])
    return 0.0, None


def _kind(news: Mapping[str, Any]) -> str:
    return "dpo " if news.get("preference_loss") is not None else ""


def summary(news: Mapping[str, Any]) -> str:
    """One short line of what a stage says: its figures with their units, whatever else it carries."""
    parts = []
    if "read" in news:
        parts.append(f"{news['read']:,} read, {news['added']:,} added")
    if news.get("event") == "reference":
        parts.append("asking the base about pairs")
    if news.get("loss") is not None:
        parts.append(f"{_kind(news)}loss {figure(news['loss'], 3)}")
    if news.get("validation_loss") is not None:
        parts.append(f"valid. {figure(news['validation_loss'], 3)}")
    if news.get("eta_seconds"):
        parts.append(f"{duration(news['eta_seconds'])} left")
    if news.get("tokens_per_second"):
        parts.append(f"{news['tokens_per_second']:,.0f} tokens/s")
    parts += [str(news[name]) for name in ("target", "suite", "reason", "summary") if news.get(name)]
    return ", ".join(parts)
