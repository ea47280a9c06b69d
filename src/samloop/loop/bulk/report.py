"""What came of a bulk run: counts and reasons per file, distributions, as JSON, as Markdown and as pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from samloop.example import STATES
from samloop.files import write_atomic
from samloop.loop.bulk.pictures import histogram
from samloop.loop.bulk.unit import MANIFEST_FILE, rows_of
from samloop.loop.counts import COUNTS, SourceReport
from samloop.protocols import Reject

SCORE_EDGES: Final = np.round(np.linspace(0, 1, 21), 2)
LENGTH_EDGES: Final = 2.0 ** np.arange(0, 25)
"""Bins of characters and of tokens: each twice as wide as the one before."""

ACCEPTED, REVIEW, REJECTED = (STATES.index(state) for state in ("accepted", "review", "rejected"))
NEAR_DUPLICATE: Final = "near-duplicate"
"""The reason of a rejection for the sake of another example."""

OUTCOMES: Final = ("accepted", "review", "rejected")


@dataclass(slots=True)
class Tally:
    """Counts of a run, unit by unit. ``read == added + duplicate + rejected + review`` holds for each file."""

    files: dict[str, SourceReport] = field(default_factory=dict)
    score: np.ndarray = field(default_factory=lambda: np.zeros((3, len(SCORE_EDGES) - 1), dtype=np.int64))
    characters: np.ndarray = field(default_factory=lambda: np.zeros((3, len(LENGTH_EDGES) - 1), dtype=np.int64))
    tokens: np.ndarray = field(default_factory=lambda: np.zeros(len(LENGTH_EDGES) - 1, dtype=np.int64))
    token_count: int = 0

    def turn_away(self, reject: Reject) -> None:
        """Count a place that held no data: one record read, and rejected."""
        report = self._of(reject.location)
        report.read += 1
        report.rejected += 1
        report.reasons[reject.reason] += 1

    def add(self, folder: Path, stays: np.ndarray, near: Sequence[int] = ()) -> None:
        """Count the unit in `folder`.

        Args:
            stays: a boolean per row: whether it is no exact duplicate of an earlier one.
            near: rows that are rejected as near-duplicates.
        """
        manifest = orjson.loads((folder / MANIFEST_FILE).read_bytes())
        rows, states = np.array(rows_of(folder)), len(STATES)
        if near:
            rows["state"][near], rows["reason"][near] = REJECTED, len(manifest["reasons"])
            manifest["reasons"].append(NEAR_DUPLICATE)
        reports = [self._of(location) for location in manifest["locations"]]
        portion = np.asarray(rows["portion"], dtype=np.int64)
        counts = np.bincount(portion[stays] * states + rows["state"][stays], minlength=len(reports) * states)
        counts = counts.reshape(len(reports), states)
        again = np.bincount(portion[~stays], minlength=len(reports))
        for at, report in enumerate(reports):
            turned_away = manifest["turned_away"][at]
            report.added += int(counts[at, ACCEPTED])
            report.review += int(counts[at, REVIEW])
            report.rejected += int(counts[at, REJECTED]) + sum(turned_away.values())
            report.duplicate += int(again[at])
            report.read += int(counts[at].sum() + again[at]) + sum(turned_away.values())
            report.reasons.update(turned_away)
            report.redacted.update(manifest["redacted"][at])
        self._count_reasons(reports, manifest["reasons"], portion[stays], rows["reason"][stays])
        self._measure(rows[stays], manifest["tokens"])

    def _of(self, location: str) -> SourceReport:
        return self.files.setdefault(location, SourceReport("datasets", location))

    def _count_reasons(
        self, reports: Sequence[SourceReport], names: Sequence[str | None], portion: np.ndarray, reason: np.ndarray
    ) -> None:
        counts = np.bincount(portion * len(names) + reason, minlength=len(reports) * len(names))
        for code in np.flatnonzero(counts).tolist():
            at, name = code // len(names), names[code % len(names)]
            if name is not None:
                reports[at].reasons[name] += int(counts[code])

    def _measure(self, rows: np.ndarray, tokens: Sequence[int]) -> None:
        for at, state in enumerate((ACCEPTED, REVIEW, REJECTED)):
            some = rows[rows["state"] == state]
            self.score[at] += np.histogram(np.round(some["score"].astype(np.float64), 4), SCORE_EDGES)[0]
            self.characters[at] += np.histogram(np.clip(some["characters"], 1, None), LENGTH_EDGES)[0]
        self.tokens += np.histogram(np.clip(tokens, 1, None), LENGTH_EDGES)[0]
        self.token_count += len(tokens)

    def document(self) -> dict[str, Any]:
        """Totals and files, as `collect --json` has them, without seconds: the same input gives the same bytes."""
        files = [{k: v for k, v in report.to_dict().items() if k != "seconds"} for report in self.files.values()]
        totals: dict[str, Any] = {name: sum(entry[name] for entry in files) for name in COUNTS}
        redacted: Counter[str] = sum((report.redacted for report in self.files.values()), Counter())
        return {"totals": totals | {"redacted": dict(sorted(redacted.items()))}, "sources": files}

    def histograms(self) -> dict[str, Any]:
        """The distributions: edges of the bins, and how many examples lie in each; duplicates are left out."""
        length, tokens = _bins(self.characters.sum(axis=0)), _bins(self.tokens)
        return {
            "score": {"edges": SCORE_EDGES.tolist(), **_by_outcome(self.score)},
            "characters": {"edges": _edges(length), **_by_outcome(self.characters[:, :length])},
            "tokens": {
                "edges": _edges(tokens),
                "sampled": self.tokens[:tokens].tolist(),
                "examples": self.token_count,
            },
        }


def _bins(counts: np.ndarray) -> int:
    """How many bins there are up to the last that holds something."""
    filled = np.flatnonzero(counts)
    return int(filled[-1]) + 1 if len(filled) else 1


def _edges(bins: int) -> list[int]:
    return [int(edge) for edge in LENGTH_EDGES[: bins + 1]]


def _by_outcome(counts: np.ndarray) -> dict[str, list[int]]:
    return {name: counts[at].tolist() for at, name in enumerate(OUTCOMES)}


def write_pictures(folder: Path, histograms: Mapping[str, Any], base: str) -> None:
    """score.svg, length.svg and tokens.svg in `folder`."""
    score, characters, tokens = (histograms[name] for name in ("score", "characters", "tokens"))
    title = f"Tokens of {tokens['examples']:,} accepted examples, drawn evenly ({base})"
    for name, of, series, label, above in (
        ("score", score, OUTCOMES, "quality score", "Score"),
        ("length", characters, OUTCOMES, "characters", "Length"),
        ("tokens", tokens | {"accepted": tokens["sampled"]}, ("accepted",), "tokens", title),
    ):
        picture = histogram(of["edges"], {one: of[one] for one in series}, label, above)
        write_atomic(folder / f"{name}.svg", picture.encode())


def markdown(data: Mapping[str, Any]) -> str:
    """The report as a page."""
    totals = data["totals"]
    lines = ["# Curation", "", "| file | read | added | duplicate | rejected | review |", "|---|--:|--:|--:|--:|--:|"]
    shown = data["sources"][:MOST_FILES]
    for entry in shown:
        cells = " | ".join(f"{entry[name]:,}" for name in COUNTS)
        lines.append(f"| {_cell(entry['location'])} | {cells} |")
    if len(data["sources"]) > len(shown):
        lines.append(f"| and {len(data['sources']) - len(shown):,} more in report.json | | | | | |")
    lines += [f"| **all** | {' | '.join(f'**{totals[name]:,}**' for name in COUNTS)} |", ""]
    reasons: Counter[str] = sum((Counter(entry["reasons"]) for entry in data["sources"]), Counter())
    if reasons:
        lines += ["## Turned away, or sent to review, because", "", "| examples | reason |", "|--:|---|"]
        lines += [
            f"| {n:,} | {_cell(reason)} |" for reason, n in sorted(reasons.items(), key=lambda r: (-r[1], r[0]))
        ]
        lines.append("")
    if near := data["near_duplicates"]:
        lines += ["## Near-duplicates", ""]
        lines += [f"{near['removed']:,} rejected, each for one that is like it and better: rejects.jsonl names both."]
        lines += [f"{near['clustered']:,} examples belong together with others: see their cluster.", ""]
        if near["pairs"]:
            lines += ["| stays | goes | alike |", "|---|---|--:|"]
            lines += [f"| {_cell(p['kept'])} | {_cell(p['id'])} | {p['alike']:.0%} |" for p in near["pairs"]] + [""]
    if totals["redacted"]:
        lines += ["## Taken out of texts", "", "| times | type |", "|--:|---|"]
        lines += [f"| {n:,} | {name} |" for name, n in totals["redacted"].items()] + [""]
    lines += ["## Distributions", "", "Duplicates are left out.", ""]
    lines += [f"![{name}]({name}.svg)" for name in ("score", "length", "tokens")] + [""]
    lines += ["## Shards", ""]
    lines += [f"- {s['name']}: {s['rows']:,} examples" for s in data["shards"]] or ["None: nothing was accepted."]
    return "\n".join(lines) + "\n"


MOST_FILES: Final = 200
"""Files listed in the Markdown page; report.json lists all."""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("![", "!&#91;")
