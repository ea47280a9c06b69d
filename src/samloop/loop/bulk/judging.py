"""Judging a unit: read, judge, cut into shingles, write; the one file that needs all the rooms."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import orjson

from samloop.curate.engine import Curator, Judgement
from samloop.curate.near.examples import Cut
from samloop.curate.near.shingles import PROMPT, WHOLE
from samloop.example import STATES, Example, to_json
from samloop.files import whole_folder, write_json
from samloop.loop.admission import refused
from samloop.loop.bulk.shards import DraftWriter, draft_name
from samloop.loop.bulk.unit import (
    ACCEPTED,
    HASHES_FILE,
    LISTED_FILE,
    MANIFEST_FILE,
    MARKS_FILE,
    NAMES_FILE,
    PROMPT_STARTS_FILE,
    PROMPTS_FILE,
    REJECTED,
    ROWS,
    ROWS_FILE,
    STARTS_FILE,
    Settings,
    Unit,
)
from samloop.protocols import Reject
from samloop.settings import Curate
from samloop.sources import portions
from samloop.text.tokens import Tokenizer

BATCH_EXAMPLES: Final = 2_048
BATCH_CHARACTERS: Final = 2**22
"""Examples are judged in batches of at most this; larger ones are no faster and take more memory."""

SAMPLE: Final = 64
"""Accepted examples per unit whose tokens are counted: to count them all would take as long as judging them."""


def judge(unit: Unit, settings: Settings, folder: Path) -> None:
    """Judge `unit`, and leave what came of it in a folder of its name in `folder`; nothing is done if it is there.

    Raises:
        SourceError: a file is not what it was when it was cut.
        PluginError: a rule failed.
    """
    target = folder / unit.name
    if (target / MANIFEST_FILE).exists():
        return
    with whole_folder(target) as beside, ExitStack() as stack:
        judging = _Judging(unit, settings, beside, stack)
        judging.run()
        stack.close()
        write_json(beside / MANIFEST_FILE, judging.manifest())


@lru_cache(maxsize=1)
def _curator(text: str, items: str) -> Curator:
    return Curator(Curate.model_validate_json(text), items=orjson.loads(items))


@lru_cache(maxsize=1)
def _tokenizer(folder: str) -> Tokenizer:
    return Tokenizer.load(Path(folder))


@dataclass(slots=True)
class _Judging:
    unit: Unit
    settings: Settings
    folder: Path
    stack: ExitStack
    turned_away: list[Counter[str]] = field(init=False)
    redacted: list[Counter[str]] = field(init=False)
    reasons: dict[str | None, int] = field(default_factory=lambda: {None: 0})
    sample: list[tuple[int, int, list[str]]] = field(default_factory=list)
    written: Counter[str] = field(default_factory=Counter)
    count: int = 0
    shingles: int = 0
    _begins: Counter[str] = field(default_factory=Counter)
    _writers: dict[str, DraftWriter] = field(default_factory=dict)
    _rows: BinaryIO = field(init=False)
    _listed: BinaryIO = field(init=False)
    _near: dict[str, BinaryIO] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.turned_away = [Counter() for _ in self.unit.portions]
        self.redacted = [Counter() for _ in self.unit.portions]
        self._rows = self.stack.enter_context((self.folder / ROWS_FILE).open("wb"))
        self._listed = self.stack.enter_context((self.folder / LISTED_FILE).open("wb"))
        if self.settings.curate.near.enabled:
            for name in (HASHES_FILE, MARKS_FILE, STARTS_FILE, NAMES_FILE, PROMPTS_FILE, PROMPT_STARTS_FILE):
                self._near[name] = self.stack.enter_context((self.folder / name).open("wb"))
            for name in (STARTS_FILE, PROMPT_STARTS_FILE):
                self._near[name].write(np.zeros(1, np.int64).tobytes())

    def run(self) -> None:
        curator = _curator(self.settings.curate.model_dump_json(), to_json(dict(self.settings.items)))
        for at in range(len(self.unit.portions)):
            for examples in self._batches(at):
                judged = curator.judge(examples)
                self.redacted[at].update(judged.redacted)
                self._take(at, judged)

    def _batches(self, at: int) -> Iterator[list[Example]]:
        examples: list[Example] = []
        characters, settings, refusal_of = 0, self.settings, self.settings.admission.refusal
        for record in portions.read(
            self.unit.portions[at], max_line_bytes=settings.max_line_bytes, variables=settings.variables
        ):
            if isinstance(record, Reject):
                self._turn_away(at, record)
                continue
            if refusal := refusal_of(record.licence):
                self._turn_away(at, refused(record, refusal, self.unit.portions[at].location))
                continue
            examples.append(record)
            characters += len(record.input_text) + len(record.output_text)
            if record.conversation_history:
                characters += sum(len(turn["content"]) for turn in record.conversation_history)
            if len(examples) >= BATCH_EXAMPLES or characters >= BATCH_CHARACTERS:
                yield examples
                examples, characters = [], 0
        if examples:
            yield examples

    def _turn_away(self, at: int, reject: Reject) -> None:
        self.turned_away[at][reject.reason] += 1
        self._list(None, reject.location, reject.line, reject.id, reject.reason, reject.detail)

    def _take(self, at: int, judged: Judgement) -> None:
        """Note every row, write those that are not rejected, list those that are not accepted."""
        values, count = judged.values, judged.batch.num_rows
        states = np.array([STATES.index(state) for state in values["state"]], np.uint8)
        location = self.unit.portions[at].location
        for i in np.flatnonzero(states != ACCEPTED).tolist():
            identity = values["source_id"][i] or values["id"][i]
            self._list(self.count + i, location, None, identity, values["reason"][i], values["state"][i])
        noted = np.empty(count, dtype=ROWS)
        hashes = np.frombuffer(bytes.fromhex("".join(values["content_hash"])), dtype=">u8").reshape(-1, 2)
        noted["high"], noted["low"] = hashes[:, 0], hashes[:, 1]
        noted["portion"] = at
        noted["reason"] = [self.reasons.setdefault(reason, len(self.reasons)) for reason in values["reason"]]
        noted["characters"] = np.minimum(judged.characters, 2**32 - 1)
        noted["score"] = values["quality_score"]
        noted["state"] = states
        noted["kind"] = self._shingles(judged, states) if self._near else 0
        self._rows.write(noted.tobytes())
        self._sample(noted, judged)
        for state in ("accepted", "review"):
            chosen = states == STATES.index(state)
            if some := int(np.count_nonzero(chosen)):
                self._writer(state).add(judged, chosen)
                self.written[state] += some
        self.count += count

    def _shingles(self, judged: Judgement, states: np.ndarray) -> np.ndarray:
        """Cut what is not rejected into shingles; the kinds of all rows."""
        chosen = np.flatnonzero(states != REJECTED)
        cut = Cut.of_columns(judged.values, judged.histories, chosen.tolist())
        kinds = np.zeros(len(states), np.uint8)
        kinds[chosen] = cut.kinds
        prompts = cut.marked.part(PROMPT)
        for name, sets in ((STARTS_FILE, cut.marked.sets), (PROMPT_STARTS_FILE, prompts)):
            sizes = np.zeros(len(states), np.int64)
            sizes[chosen] = sets.sizes
            starts = self._begins[name] + np.cumsum(sizes)
            self._begins[name] = int(starts[-1])
            self._near[name].write(starts.data)
        self._near[PROMPTS_FILE].write(prompts.hashes.data)
        self.shingles += int(np.count_nonzero(cut.marked.marks & WHOLE))
        self._near[HASHES_FILE].write(cut.marked.sets.hashes.data)
        self._near[MARKS_FILE].write(cut.marked.marks.data)
        names = zip(judged.values["source_id"], judged.values["id"], strict=True)
        self._near[NAMES_FILE].writelines(
            orjson.dumps(source_id or id, option=orjson.OPT_APPEND_NEWLINE) for source_id, id in names
        )
        return kinds

    def _writer(self, state: str) -> DraftWriter:
        if state not in self._writers:
            writer = DraftWriter(self.folder / draft_name(state, self.settings.format), self.settings.format)
            self._writers[state] = self.stack.enter_context(writer)
        return self._writers[state]

    def _sample(self, noted: np.ndarray, judged: Judgement) -> None:
        """Keep the tokens of the accepted examples whose hashes are the smallest: a draw that nothing else moves."""
        accepted = np.flatnonzero(noted["state"] == ACCEPTED)
        for i in accepted[np.argsort(noted["low"][accepted], kind="stable")[:SAMPLE]].tolist():
            entry = (-int(noted["low"][i]), self.count + i)
            if len(self.sample) < SAMPLE:
                heapq.heappush(self.sample, (*entry, _texts(judged, i)))
            elif entry > self.sample[0][:2]:
                heapq.heapreplace(self.sample, (*entry, _texts(judged, i)))

    def _tokens(self) -> list[int]:
        if not self.sample:
            return []
        tokenizer = _tokenizer(self.settings.base)
        ordered = sorted(self.sample, key=lambda entry: entry[1])
        return [sum(len(tokenizer.encode(text)) for text in texts) for _, _, texts in ordered]

    def _list(
        self, at: int | None, location: str, line: int | None, id: str | None, reason: str, detail: str
    ) -> None:
        entry = {"location": location, "line": line, "id": id, "reason": reason, "detail": detail}
        self._listed.write(orjson.dumps({"at": at, **entry}, option=orjson.OPT_APPEND_NEWLINE))

    def manifest(self) -> dict[str, Any]:
        """What the end of the run needs to know, beside what is noted of each row."""
        return {
            "rows": self.count,
            "shingles": self.shingles,
            "locations": [portion.location for portion in self.unit.portions],
            "turned_away": _plain(self.turned_away),
            "redacted": _plain(self.redacted),
            "reasons": list(self.reasons),
            "written": dict(sorted(self.written.items())),
            "tokens": self._tokens(),
        }


def _plain(counters: Sequence[Counter[str]]) -> list[dict[str, int]]:
    return [dict(sorted(counter.items())) for counter in counters]


def _texts(judged: Judgement, at: int) -> list[str]:
    names = ("system_prompt", "context", "input_text", "output_text", "rejected_output")
    texts = [judged.values[name][at] for name in names]
    return [*filter(None, texts), *(turn["content"] for turn in judged.histories[at])]
