"""The routing source: which helper a task should go to.

The answer is one of four labels:

- ``claude-code``: work in a code base. Changes over several files, tests, refactoring, debugging in a repository.
- ``chatgpt``: knowledge of the world, long texts written from scratch, brainstorming, questions one would search for.
- ``ollama``: private or offline work on a given text. Summarise, translate, rephrase or classify what the person
  pastes, which had better not leave the machine.
- ``local``: small things the device does by itself. Timers, unit conversion, arithmetic, opening a file, dates.

Real decisions come first: routes that people corrected, tasks that went to a teacher, and files of decisions.
Templates fill up. A fixed part of the wordings and of the fillings is never shown as an example: `held_out` makes the
items of the routing suite from it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import xxhash

from samloop.errors import SourceError
from samloop.example import Example
from samloop.files import readable
from samloop.protocols import Mark, Record, Reject, RowReader, Withdrawal, source
from samloop.sources.origin import seconds_of
from samloop.sources.routing_live import Decision, RowsRead, counted, live_decisions, plain
from samloop.sources.routing_templates import Wording, digest, wordings

LABELS: Final = ("claude-code", "chatgpt", "ollama", "local")
"""What a task can be routed to."""

DEFAULT_EXAMPLES: Final = 1600
"""Examples in all: five to six tasks per wording, few enough that the demo trains in minutes."""

ITEMS_PER_SLICE: Final = 200
"""Suite items per slice: an accuracy of 90 % then has a 95 % interval of about ± 4 points (binomial)."""

UNSEEN_FILLING: Final = "unseen filling"
UNSEEN_WORDING: Final = "unseen wording"

TEMPLATES_DATE: Final = 1767225600.0
"""created_at of template examples (2026-01-01): a constant, so that a second read yields the same bytes."""

HELD_OUT: Final = "held out for evaluation"

_HELD_OUT_SEED: Final = 20260101


def question(task: str, labels: Sequence[str] = LABELS) -> str:
    """The user message that asks for the route of `task`; the answer is the label alone."""
    named = " or ".join(filter(None, (", ".join(labels[:-1]), labels[-1])))
    return f"Route this task to {named}: {task}"


@source("routing", given=("rows",))
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    rows: RowReader | None = None,
    examples: int = DEFAULT_EXAMPLES,
    seed: int = 0,
    labels: Sequence[str] = LABELS,
    teachers: Mapping[str, str] | None = None,
    max_line_bytes: int = 1 << 20,
) -> Iterator[Record]:
    """Real decisions, live ones and those at `location`, then template tasks, so that each label has its equal part.

    Args:
        location: "" for what the store and the templates hold; or a JSONL file, or a folder of them, with one
            decision per line: ``{"task": …, "route": …}`` and, if known, ``"id"`` and ``"timestamp"`` (Unix seconds).
        since: the last mark, ``{"version", "files": {name: {"bytes", "digest", "routes": {label: n}}}, "live":
            {table: {"row", "routes"}}}``. New rows, and new lines of a grown file, are read; templates come again
            only when they or the options changed.
        rows: reads what was captured live; None: nothing was.
        examples: how many in all; real decisions are never cut.
        seed: of the draw of fillings.
        labels: the routes to choose from.
        teachers: which route a teacher stands for, by the beginning of its name, where that is not the route's.
        max_line_bytes: longer lines are turned away unread.

    Raises:
        SourceError: there is nothing at `location`.
    """
    labels = tuple(labels)
    paths = _decision_files(location)
    version = _short(f"{digest()}:{examples}:{seed}:{labels}")
    before = since or {}
    files: dict[str, Any] = dict(before.get("files", {}))
    tables: dict[str, Any] = dict(before.get("live", {}))
    reserved = _Reserved(labels)

    def mark(version: str | None) -> Mark:
        return Mark({"version": version, "files": dict(files)} | ({"live": dict(tables)} if tables else {}))

    routes = {table: Counter(state.get("routes", {})) for table, state in tables.items()}
    for found in live_decisions(rows, tables, labels, teachers or {}) if rows is not None else ():
        if isinstance(found, RowsRead):
            tables[found.table] = {"row": found.number, "routes": dict(routes.get(found.table, {}))}
            yield mark(before.get("version"))
            continue
        for record in _told(found, labels, reserved):
            if isinstance(record, Example) and isinstance(found, Decision):
                routes.setdefault(found.table, Counter())[record.output_text] += 1
            yield record
    for name, path in paths.items():
        lines = _Lines(path, files.get(name), max_line_bytes)
        # Those read before count as well: whoever goes on after a kill needs as many templates, and no more.
        decided = Counter(files[name].get("routes", {}) if lines.state["bytes"] else {})
        for record in _decisions(lines, path, labels, reserved):
            if isinstance(record, Example):
                decided[record.output_text] += 1
            yield record
        files[name] = {**lines.state, "routes": dict(decided)}
        if lines.fresh:
            yield mark(before.get("version"))
    if before.get("version") != version:
        counts = counted(files) + counted(tables)
        yield from _template_examples(labels, examples, seed, counts)
        yield mark(version)


def held_out(
    labels: Sequence[str] = LABELS, *, trained: Container[str] | None = None, per_slice: int = ITEMS_PER_SLICE
) -> list[dict[str, Any]]:
    """The routing suite's items: tasks that no example of this source ever showed.

    Slice "unseen filling" asks in wordings that examples use, with fillings that they never use; slice "unseen
    wording" in wordings that they never use. Both are balanced over labels, and over the wordings of a label.

    Args:
        labels: the routes to choose from.
        trained: the group keys that really trained. The split of a dataset sends some wordings to validation and
            test; without them here, "unseen filling" would also ask in wordings the adapter never saw. None: all.
        per_slice: items per slice, divided evenly among the labels.

    Returns:
        plain items ``{"id", "task", "messages", "labels", "answer", "slice", "wording", "group_key"}``.
    """
    labels = tuple(labels)
    known = [label for label in labels if wordings(label, held_out=False)]
    items = []
    for slice_name in (UNSEEN_FILLING, UNSEEN_WORDING):
        for position, label in enumerate(known):
            pool = wordings(label, held_out=slice_name == UNSEEN_WORDING)
            if slice_name == UNSEEN_FILLING:
                pool = [w for w in pool if w.slots and (trained is None or w.group_key in trained)]
            count = per_slice * (position + 1) // len(known) - per_slice * position // len(known)
            tasks = _round_robin(pool, _HELD_OUT_SEED, unseen_fillings=slice_name == UNSEEN_FILLING)
            items += [_item(w, task, slice_name, labels) for w, task in itertools.islice(tasks, count)]
    return items


def _item(wording: Wording, task: str, slice_name: str, labels: Sequence[str]) -> dict[str, Any]:
    return {
        "id": f"{slice_name.replace(' ', '-')}/{wording.id}/{_short(task)}",
        "task": task,
        "messages": [{"role": "user", "content": question(task, labels)}],
        "labels": list(labels),
        "answer": wording.label,
        "slice": slice_name,
        "wording": wording.id,
        "group_key": wording.group_key,
    }


def _template_examples(
    labels: Sequence[str], examples: int, seed: int, counts: Mapping[str, int]
) -> Iterator[Example]:
    for position, label in enumerate(labels):
        share = examples * (position + 1) // len(labels) - examples * position // len(labels)
        tasks = _round_robin(wordings(label, held_out=False), seed, unseen_fillings=False)
        for wording, task in itertools.islice(tasks, max(0, share - counts[label])):
            yield Example(
                source="routing",
                format="instruction",
                input_text=question(task, labels),
                output_text=label,
                metadata={"task": task, "wording": wording.id, "origin": "template"},
                domain="planning",
                source_id=f"{wording.id}/{_short(task)}",
                group_key=wording.group_key,
                licence="Apache-2.0",
                language="en",
                created_at=TEMPLATES_DATE,
                updated_at=TEMPLATES_DATE,
            )


def _round_robin(pool: Sequence[Wording], seed: int, *, unseen_fillings: bool) -> Iterator[tuple[Wording, str]]:
    """One task of each wording in turn, until all have run out."""
    streams = [(wording, wording.tasks(seed, unseen_fillings=unseen_fillings)) for wording in pool]
    while streams:
        left = []
        for wording, tasks in streams:
            task = next(tasks, None)
            if task is not None:
                left.append((wording, tasks))
                yield wording, task
        streams = left


def _decision_files(location: str) -> dict[str, Path]:
    """The JSONL files at `location` by name relative to it, sorted; none for the bundled set alone."""
    if not location:
        return {}
    root = Path(location).expanduser()
    if root.is_file():
        return {readable(root.name): root}
    if root.is_dir():
        found = {
            readable(path.relative_to(root).as_posix()): path
            for path in sorted(root.rglob("*.jsonl"))
            if path.is_file()
        }
        if found:
            return found
    raise SourceError(
        f"expected a JSONL file of routing decisions, or a folder with some, at {location}, got "
        f"{'a folder without *.jsonl' if root.is_dir() else 'nothing'}; leave the location out for the bundled set"
    )


def _short(text: str) -> str:
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "replace"))[:12]


class _Lines:
    """The unread lines of a file that only grows; a file that was rewritten is read from its start."""

    def __init__(self, path: Path, seen: Mapping[str, Any] | None, max_line_bytes: int) -> None:
        self.path, self.max_line_bytes = path, max_line_bytes
        self._hasher = xxhash.xxh3_64()
        self._bytes = self._newlines = 0
        self.fresh = False
        if seen and self._skip(int(seen["bytes"])) and self._hasher.hexdigest() == seen["digest"]:
            return
        self._hasher.reset()
        self._bytes = self._newlines = 0

    @property
    def state(self) -> dict[str, Any]:
        """How far the file was read."""
        return {"bytes": self._bytes, "digest": self._hasher.hexdigest()}

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        """Line number and content of each line that is not blank; None in place of one that is too long."""
        with self.path.open("rb") as file:
            file.seek(self._bytes)
            while line := file.readline(self.max_line_bytes + 1):
                self.fresh, number = True, self._newlines + 1
                content = line.strip() if len(line.rstrip(b"\r\n")) <= self.max_line_bytes else None
                self._eat(line)
                while content is None and not line.endswith(b"\n") and (line := file.readline(self.max_line_bytes)):
                    self._eat(line)
                if content != b"":
                    yield number, content

    def _eat(self, piece: bytes) -> None:
        self._hasher.update(piece)
        self._bytes += len(piece)
        self._newlines += piece.count(b"\n")

    def _skip(self, count: int) -> bool:
        with self.path.open("rb") as file:
            while self._bytes < count and (piece := file.read(min(1 << 20, count - self._bytes))):
                self._eat(piece)
        return self._bytes == count


class _Reserved:
    """The tasks that evaluation asks; gathered when the first is looked for."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._tasks: frozenset[str] | None = None

    def __contains__(self, task: object) -> bool:
        if self._tasks is None:
            self._tasks = frozenset(plain(item["task"]) for item in held_out(self._labels))
        return task in self._tasks


def _told(found: Decision | Reject, labels: Sequence[str], reserved: Container[str]) -> Iterator[Record]:
    """A live decision as records; the wrong route of a corrected one is not to be learnt any more."""
    if isinstance(found, Reject):
        yield found
        return
    if found.wrong:
        yield Withdrawal(question(found.task, labels), found.wrong, "the user corrected this route")
    if plain(found.task) in reserved:
        yield Reject(found.table, HELD_OUT, id=found.id)
        return
    origin = "correction" if found.table == "feedback" else "escalation"
    yield _example(found.task, found.route, labels, found.id, found.at, origin)


def _example(task: str, route: str, labels: Sequence[str], id: str, at: float, origin: str) -> Example:
    return Example(
        source="routing",
        format="instruction",
        input_text=question(task, labels),
        output_text=route,
        metadata={"task": task, "origin": origin},
        domain="planning",
        source_id=id,
        group_key=f"routing:{_short(plain(task))}",
        created_at=at,
        updated_at=at,
    )


def _decisions(
    lines: _Lines, path: Path, labels: Sequence[str], reserved: Container[str]
) -> Iterator[Example | Reject]:
    changed = path.stat().st_mtime
    for number, line in lines:
        decision = _parsed(line, labels)
        if isinstance(decision, str):
            yield Reject(readable(path), decision, line=number)
            continue
        task, route = decision["task"].strip(), decision["route"]
        if plain(task) in reserved:
            yield Reject(readable(path), HELD_OUT, line=number)
            continue
        created = seconds_of(decision.get("timestamp")) or changed
        id = str(decision.get("id") or f"{path.name}:{number}")
        yield _example(task, route, labels, id, created, "decision")


def _parsed(line: bytes | None, labels: Sequence[str]) -> dict[str, Any] | str:
    """The decision on one line, or why it is none."""
    if line is None:
        return "line too long"
    try:
        decision = orjson.loads(line)
    except orjson.JSONDecodeError:
        return "not valid JSON"
    if not isinstance(decision, dict) or not isinstance(decision.get("task"), str) or not decision["task"].strip():
        return "no task"
    if decision.get("route") not in labels:
        return "route is not one of the labels"
    return decision
