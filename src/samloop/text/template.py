"""Conversations as token ids: through the base model's own chat template, with the answers marked.

Which tokens are answers is read off the template itself. What lies between the rendering up to an assistant turn
(with the generation prompt) and the rendering that includes the turn is that turn; so no template needs to be known
by name, and what is trained on is exactly what the model will have to continue when it serves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from samloop.errors import InputError, ModelError
from samloop.example import ROLES, Example, Message
from samloop.text.corrections import is_correction
from samloop.text.tokens import Tokenizer

TOOL_MARKER: Final = "[tool result]\n"
"""What a tool's message begins with where it has to travel as a user turn."""

_PRIVATE_USE: Final = range(0xE000, 0xF900)


class Turn(Message, total=False):
    """A message of a dataset's line; ``train`` is False on an answer that is shown and not learnt."""

    train: bool


@dataclass(frozen=True, slots=True)
class Encoded:
    """A conversation as a model sees it.

    Attributes:
        ids: int32[n], token ids.
        trainable: bool[n], True exactly on the tokens of assistant turns, the end-of-turn token included.
    """

    ids: npt.NDArray[np.int32]
    trainable: npt.NDArray[np.bool_]


def messages_of(example: Example, system_prompt: str = "") -> list[Message]:
    """The conversation an example stands for; the last message is the assistant's answer.

    The system prompt is the example's own, else a leading system turn of its history, else `system_prompt`; empty
    ones are left out. The context stands in the last user turn, before the question and a blank line, where it stays
    beside what is asked whatever the template does with system prompts. For ``dpo`` the answer is the chosen one.

    Earlier answers that were wrong carry ``"train": False``: those that the user turned down in the turn that
    follows, and those at the places that ``corrected_turns`` in the metadata names, counted in the history from zero.
    """
    history = _history(example)
    system = example.system_prompt or ""
    if history and history[0]["role"] == "system":
        system = system or history[0]["content"]
        history = history[1:]
    system = system or system_prompt
    question = f"{example.context}\n\n{example.input_text}" if example.context else example.input_text
    opening: list[Message] = [{"role": "system", "content": system}] if system else []
    return [
        *opening,
        *history,
        {"role": "user", "content": question},
        {"role": "assistant", "content": example.output_text},
    ]


def _history(example: Example) -> list[Message]:
    """The earlier turns, with the wrong answers marked."""
    turns: list[Message] = list(example.conversation_history)
    named = example.metadata.get("corrected_turns")
    wrong = {place for place in named if isinstance(place, int)} if isinstance(named, list | tuple) else set()
    turned_down = is_correction(example.input_text)
    for place in range(len(turns) - 1, -1, -1):
        turn = turns[place]
        if turn["role"] == "user":
            turned_down = is_correction(turn["content"])
        elif turn["role"] == "assistant" and (turned_down or place in wrong):
            turns[place] = Turn(role=turn["role"], content=turn["content"], train=False)
    return turns


def encode_chat(tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]]) -> Encoded:
    """A conversation as ids, with the tokens of every assistant turn marked.

    The ids before a marked stretch are those of `encode_prompt` for the messages before that turn. A turn with
    ``"train": False`` is there for what follows it and is not marked: an answer that was corrected later.

    Raises:
        InputError: a message has an unknown role or no text, or there is no assistant turn to learn.
        ModelError: the template refuses the conversation, or changes earlier turns when later ones follow.
    """
    ids: list[int] = []
    trainable: list[bool] = []
    for piece, counts in _pieces(tokenizer, messages, add_generation_prompt=False):
        ids += piece
        kept = _through_end_of_turn(tokenizer, piece) if counts else 0
        trainable += [True] * kept + [False] * (len(piece) - kept)
    if not any(trainable):
        raise InputError("expected a conversation with an assistant turn to learn, got one without")
    return Encoded(np.asarray(ids, dtype=np.int32), np.asarray(trainable, dtype=np.bool_))


def encode_prompt(tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """The ids of a conversation with the generation prompt behind it: what the model continues with its answer.

    Raises:
        InputError: a message has an unknown role or no text.
        ModelError: the template refuses the conversation, or changes earlier turns when later ones follow.
    """
    return [i for piece, _ in _pieces(tokenizer, messages, add_generation_prompt=True) for i in piece]


def fitted(tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """`messages` in the roles that the model's template knows.

    Where it takes no system turn, the system prompt moves to the head of the first user turn; where it takes no tool
    turn, a tool's result becomes a user turn that begins with `TOOL_MARKER`; where it wants the roles to alternate,
    neighbours of one role become one turn.

    Raises:
        InputError: a message has an unknown role or its content is no text.
    """
    return [{"role": turn["role"], "content": turn["content"]} for turn in _fitted(tokenizer, messages)]


def _fitted(tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As `fitted`, each turn with "train": whether it is learnt. Turns that become one are learnt if all may be."""
    turns = [_checked(m) for m in messages]
    manners = _manners(tokenizer)
    if not manners.system and turns and turns[0]["role"] == "system":
        turns = _system_to_user(turns)
    if not manners.tool:
        turns = [_tool_to_user(t) if t["role"] == "tool" else t for t in turns]
    return turns if manners.repeats else _merged(turns)


@dataclass(frozen=True, slots=True)
class _Manners:
    """What a template takes: a system turn, a tool turn, two turns of one role in a row."""

    system: bool
    tool: bool
    repeats: bool


@lru_cache(maxsize=16)
def _manners(tokenizer: Tokenizer) -> _Manners:
    system, user, answer, tool, again = (
        {"role": role, "content": f"a probe {n}"}
        for n, role in enumerate(("system", "user", "assistant", "tool", "user"))
    )
    return _Manners(
        system=tokenizer.accepts([system, user, answer]),
        tool=tokenizer.accepts([user, answer, tool, answer]),
        repeats=tokenizer.accepts([user, again, answer]),
    )


def _checked(message: Mapping[str, Any]) -> dict[str, Any]:
    # An unknown role could carry special tokens into the text: templates write roles as they come.
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise InputError(f"expected a role out of {', '.join(ROLES)}, got another")
    if not isinstance(content, str):
        raise InputError(f"expected the content of the {role} turn to be text, got {type(content).__name__}")
    return {"role": role, "content": content, "train": message.get("train", True) is not False}


def _system_to_user(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    system, rest = turns[0]["content"], turns[1:]
    if rest and rest[0]["role"] == "user":
        return [{**rest[0], "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:]]
    return [{**turns[0], "role": "user"}, *rest]


def _tool_to_user(turn: dict[str, Any]) -> dict[str, Any]:
    return {**turn, "role": "user", "content": TOOL_MARKER + turn["content"]}


def _merged(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    merged: list[dict[str, Any]] = []
    for turn in turns:
        if merged and merged[-1]["role"] == turn["role"]:
            before = merged[-1]
            content = f"{before['content']}\n\n{turn['content']}"
            merged[-1] = {**turn, "content": content, "train": before["train"] and turn["train"]}
        else:
            merged.append(turn)
    return merged


def _pieces(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool
) -> Iterator[tuple[list[int], bool]]:
    """The rendered conversation cut at the borders of its answers, as ids, and whether each piece is to be learnt.

    Pieces are encoded one by one, so that no token straddles a border: what the model is trained to continue is
    then token for token what it is asked to continue.
    """
    known = _fitted(tokenizer, messages)
    plain = [{"role": turn["role"], "content": turn["content"]} for turn in known]
    learnt = [turn["train"] for turn in known if turn["role"] == "assistant"]
    turns, guard = _guarded(tokenizer, plain)
    whole = tokenizer.render(turns, add_generation_prompt)
    previous: int | None = None
    position = 0
    spans = [*_answer_spans(tokenizer, turns, whole), (len(whole), len(whole))]
    for (start, end), counts in zip(spans, [*learnt, False], strict=True):
        for piece, is_learnt in ((whole[position:start], False), (whole[start:end], counts)):
            ids = tokenizer.encode_rendered(piece, guard, previous)
            if ids:
                previous = ids[-1]
                yield ids, is_learnt
        position = end


def _guarded(tokenizer: Tokenizer, turns: list[dict[str, str]]) -> tuple[list[dict[str, str]], str]:
    """`turns` with special-token text in their contents broken by a guard character that occurs nowhere in them."""
    special = tokenizer.special_pattern
    if not any(special.search(t["content"]) for t in turns):
        return turns, ""
    used = set().union(*(t["content"] for t in turns))
    guard = next(chr(code) for code in _PRIVATE_USE if chr(code) not in used)

    def broken(match: re.Match[str]) -> str:
        text = match.group()
        blanks = len(text) - len(text.lstrip())
        return f"{text[: blanks + 1]}{guard}{text[blanks + 1 :]}"

    return [{**t, "content": special.sub(broken, t["content"])} for t in turns], guard


def _answer_spans(tokenizer: Tokenizer, turns: Sequence[Mapping[str, str]], whole: str) -> Iterator[tuple[int, int]]:
    """Where each assistant turn lies in the rendering: [start, end) in characters."""
    for i, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        before = tokenizer.render(turns[:i], add_generation_prompt=True)
        through = tokenizer.render(turns[: i + 1])
        if not (whole.startswith(through) and through.startswith(before)):
            raise ModelError(
                f"the chat template of {tokenizer.folder} renders earlier turns differently when later ones follow "
                f"(turn {i + 1} of {len(turns)}), so answers cannot be told apart; train on single turns, or use "
                "another template"
            )
        yield len(before), len(through)


def _through_end_of_turn(tokenizer: Tokenizer, answer: Sequence[int]) -> int:
    """How many tokens of an answer's piece count: up to its last end token, or all where it has none.

    ChatML writes a line break behind `<|im_end|>` that no model ever gets to say.
    """
    return max((n for n, i in enumerate(answer, start=1) if i in tokenizer.end_ids), default=len(answer))
