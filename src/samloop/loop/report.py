"""The report of a turn: what came in, what was turned away and why, what was learnt, decided, and what is next."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from samloop.files import private_folder, storing, write_atomic, write_json
from samloop.loop.context import Context
from samloop.loop.learning_text import learning_lines
from samloop.settings import MAIN
from samloop.train import told

WIDTH: Final = 78
SAMPLE_CHARACTERS: Final = 64
SEEN: Final = ("_trained_wordings", "_source_loss")
"""What the names of measures end with whose items adapters have been trained on."""


@dataclass(slots=True)
class TurnReport:
    """Everything a turn has to say, as plain data and as text."""

    started_at: float
    program: str = "samloop"
    slot: str = MAIN
    collected: dict[str, Any] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)
    due: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] | None = None
    run: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None
    learning: dict[str, Any] | None = None
    decision: dict[str, Any] | None = None
    others: list[TurnReport] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0
    path: Path | None = None

    def finish(self, context: Context) -> TurnReport:
        """Close the report; one of a turn that trained is kept under reports/ in the home."""
        self.seconds = time.time() - self.started_at
        if self.run is None:
            return self
        folder = context.home.reports
        self.path = folder / f"{self.run['run_id']}.md"
        with storing("the report", folder):
            private_folder(folder)
            write_json(self.path.with_suffix(".json"), self.to_dict())
            write_atomic(self.path, f"```\n{self.to_text()}\n```\n".encode())
        return self

    @property
    def trained(self) -> bool:
        """Whether this turn produced an adapter."""
        return self.run is not None

    def to_dict(self) -> dict[str, Any]:
        """The document of `turn --json`: that of collect, and trials, due, dataset, run, evaluation and so on."""
        dataset = {k: v for k, v in (self.dataset or {}).items() if k != "ids"} or None
        evaluation = {k: v for k, v in (self.evaluation or {}).items() if k != "scores"} or None
        return {
            **self.collected,
            "trials": self.trials,
            "due": self.due,
            "dataset": dataset,
            "run": self.run,
            "evaluation": evaluation,
            "learning": self.learning,
            "decision": self.decision,
            "slots": {other.slot: {**other.to_dict(), "error": other.error} for other in self.others},
            "report": str(self.path) if self.path else None,
            "seconds": round(self.seconds, 1),
        }

    def to_text(self) -> str:
        """The report as a person reads it, 80 columns, no markup."""
        parts = [_collected(self.collected), _turned_away(self.collected)] if self.slot == MAIN else []
        parts.append(_on_trial(self.trials))
        if self.run is None:
            parts.append(_nothing(self.due, self.error))
        else:
            parts += [
                _dataset(self.dataset or {}),
                _run(self.run),
                _figures(self.evaluation or {}),
                _samples(self.evaluation or {}),
                _learning(self.learning),
                _decision(self.decision or {}),
                _next(self.decision or {}, self.run, self.program),
            ]
        for other in self.others:
            parts.append(f"══ Slot {other.slot} ".ljust(WIDTH, "═") + f"\n\n{other.to_text()}")
        return "\n\n".join(part for part in parts if part) + f"\n\nThis turn took {self.seconds:.1f} s."


def _heading(text: str) -> str:
    return f"── {text} ".ljust(WIDTH, "─")


def _table(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Rows of cells as aligned lines; the columns in `right` are set to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    right = set(right)
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _collected(collected: Mapping[str, Any]) -> str:
    names = ("read", "added", "duplicate", "rejected", "review")
    rows = [["source", *names, "redacted"]]
    entries = [*collected.get("sources", []), {"source": "total", **collected.get("totals", {})}]
    rows += [[entry["source"], *(str(entry.get(name, 0)) for name in names), str(_sum(entry))] for entry in entries]
    lines = [_heading("What came in"), *_table(rows, range(1, 7))]
    lines += [f"! {entry['error']}" for entry in collected.get("sources", []) if entry.get("error")]
    return "\n".join(lines)


def _sum(entry: Mapping[str, Any]) -> int:
    return sum(entry.get("redacted", {}).values())


def _turned_away(collected: Mapping[str, Any]) -> str:
    rows = [
        [str(count), reason, entry["source"]]
        for entry in collected.get("sources", [])
        for reason, count in list(entry["reasons"].items())[:6]
    ]
    if not rows:
        return ""
    return "\n".join([_heading("What was turned away or sent to review, and why"), *_table(rows, [0])])


def _on_trial(trials: Sequence[Mapping[str, Any]]) -> str:
    if not trials:
        return ""
    lines = [f"{one['challenger']} against {one['champion']}, {one['state']}: {one['reason']}." for one in trials]
    return "\n".join([_heading("On trial in service"), *map(_wrapped, lines)])


def _nothing(due: Mapping[str, Any], error: str | None) -> str:
    if error:
        return _wrapped(f"! nothing was trained: {error}")
    return f"{_heading('Nothing to train')}\n{due.get('reason', '')}."


def _dataset(dataset: Mapping[str, Any]) -> str:
    examples, tokens = dataset["examples"], dataset["tokens"]
    lines = [
        _heading("The dataset"),
        f"{dataset['digest'][:16]}: {examples['train']} examples to train on ({tokens['train']} tokens), "
        f"{examples['valid']} to validate, {examples['test']} held out",
    ]
    if dataset["fitted"].get("shortened"):
        lines.append(f"{dataset['fitted']['shortened']} long questions lost lines from their middle to fit")
    lines += [f"left out, {reason}: {_counts(counts)}" for reason, counts in dataset["left_out"].items()]
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _run(run: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            _heading("The run"),
            f"{run['run_id']}: {run['steps']} steps, {run['tokens_per_second']:.0f} tokens/s, "
            f"peak memory {run['peak_memory_bytes'] / 2**20:.0f} MiB",
            *(_wrapped(f"- {name}: {line}") for name, line in told.facts(run).items()),
            f"loss {told.loss(run) or 'not measured'}, validation loss {_loss(run['validation_loss'])}",
            f"loss curve: {run['curve']}",
        ]
    )


def _loss(nats: float | None) -> str:
    return "not measured" if nats is None else f"{nats:.3f} nats per token"


def _figures(evaluation: Mapping[str, Any]) -> str:
    """Base, champion and challenger beside each other, each with its confidence interval."""
    champion, challenger = evaluation["champion"], evaluation["challenger"]
    targets = list(dict.fromkeys(["base", champion, challenger]))
    titles = {"base": "base", champion: "champion", challenger: "challenger"} | {"base": "base"}
    rows = [["measure", "items", *(titles[target] for target in targets)]]
    for at, score in enumerate(evaluation["suites"][challenger]):
        if score["name"].endswith(SEEN):
            continue
        cells = [evaluation["suites"][target][at] for target in targets]
        name = score["name"].replace("_", " ")
        rows.append([name, str(score["items"]), *(_interval(cell) for cell in cells)])
    lines = [_heading("Before and after, on items no adapter has seen"), *_table(rows, range(1, 2 + len(targets)))]
    return "\n".join([*lines, "In brackets: 95 % bootstrap intervals."])


def _interval(cell: Mapping[str, Any]) -> str:
    if cell["unit"] == "share":
        return f"{cell['mean']:.1%} [{cell['low']:.1%}, {cell['high']:.1%}]"
    return f"{cell['mean']:.3g} [{cell['low']:.3g}, {cell['high']:.3g}]"


def _samples(evaluation: Mapping[str, Any]) -> str:
    challenger = evaluation["challenger"]
    lines = [_heading("The same held-out questions, asked before and after")]
    for sample in evaluation.get("samples", []):
        lines.append(f"? {_short(sample['question'])}")
        lines.append(f"  expected    {_short(sample['expected'] or '')}")
        lines.append(f"  base        {_short(sample['answers']['base'])}")
        lines.append(f"  challenger  {_short(sample['answers'][challenger])}")
    return "\n".join(lines) if len(lines) > 1 else ""


def _learning(learning: Mapping[str, Any] | None) -> str:
    return "\n".join([_heading("What became of corrections"), *learning_lines(learning)]) if learning else ""


def _short(text: str) -> str:
    """Text on one line; of a long one both ends, because questions of one kind often begin alike."""
    printable = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    if len(printable) <= SAMPLE_CHARACTERS:
        return printable
    tail = (SAMPLE_CHARACTERS - 3) * 2 // 3
    return f"{printable[: SAMPLE_CHARACTERS - 3 - tail].rstrip()} … {printable[-tail:].lstrip()}"


def _decision(decision: Mapping[str, Any]) -> str:
    # The summary ends with the first reason.
    lines = [decision["summary"], *(f"- {reason}" for reason in decision["reasons"][1:])]
    return "\n".join([_heading("The decision"), *(_wrapped(line) for line in lines)])


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="  " if line.startswith("- ") else "", break_on_hyphens=False)


def _next(decision: Mapping[str, Any], run: Mapping[str, Any], program: str) -> str:
    if decision["verdict"] == "promote":
        rows = [["chat", "talk to the new champion"], ["adapters rollback", "take it out again"]]
    else:
        rows = [
            [f"chat --adapter {decision['challenger']}", "see for yourself what it learnt"],
            ["collect …", "bring more data, above all corrections"],
        ]
    rows += [
        [f"runs show {run['run_id']}", "see the whole run"],
        ["turn", "take the next turn"],
    ]
    lines = [_heading("What to do next")]
    if program != "samloop":
        lines.append(f"samloop stands for: {program}")
    return "\n".join([*lines, *_table([[f"samloop {command}", why] for command, why in rows])])
