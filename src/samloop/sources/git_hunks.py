"""What is shown of a change: an overview of its files, and the hunks from which a reader learns most.

A request has room for a few hunks, so they are ranked. Lines that name something new tell most; imports, comments,
brackets and lines that were only indented anew tell little. The best hunk of each file comes before the second of
any, code before tests and documentation, and a changelog last, since it gives the answer away. What many files have
in common is shown once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from samloop.sources.git_diff import PART_WEIGHT, Change, Diff, Hunk

MAX_SHOWN_FILES: Final = 10
MIN_ROOM: Final = 80
"""With less room left, no further hunk is begun."""

_MAX_TELLING: Final = 30.0
_GONE: Final = 0.5
"""What a line of a file that was deleted tells, against one of a file that stays."""

_LEADING_LINES: Final = 6
"""A cut hunk may begin with this many lines that tell little; more of them are left out."""

_NAMES: Final = re.compile(
    r"^\+\s*(?:pub(?:\([^)]*\))? |export |async |static |public |private |default )*"
    r"(?:def|fn|func|function|class|struct|enum|trait|interface|impl|type|module|const)\b"
)
_QUIET: Final = re.compile(r"^[+-]\s*(?:import\b|from\b.*\bimport\b|use\b|#include\b|//|#|\*|/\*)")
_WORDLESS: Final = re.compile(r"^[+-][^A-Za-z\u0080-\U0010ffff]*$")
_INLINE_TEST: Final = re.compile(r"#\[test\]|#\[cfg\(test\)\]|\bmod tests?\b")
_CHANGELOG: Final = re.compile(
    r"(?:^|/)(?:changelog|changes|history|news|release[-_]?notes)(?:\.\w+)?$", re.IGNORECASE
)


def overview(diff: Diff) -> str:
    """One line per file, those a person wrote first and most changed first, and a line of totals where several."""
    ranked = sorted(diff.changes, key=lambda c: (-c.weight, c.path))
    lines = [change.summary for change in ranked[:MAX_SHOWN_FILES]]
    if diff.files > len(lines):
        lines.append(f"and {diff.files - len(lines)} more")
    if diff.files > 1:
        lines.append(f"{diff.files} files changed, +{diff.insertions} -{diff.deletions}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, order=True)
class _Ranked:
    """A hunk in its place: those that tell most come first."""

    rank: int
    minus_value: float
    file: int
    number: int


def telling_hunks(diff: Diff, max_characters: int) -> str:
    """The most telling hunks that fit into `max_characters`, the file that tells most first; "" without any.

    The last one taken is cut at a line when it does not fit whole, and says so.
    """
    chosen: dict[int, dict[int, str]] = {}
    room = max_characters
    shown: set[tuple[str, ...]] = set()
    for place in sorted(_ranked(diff.changes)):
        change = diff.changes[place.file]
        hunk = change.hunks[place.number]
        said = _said(hunk)
        if said in shown:
            continue
        head = 0 if place.file in chosen else len(change.path) + 5
        text = _cut(hunk, room - head)
        if text:
            shown.add(said)
            chosen.setdefault(place.file, {})[place.number] = text
            room -= head + len(text) + 1
        if room < MIN_ROOM:
            break
    blocks = []
    for file, hunks in chosen.items():
        blocks.append(f"--- {diff.changes[file].path}")
        blocks += [hunks[number] for number in sorted(hunks)]
    return "\n".join(blocks)


def _ranked(changes: list[Change]) -> list[_Ranked]:
    places = []
    for at, change in enumerate(changes):
        weight = PART_WEIGHT[change.part] * (_GONE if change.what == "deleted" else 1.0)
        behind = 2 if _CHANGELOG.search(change.path) else 1 if change.part in ("test", "docs") else 0
        values = sorted(((weight * _telling(change, hunk), -n) for n, hunk in enumerate(change.hunks)), reverse=True)
        for rank, (value, minus_n) in enumerate(values):
            if value > 0:
                places.append(_Ranked(rank + behind + (value < 2), -value, at, -minus_n))
    return places


def _telling(change: Change, hunk: Hunk) -> float:
    """How much a reader learns from a hunk, at most `_MAX_TELLING`."""
    marked = [line for line in hunk.lines if line[:1] in ("+", "-")]
    removed = {line[1:].strip() for line in marked if line[0] == "-"}
    moved = removed and removed & {line[1:].strip() for line in marked if line[0] == "+"}
    value = 0.0
    for line in marked:
        if _WORDLESS.match(line):
            value += 0.1
        elif line[1:].strip() in moved:
            value += 0.2
        else:
            value += 0.3 if _QUIET.match(line) else 1.0
            value += 2.0 if _NAMES.match(line) else 0.0
        if value >= _MAX_TELLING:
            value = _MAX_TELLING
            break
    if change.part == "code" and _INLINE_TEST.search(hunk.text):
        value *= PART_WEIGHT["test"]
    return value


def _said(hunk: Hunk) -> tuple[str, ...]:
    """What a hunk changes, wherever it stands."""
    return tuple(line[0] + line[1:].strip() for line in hunk.lines if line[:1] in ("+", "-"))


def _cut(hunk: Hunk, room: int) -> str:
    """The hunk, or as many of its telling lines as fit; "" where those show less than two changed lines."""
    end = len(hunk.lines)
    while end and not hunk.lines[end - 1].strip():
        end -= 1
    whole = "\n".join((hunk.header, *hunk.lines[:end]))
    if len(whole) <= room:
        return whole
    start = _first_telling(hunk.lines)
    lines, used, changed = [hunk.header], len(hunk.header) + 2, 0
    if start:
        lines.append("…")
        used += 2
    for line in hunk.lines[start:end]:
        used += len(line) + 1
        if used > room:
            break
        lines.append(line)
        changed += line.startswith(("+", "-"))
    return "\n".join((*lines, "…")) if changed >= 2 else ""


def _first_telling(lines: list[str]) -> int:
    """Where a long hunk gets interesting: 0, or behind a long beginning of comments, imports and blank lines."""
    for at, line in enumerate(lines):
        if line[:1] in ("+", "-") and not _QUIET.match(line) and not _WORDLESS.match(line):
            return at if at > _LEADING_LINES else 0
    return 0
