"""From one conversation of an export or a session to records: the way that was kept, its branches and its choices.

A conversation that was told before tells only what came since: the answers below the turns it ended with then.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import xxhash

from samloop.example import Example
from samloop.protocols import SHALL_LOOK, Reject
from samloop.sources.branches import Choice, Tree, Turn, Way
from samloop.sources.conversation import WINDOW_CHARACTERS, example_of
from samloop.sources.drafts import Draft, Unfit, name_of
from samloop.sources.exchanges import Exchange, Said, corrections, exchanges_of, messages_of, window
from samloop.text.corrections import is_correction

CORRECTED: Final = f"{SHALL_LOOK}the user corrected the answer before"
"""Reason why a pair made of a correction waits: whether the later answer is right, only a person can tell."""

LONGEST_NOTE: Final = 500
"""Characters of a title, a question or a correction that is kept in metadata."""

MOST_UNKNOWN: Final = 20
"""Unknown kinds of one conversation that are named; more are counted together."""

_SLACK: Final = 300
"""Characters that a preference's reason and the marks around a tool's result take from a window."""


@dataclass(slots=True)
class Conversation:
    """One conversation, before it is told.

    Attributes:
        id: what the export calls it.
        current: id of the turn the user saw last; None: the latest.
        facts: metadata of all its examples.
        context: what was known before its first turn (the summary of what was compacted).
        unknown: kinds of message or content that nobody knows, with their number.
    """

    id: str
    turns: Sequence[Turn]
    current: str | None = None
    created_at: float = 0.0
    updated_at: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    context: str | None = None
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Teller:
    """Makes records of conversations.

    Attributes:
        source: the name of the source.
        location: the file, as messages name it.
        written_at: Unix seconds, when the file was written.
        window_characters: longer conversations are told exchange by exchange.
        licence: SPDX id of all examples.
        regenerates: users of the program can have an answer made again; else two answers to one question are an
            accident, and say nothing of their worth.
    """

    source: str
    location: str
    written_at: float
    window_characters: int = WINDOW_CHARACTERS
    licence: str | None = None
    regenerates: bool = True

    def tell(self, talk: Conversation, before: Collection[str] = ()) -> Generator[Example | Reject, None, list[str]]:
        """The examples of `talk`, and what is turned away of it.

        Args:
            before: what this returned when the conversation was last told.

        Returns:
            (from the generator) digests of the turns it ends with.
        """
        tree = Tree(talk.turns, talk.current)
        told = tree.above(i for i in tree.ids() if digest(i) in before) if before else set()
        yield from self._defects(talk, tree)
        found = bool(told)
        for way in tree.ways():
            for record in self._way(talk, way, told) if isinstance(way, Way) else self._choice(talk, way, told):
                found = True
                yield record
        if not found:
            yield self.reject(talk, "no answer", "expected a question with an answer, found none")
        if tree.uncounted:
            yield self.reject(talk, "too many branches", f"{tree.uncounted} branches were left out")
        return [digest(i) for i in tree.leaves()]

    def reject(self, talk: Conversation, reason: str, detail: str, id: str | None = None) -> Reject:
        """A reject for the conversation, or for the message `id` of it."""
        return Reject(self.location, reason, detail, id=id or talk.id)

    def _defects(self, talk: Conversation, tree: Tree) -> Iterator[Reject]:
        if tree.looped:
            yield self.reject(talk, "cycle in a conversation", f"{tree.looped} messages lead back to themselves")
        if tree.orphaned:
            detail = f"{tree.orphaned} messages follow one that is missing, without a question of their own"
            yield self.reject(talk, "orphaned messages", detail)
        named = talk.unknown.most_common(MOST_UNKNOWN)
        for kind, number in named:
            yield self.reject(talk, "unknown kind of content", f"{number} of kind {name_of(kind)}")
        if rest := talk.unknown.total() - sum(number for _, number in named):
            yield self.reject(talk, "unknown kind of content", f"{rest} of other kinds")

    def _way(self, talk: Conversation, way: Way, told: Collection[str]) -> Iterator[Example | Reject]:
        system, said = messages_of(way.turns)
        exchanges = exchanges_of(said)
        shared = {turn.id for turn in way.turns[: way.shared]}
        known = shared.union(told)
        new = [index for index, e in enumerate(exchanges) if e.whole and e.answer.id not in known]
        if not new:
            return
        length = sum(exchange.characters for exchange in exchanges)
        room = self._room(talk, system)
        ends = new if length > room else new[-1:]
        approvals = _approvals(exchanges)
        for index in ends:
            facts = self._facts(talk, way) | approvals[index]
            yield from self._example(talk, window(exchanges, index, room), system, facts)
        for index in corrections(exchanges):
            if index in new and exchanges[index - 1].answer.id not in shared:
                yield from self._correction(talk, exchanges, index, system, self._facts(talk, way))

    def _choice(self, talk: Conversation, choice: Choice, told: Collection[str]) -> Iterator[Example | Reject]:
        if not self.regenerates:
            return
        kept, left = _plain_answer(choice.kept), _plain_answer(choice.left)
        if choice.left[-1].id in told and choice.kept[0].id in told:
            return
        if kept is None or left is None:
            detail = "of the kept answer and the one made again, one uses tools or was stopped"
            yield self.reject(talk, "answers cannot be compared", detail, choice.left[0].id)
            return
        system, said = messages_of([*choice.asked, *_until_user(choice.kept)])
        exchanges = exchanges_of(said)
        if not exchanges or exchanges[-1].answer.id != kept.id:
            return
        turns = window(exchanges, len(exchanges) - 1, self._room(talk, system) - len(left.text))
        facts = self._facts(talk) | {"branch": "regenerated"}
        if model := _model(left):
            facts["rejected_model"] = model
        reason = "the user had the other answer made again and went on with this one"
        yield from self._example(talk, turns, system, facts, (left, f"{left.id}#regenerated", reason))

    def _correction(
        self, talk: Conversation, exchanges: Sequence[Exchange], index: int, system: str | None, facts: dict[str, Any]
    ) -> Iterator[Example | Reject]:
        """A candidate: the answer that the user turned down, and the one that followed. A person decides."""
        wrong, right = exchanges[index - 1], exchanges[index]
        pair = Exchange([wrong.question, right.answer])
        room = self._room(talk, system) - len(wrong.answer.text)
        said = right.question.text[:LONGEST_NOTE]
        facts |= {"correction": said}
        reason = f"the user corrected the other answer: {said}"
        turns = window([*exchanges[: index - 1], pair], index - 1, room)
        source_id = f"{right.question.id}#correction"
        for made in self._example(talk, turns, system, facts, (wrong.answer, source_id, reason)):
            yield replace(made, state="review", reason=CORRECTED) if isinstance(made, Example) else made

    def _example(
        self,
        talk: Conversation,
        turns: Sequence[Said],
        system: str | None,
        facts: dict[str, Any],
        rejected: tuple[Said, str, str] | None = None,
    ) -> Iterator[Example | Reject]:
        answer = turns[-1]
        try:
            draft = example_of([said.message for said in turns], system, talk.context, None)
        except Unfit as unfit:
            yield self.reject(talk, unfit.reason, unfit.detail, answer.id)
            return
        if shown := _attachments(turns):
            facts["attachments"] = shown
        for known in answer.facts:
            facts |= {key: value for key, value in known.items() if key not in _COUNTED}
        yield self._finished(talk, draft, answer, facts, rejected)

    def _finished(
        self,
        talk: Conversation,
        draft: Draft,
        answer: Said,
        facts: dict[str, Any],
        rejected: tuple[Said, str, str] | None,
    ) -> Example:
        at = answer.at or talk.created_at or min(self.written_at, time.time())
        left, source_id, reason = rejected or (None, answer.id, None)
        return Example(
            source=self.source,
            format="dpo" if left else draft.format,
            input_text=draft.input_text,
            output_text=draft.output_text,
            system_prompt=draft.system_prompt,
            context=draft.context,
            rejected_output=left.text if left else None,
            preference_reason=reason,
            conversation_history=tuple(draft.history),
            metadata=facts,
            created_at=at,
            updated_at=at,
            source_id=source_id,
            group_key=f"{self.source}:{talk.id}"[:200],
            licence=self.licence,
        )

    def _room(self, talk: Conversation, system: str | None) -> int:
        return self.window_characters - len(system or "") - len(talk.context or "") - _SLACK

    @staticmethod
    def _facts(talk: Conversation, way: Way | None = None) -> dict[str, Any]:
        facts = dict(talk.facts)
        if way is not None and way.branch is not None:
            facts["branch"] = way.branch
            if way.branch == "edited" and way.instead is not None:
                facts["edited_to"] = way.instead.text[:LONGEST_NOTE]
        return facts


_COUNTED: Final = frozenset({"edits", "declined", "command"})
"""Facts of turns that are counted over a conversation or steer its reading, and say nothing of one answer."""


def _approvals(exchanges: Sequence[Exchange]) -> list[dict[str, Any]]:
    """Up to each exchange: edits that the user let stand and went on from, and those declined."""
    told: list[dict[str, Any]] = []
    accepted = declined = 0
    for index, exchange in enumerate(exchanges):
        went_on = index + 1 < len(exchanges) and not is_correction(exchanges[index + 1].question.text)
        for said in exchange.said:
            for facts in said.facts:
                accepted += facts.get("edits", 0) if went_on else 0
                declined += facts.get("declined", 0)
        found = {"accepted_edits": accepted, "declined_edits": declined}
        told.append({name: number for name, number in found.items() if number})
    return told


_SHOWN = re.compile(r"^\[(?:image|voice|video|screenshot)(?:: [^\]\n]*)?\]$", re.MULTILINE)


def _attachments(turns: Sequence[Said]) -> int:
    """Marks of what nobody can read in the last question and in what tools showed for it."""
    start = max((i for i, said in enumerate(turns) if said.role == "user"), default=0)
    return sum(
        len(_SHOWN.findall(said.text)) for said in turns[start:] if said.role != "assistant" and "[" in said.text
    )


def _until_user(turns: Sequence[Turn]) -> list[Turn]:
    end = next((i for i, turn in enumerate(turns) if turn.role == "user"), len(turns))
    return list(turns[:end])


def _plain_answer(turns: Sequence[Turn]) -> Said | None:
    """The answer that `turns` begin with, where it is whole and uses no tools."""
    _, said = messages_of(turns)
    if not said or said[0].role != "assistant" or not said[0].final:
        return None
    return said[0] if len(said) == 1 or said[1].role == "user" else None


def _model(said: Said) -> str | None:
    return next((facts["model"] for facts in reversed(said.facts) if "model" in facts), None)


def digest(id: str) -> str:
    """12 hex digits of a hash of a turn's id: what a mark remembers it by."""
    return xxhash.xxh3_64_hexdigest(id.encode("utf-8", "replace"))[:12]


def note(value: Any) -> str | None:
    """`value` as a short note for metadata, None where it is no text."""
    return value[:LONGEST_NOTE] if isinstance(value, str) and value.strip() else None


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects in `value` where it is a list, else none."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def known_text(value: Any) -> str:
    """`value` where it is text, else ""."""
    return value if isinstance(value, str) else ""


def kind_in(value: Any) -> str:
    """The name of a kind of message or content, "none" where `value` is no name."""
    return value if isinstance(value, str) and value else "none"


def attachment(kind: str, name: Any = None) -> str:
    """The mark that stands for something that is no text: "[image: plan.png]"."""
    shown = " ".join(name.split())[:120] if isinstance(name, str) else ""
    return f"[{kind}: {shown}]" if shown else f"[{kind}]"


_IMAGES: Final = frozenset("png jpg jpeg gif webp heic bmp svg tif tiff".split())
_SOUNDS: Final = frozenset("wav mp3 m4a ogg flac webm aac".split())


def kind_of_file(name: str) -> str:
    """ "image", "voice" or "file", by the name's ending."""
    ending = name.rpartition(".")[2].lower()
    return "image" if ending in _IMAGES else "voice" if ending in _SOUNDS else "file"
