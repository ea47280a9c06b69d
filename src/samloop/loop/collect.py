"""Collect: sources → curation → store, batch by batch, each batch one transaction with its watermark.

Every record a source read ends in exactly one of four counts: added, duplicate, rejected, review.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, Final

import orjson

from samloop.curate.conveyor import Conveyor, Judges
from samloop.curate.engine import Curated
from samloop.errors import SamloopError
from samloop.example import Example
from samloop.files import absolute, readable, storing
from samloop.loop import live
from samloop.loop.admission import REFUSED_UNDER, Admission, refused
from samloop.loop.context import Context
from samloop.loop.contradictions import settle
from samloop.loop.counts import COUNTS, SourceReport
from samloop.loop.identifiers import identifier_key
from samloop.loop.items import evaluation_items
from samloop.loop.reading import given_to, known_options, reading, source_of
from samloop.loop.withdraw import withdraw
from samloop.protocols import Mark, Reject, Source, Withdrawal
from samloop.recipe import Recipe
from samloop.rows import Rows
from samloop.settings import SourceSettings

Progress = Callable[[dict[str, Any]], None]

CHARACTERS_A_TOKEN: Final = 4
"""Of English prose. What is longer than the longest training sequence is told in parts, so that none is cut off."""

BATCH_CHARACTERS: Final = 2**20
"""A batch ends here even with few examples, so that long texts do not add up in memory."""

STOPPED: Final = "stopped; all that was stored stays, so collect again to go on"

ERASED: Final = "erased before"
"""Why a record is turned away that a purge took out of this home."""

LIFT: Final = "a purge took it out; 'samloop purge --list' shows which, and --lift lets it in again"

MOVED_IN: Final = "sam_home"
"""The source that stands for a whole older installation: its adapters come along."""

BATCH_SECONDS: Final = 2.0
"""A batch ends after this long, so that a slow source is seen to move, and little is read again if we die."""


@dataclass(frozen=True, slots=True)
class CollectReport:
    """What came of all sources."""

    sources: Sequence[SourceReport]
    seconds: float = 0.0

    @property
    def errors(self) -> list[str]:
        """One sentence per source that could not be read."""
        return [report.error for report in self.sources if report.error]

    def to_dict(self) -> dict[str, Any]:
        """The document of `collect --json`: totals, and the same counts per source with reasons."""
        totals: dict[str, Any] = {name: sum(getattr(report, name) for report in self.sources) for name in COUNTS}
        redacted = sum((report.redacted for report in self.sources), Counter[str]())
        totals |= {"redacted": dict(redacted), "seconds": round(self.seconds, 3)}
        return {"totals": totals, "sources": [report.to_dict() for report in self.sources]}


def collect(
    context: Context,
    sources: Sequence[SourceSettings] | None = None,
    *,
    on_progress: Progress | None = None,
    rejects: Path | None = None,
) -> CollectReport:
    """Read what is new at each source, curate it and store it.

    Args:
        context: home, recipe and store.
        sources: which to read; if None, all that the recipe enables, after what was captured live.
        on_progress: called after each batch with the source's counts so far, and `ended` with the last; never twice
            at once, though from several threads.
        rejects: a file that receives each record turned away, as JSONL {location, line, id, reason, detail}.

    Returns:
        the report. A source that cannot be read has its `error`; the others go in all the same.

    Raises:
        SamloopError: the only source asked for cannot be read, or the store cannot be written.
    """
    started = time.monotonic()
    chosen = _all(context) if sources is None else list(sources)
    readers = [reading(source_of(settings), settings.kind, _location(context, settings)) for settings in chosen]
    reports = [
        SourceReport(read.source_name, readable(_location(context, settings)))
        for settings, read in zip(chosen, readers, strict=True)
    ]
    if not chosen:
        return CollectReport(reports)
    with ExitStack() as stack:
        out: BinaryIO | None = None
        if rejects is not None:
            with storing("the list of rejects", rejects):
                out = stack.enter_context(rejects.open("wb", buffering=0))
        judges = stack.enter_context(
            Judges(
                context.recipe.curate,
                workers=context.recipe.collect.workers,
                items=evaluation_items(context),
                identifier_key=identifier_key(context),
            )
        )
        shared = _Shared(context, judges, on_progress, out, min(len(chosen), context.recipe.collect.side_by_side))
        intakes = [_Intake(shared, *one) for one in zip(chosen, readers, reports, strict=True)]
        if len(intakes) == 1:
            intakes[0].run()
        else:
            _side_by_side(intakes, shared)
    return CollectReport(reports, time.monotonic() - started)


def _all(context: Context) -> list[SourceSettings]:
    """The live sources, then those of the recipe: what people said comes first where two bring the same."""
    return [*live.unnamed(context), *(s for s in context.recipe.collect.sources if s.enabled)]


@dataclass(slots=True)
class _Shared:
    """What sources that are read side by side have in common.

    Attributes:
        readers: how many are read at once.
        stop: set when all shall end.
    """

    context: Context
    judges: Judges
    on_progress: Progress | None
    rejects: BinaryIO | None
    readers: int
    stop: Event = field(default_factory=Event)


def _side_by_side(intakes: Sequence[_Intake], shared: _Shared) -> None:
    """Run each in a thread of its own, some at once: while one waits for a disk or for git, others go on.

    They are read and judged side by side and stored one after the other, in the order of the recipe: of what two of
    them have in common the first keeps its place, however fast each is read.
    """
    for earlier, later in pairwise(intakes):
        later.its_turn = earlier.ended

    def run(intake: _Intake) -> None:
        try:
            intake.run()
        except SamloopError as error:
            intake.report.error = str(error)
            intake.tell(ended=True)
        except BaseException:
            shared.stop.set()  # before the next one may store
            raise
        finally:
            intake.ended.set()

    with ThreadPoolExecutor(shared.readers, thread_name_prefix="samloop-collect") as threads:
        try:
            for done in as_completed([threads.submit(run, intake) for intake in intakes]):
                done.result()
        except BaseException:  # Ctrl-C comes here and not to the threads
            shared.stop.set()
            raise


def _options(recipe: Recipe, settings: SourceSettings, read: Source) -> dict[str, Any]:
    """The source's own settings; those it knows and that were left out come from the rest of the recipe."""
    known, given, variables = known_options(read), settings.options, {"name": recipe.sam.name}
    general = {
        "max_line_bytes": recipe.collect.max_line_bytes,
        "variables": variables,
        "window_characters": CHARACTERS_A_TOKEN * recipe.train.max_seq_tokens,
    }
    if isinstance(given.get("variables"), dict):
        given["variables"] = variables | given["variables"]
    return {name: value for name, value in general.items() if name in known} | given


def _location(context: Context, settings: SourceSettings) -> str:
    if not settings.location or "://" in settings.location:
        return settings.location
    # One spelling per place, so that the watermark of a location is found again.
    return os.path.realpath(absolute(settings.location, context.folder))


def _characters(example: Example) -> int:
    """About how long an example is; its other texts are short as a rule."""
    asked_and_answered = len(example.input_text) + len(example.output_text)
    return asked_and_answered + sum(len(turn["content"]) for turn in example.conversation_history)


_OUTCOMES: Final = {"accepted": "added", "review": "review", "rejected": "rejected"}


def _part(metadata: Mapping[str, Any]) -> str | None:
    """The file or table that an example came from, as its source told it."""
    part = metadata.get("dataset")
    return part if isinstance(part, str) else None


def _below(location: str, place: str) -> str:
    """`location` as told from `place`, which is it or lies above it."""
    rest = location.removeprefix(place)
    return rest[1:] if rest.startswith("/") else Path(place).name + rest


@dataclass(slots=True)
class _End:
    """What a batch ends with: the last mark among its examples, and the answers not to be learnt any more."""

    mark: Mark | None = None
    withdrawals: list[Withdrawal] = field(default_factory=list)


@dataclass(slots=True)
class _Intake:
    """One source on its way into the store."""

    shared: _Shared
    settings: SourceSettings
    read: Source
    report: SourceReport
    its_turn: Event | None = None
    ended: Event = field(default_factory=Event)
    admission: Admission = field(init=False)
    refused_any: bool = False

    def __post_init__(self) -> None:
        self.admission = Admission(self.context.recipe.collect, self.settings.allow_licences)

    @property
    def context(self) -> Context:
        return self.shared.context

    def run(self) -> None:
        started, judges = time.monotonic(), self.shared.judges
        # Two batches per worker keep them busy; sources that share them have their share of that, and one at least.
        under_way = max(1, 2 * judges.count // self.shared.readers)
        conveyor = Conveyor[_End](judges, review=self.settings.review, under_way=under_way)
        try:
            for examples, end in self._batches(self._since()):
                for curated, its_end in conveyor.put(examples, end):
                    self._store(curated, its_end)
                self.report.seconds = time.monotonic() - started
            for curated, its_end in conveyor.rest():
                self._store(curated, its_end)
            if self.read.source_name == MOVED_IN:
                self._move_in_adapters()
        finally:
            self.report.seconds = time.monotonic() - started
        self.tell(ended=True)

    def tell(self, *, ended: bool = False) -> None:
        """Tell the counts so far; of sources side by side, only the one whose turn it is does."""
        self._wait()
        if self.shared.on_progress:
            self.shared.on_progress(self.report.to_dict() | {"ended": ended})

    def _since(self) -> dict[str, Any] | None:
        """How far the location was read; not at all where other licences come in now than when some were refused."""
        since = self.context.store.watermark(self.settings.kind, self.report.location)
        under = since.pop(REFUSED_UNDER, None) if since else None
        self.refused_any = under is not None and under == self.admission.key
        return since if under is None or self.refused_any else None

    def _batches(self, since: Mapping[str, Any] | None) -> Iterator[tuple[list[Example], _End]]:
        """What the source yields, in batches; each with the last mark among its examples and what is withdrawn.

        Examples after that mark are in its batch too: they are read again if we die before the next one.
        """
        recipe = self.context.recipe
        most, options = recipe.collect.batch_examples, _options(recipe, self.settings, self.read)
        options |= live.handed(self.context, self.read, options)
        examples: list[Example] = []
        end, characters, begun = _End(), 0, time.monotonic()
        for record in self.read(self.report.location, since, **options):
            if self.shared.stop.is_set():
                raise SamloopError(STOPPED)
            if isinstance(record, Example):
                if refusal := self.admission.refusal(record.licence):
                    self._refuse(record, refusal)
                    continue
                examples.append(record)
                characters += _characters(record)
            elif isinstance(record, Reject):
                self._turn_away(record)
            elif isinstance(record, Withdrawal):
                end.withdrawals.append(record)
            else:
                end.mark = record
            full = len(examples) >= most or characters >= BATCH_CHARACTERS
            if full or (examples and time.monotonic() - begun >= BATCH_SECONDS):
                yield examples, end
                examples, end, characters, begun = [], _End(), 0, time.monotonic()
        if examples or end.mark is not None:
            yield examples, end

    def _refuse(self, example: Example, refusal: str) -> None:
        self.refused_any = True
        place = f"{self.report.location}/{part}" if (part := _part(example.metadata)) else self.report.location
        self._turn_away(refused(example, refusal, place))

    def _turn_away(self, reject: Reject) -> None:
        self.report.read += 1
        self.report.rejected += 1
        if getattr(self.read, "in_parts", False):
            self._count_part(_below(reject.location, self.report.location), "rejected")
        self.report.reasons[reject.reason] += 1
        self._list(reject.location, reject.line, reject.id, reject.reason, reject.detail)

    def _count_part(self, part: str, outcome: str) -> None:
        counts = self.report.parts.setdefault(part, Counter())
        counts["read"] += 1
        counts[outcome] += 1

    def _move_in_adapters(self) -> None:
        from samloop.loop.moving_in import move_in_adapters  # few need it, and it brings much along

        self._wait()
        self.report.adapters = move_in_adapters(self.context, _location(self.context, self.settings))

    def _store(self, curated: Curated, end: _End) -> None:
        self._wait()
        store, columns, identifiers = self.context.store, curated.rows.columns, curated.identifiers
        log = settle(store, curated.rows, curated.log)
        log, withdrawn = withdraw(store, end.withdrawals, curated.rows, log)
        self.report.withdrawn += withdrawn
        if "rows" in given_to(self.read) and columns:
            identifiers = [*identifiers, *live.carried(self.context, columns["source_id"], columns["id"])]
        mark = (self.settings.kind, self.report.location, self._marked(end.mark)) if end.mark else None
        added = store.add_batch(curated.rows, log=log, identifiers=identifiers, mark=mark)
        self._count(curated.rows, added.inserted, frozenset(added.erased))
        self.report.redacted.update(curated.redacted)
        self.tell()

    def _wait(self) -> None:
        """Wait until the source before this one has ended."""
        if self.its_turn is not None:
            self.its_turn.wait()
        if self.shared.stop.is_set():
            raise SamloopError(STOPPED)

    def _marked(self, mark: Mark) -> Mapping[str, Any]:
        return {**mark.value, REFUSED_UNDER: self.admission.key} if self.refused_any else mark.value

    def _count_parts(self, rows: Rows, inserted: Sequence[bool], erased: frozenset[int]) -> None:
        if not getattr(self.read, "in_parts", False):
            return
        columns = rows.columns
        for at, (metadata, state, is_new) in enumerate(
            zip(columns.get("metadata", ()), columns.get("state", ()), inserted, strict=True)
        ):
            if part := _part(orjson.loads(metadata)):
                outcome = "rejected" if at in erased else "duplicate"
                self._count_part(part, _OUTCOMES[state] if is_new else outcome)

    def _count(self, rows: Rows, inserted: Sequence[bool], erased: frozenset[int]) -> None:
        report = self.report
        report.read += len(rows)
        self._count_parts(rows, inserted, erased)
        for at, (state, is_new) in enumerate(zip(rows.columns.get("state", ()), inserted, strict=True)):
            if at in erased:
                report.rejected += 1
                report.reasons[ERASED] += 1
                self._list(self.report.location, None, rows[at]["source_id"] or rows[at]["id"], ERASED, LIFT)
            elif not is_new:
                report.duplicate += 1
            elif state == "accepted":
                report.added += 1
            else:
                row = rows[at]
                if row["state"] == "rejected":
                    report.rejected += 1
                else:
                    report.review += 1
                report.reasons[row["reason"]] += 1
                self._list(self.report.location, None, row["source_id"] or row["id"], row["reason"], row["state"])

    def _list(self, location: str, line: int | None, id: str | None, reason: str, detail: str) -> None:
        rejects = self.shared.rejects
        if rejects is None:
            return
        entry = {"location": location, "line": line, "id": id, "reason": reason, "detail": detail}
        with storing("the list of rejects", Path(rejects.name)):  # one write a line: lines of others never mix in
            rejects.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
