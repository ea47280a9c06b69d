"""A way through a conversation as exchanges: a question with all that leads to its answer, and windows of them.

What was asked and never answered joins the next question. What the user stopped is left out, because every assistant
turn that stays is trained on; work with tools that came to no last word stays as history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from samloop.example import Message, Role
from samloop.sources.branches import Turn
from samloop.sources.conversation import without_farewell
from samloop.text.corrections import is_correction

LEFT_OUT: Final = "[… {} characters …]"


@dataclass(slots=True)
class Said:
    """One message: what one speaker said in a row.

    Attributes:
        id, at: of its last turn.
        final: an answer may end with it.
        stopped: the user stopped the program after it.
        facts: those of its turns, in order.
    """

    role: Role
    text: str
    id: str
    at: float
    final: bool
    facts: list[Mapping[str, Any]] = field(default_factory=list)
    stopped: bool = False

    @property
    def message(self) -> Message:
        """The message as examples hold it."""
        return {"role": self.role, "content": self.text}


@dataclass(slots=True)
class Exchange:
    """A question, the steps on the way, the answer (none where it is not `whole`); `characters` of all texts."""

    said: list[Said]
    whole: bool = True
    characters: int = 0

    def __post_init__(self) -> None:
        self.characters = sum(len(said.text) for said in self.said)

    @property
    def question(self) -> Said:
        """What the user asked."""
        return self.said[0]

    @property
    def answer(self) -> Said:
        """What the assistant said in the end."""
        return self.said[-1]


def messages_of(turns: Sequence[Turn]) -> tuple[str | None, list[Said]]:
    """The system prompt and the messages of a way; turns of one speaker in a row become one message.

    A system turn counts before the first question only: later ones steer a program and not a reader.
    """
    system: list[str] = []
    said: list[Said] = []
    joint = ""
    for turn in turns:
        last = said[-1] if said else None
        if turn.stops:
            if last is not None:
                last.stopped = True
        elif turn.role == "system":
            if not said:
                system.append(turn.text)
        elif last is not None and last.role == turn.role == "user" and _is_command(turn.facts):
            pass
        elif last is not None and last.role == turn.role != "tool" and not _is_command(*last.facts):
            last.text = f"{last.text}{joint}{turn.text}"
            last.id, last.at, last.final = turn.id, turn.at or last.at, turn.final
            if turn.facts:
                last.facts.append(turn.facts)
        else:
            if last is not None and last.role == turn.role != "tool":
                said.pop()
            said.append(Said(turn.role, turn.text, turn.id, turn.at, turn.final, [turn.facts] if turn.facts else []))
        joint = turn.joint
    return "\n\n".join(system) or None, said


def exchanges_of(said: Sequence[Said]) -> list[Exchange]:
    """The exchanges in `said`, without those that came to nothing, and without a farewell at the end.

    A command to the program ("command" in its facts) that nothing answered is dropped.
    """
    exchanges: list[Exchange] = []
    group: list[Said] = []
    for one in said:
        if one.role == "user" and group:
            group = _next_group(exchanges, group, one)
        elif group or one.role == "user":
            group.append(one)
    if _answered(group):
        exchanges.append(Exchange(group))
    return _without_farewell(exchanges)


def _next_group(exchanges: list[Exchange], group: list[Said], asked: Said) -> list[Said]:
    if _answered(group):
        exchanges.append(Exchange(group))
        return [asked]
    before = group[0]
    if _worked(group):
        while group[-1].role == "tool":
            group.pop()
        exchanges.append(Exchange(group, whole=False))
        return [asked]
    if _is_command(*before.facts):
        return [asked]
    if _is_command(*asked.facts):
        return group[:1]
    text = f"{before.text}\n\n{asked.text}"
    return [Said("user", text, asked.id, asked.at, asked.final, before.facts + asked.facts)]


def _is_command(*facts: Mapping[str, Any]) -> bool:
    """Whether a message is a command to the program, which only what the assistant says to it makes a question."""
    return any("command" in one for one in facts)


def _answered(group: Sequence[Said]) -> bool:
    last = group[-1] if len(group) > 1 else None
    return last is not None and last.role == "assistant" and last.final and not last.stopped


def _worked(group: Sequence[Said]) -> bool:
    """Whether tools were used, and the user let them."""
    return any(said.role == "tool" for said in group) and not any(said.stopped for said in group)


def _without_farewell(exchanges: list[Exchange]) -> list[Exchange]:
    while len(exchanges) > 1 and len(exchanges[-1].said) == 2 and exchanges[-2].whole:
        messages = [exchanges[-2].answer.message, *(said.message for said in exchanges[-1].said)]
        if len(without_farewell([messages[1], *messages])) == len(messages) + 1:
            break
        exchanges.pop()
    return exchanges


def window(exchanges: Sequence[Exchange], index: int, most_characters: int) -> list[Said]:
    """The exchange at `index` with the latest earlier ones that fit, in order.

    One that is too long alone keeps its question, its answer and the latest steps that fit.
    """
    last = exchanges[index]
    used = last.characters
    if used > most_characters:
        return _latest_steps(last, most_characters)
    first = index
    while first and (used := used + exchanges[first - 1].characters) <= most_characters:
        first -= 1
    return [said for exchange in exchanges[first : index + 1] for said in exchange.said]


def _latest_steps(exchange: Exchange, most_characters: int) -> list[Said]:
    said = exchange.said
    used, first = len(said[0].text) + len(said[-1].text), len(said) - 1
    for index in range(len(said) - 2, 0, -1):
        used += len(said[index].text)
        if used > most_characters:
            break
        if said[index].role == "assistant":
            first = index
    return [said[0], *said[first:]]


def corrections(exchanges: Sequence[Exchange]) -> Iterator[int]:
    """The places of exchanges whose question corrects the answer before it."""
    for index in range(1, len(exchanges)):
        both = exchanges[index - 1].whole and exchanges[index].whole
        if both and is_correction(exchanges[index].question.text):
            yield index


def shortened(text: str, most_characters: int) -> str:
    """`text` without its middle where it is longer; a mark says how much is gone. Both ends tell most."""
    if len(text) <= most_characters:
        return text
    head = text[: most_characters * 2 // 3]
    tail = text[len(text) - (most_characters - len(head)) :]
    return f"{head}\n{LEFT_OUT.format(len(text) - most_characters)}\n{tail}"
