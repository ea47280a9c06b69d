"""Rewordings of what people corrected, held out for good: they test what was learnt, and never train.

Each pair of a right and a wrong answer that a person gave gets `PER_PAIR` of them, kept in the store with the pair.
What asks one of them, or nearly, is left out of every dataset. Only another word of a person's own goes before: then
the rewording is retired and tests nothing any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

import orjson
import xxhash

from samloop.errors import TeacherError
from samloop.example import Example
from samloop.loop.context import Context
from samloop.loop.teacher import asking
from samloop.prepare.mix import FLOOR_SOURCES, is_own_word
from samloop.store import Filters
from samloop.teacher.asking import Asking
from samloop.text.held_out import Question, Questions, asked_by, words
from samloop.text.rewording import rewordings

PER_PAIR: Final = 2
"""Held-out rewordings of each pair: 30 corrections are the 50 items that a decision on them takes, and no night is
spent on asking for one thing in ten ways."""

ASKED_BEFORE: Final = "something stored asked it before it was held out"
ASKED_BY_A_PERSON: Final = "a correction or preference asks it"

LONG_WORD: Final = 5
"""Letters of a word that says what a question is about; a rewording keeps one of them, or asks something else."""

TEACHER: Final = (
    "Put the user's question into other words in 3 ways. Keep its language, its meaning, and every name, number, "
    "path and piece of code. Do not answer it. Reply with a JSON list of 3 strings and nothing else."
)
LONGER: Final = 3
"""Times as long as the question, beyond which the teacher's rewording says something else."""

LONGEST_GREETING: Final = 80
"""Characters that a rewording of a very short question may have besides."""

# What a rewording has to keep: quoted code, and words with a digit, a path's or an identifier's signs, or a capital
# inside.
_NAMES = re.compile(r"`[^`\n]+`|[\w./-]*(?:\d|[a-z][A-Z]|_\w|\w[./]\w)[\w./-]*")


def hold_out(context: Context, admitted: Filters) -> Questions:
    """Hold out rewordings of the pairs that have none yet, retire what people ask themselves; those in force.

    Args:
        admitted: what may train; only its pairs are tested.

    Raises:
        PluginError: the recipe's teacher is asked and there is none of that name.
        StoreError: the store cannot be read or written.
    """
    store = context.store
    stored = store.select(replace(admitted, formats=("dpo",)))
    pairs = {example.id: example for example in stored if is_own_word(example)}
    rows = store.held_out()
    have: dict[str, int] = dict.fromkeys(pairs, 0)
    for row in rows:
        if row["example_id"] in have and not row["retired"]:
            have[row["example_id"]] += 1
    wanting = [pairs[id] for id, count in have.items() if count < PER_PAIR]
    known = {row["question_id"] for row in rows}
    if new := [*_candidates(context, wanting, known)]:
        store.add_held_out(_chosen(context, new, have))
        rows = store.held_out()
    originals = {row["example_id"] for row in rows} - pairs.keys()
    asked = {id: example.input_text for id, example in pairs.items()} | _asked(context, originals)
    in_force = [
        Question(row["question_id"], row["text"], asked.get(row["example_id"], ""))
        for row in rows
        if not row["retired"]
    ]
    return _without_own_words(context, in_force)


def _candidates(
    context: Context, pairs: Sequence[Example], known: set[str]
) -> Iterator[tuple[Example, Question, str]]:
    """Rewordings that were never considered, by pair, the best first; with where they come from."""
    ask = asking(context) if pairs and context.recipe.evaluate.ask_teacher else None
    for pair in pairs:
        told: list[str] = []
        if ask is not None and not any(id.startswith(pair.id) for id in known):
            try:
                told = _told(ask, pair)
            except TeacherError:  # an endpoint that is down or a budget that is spent must not end the night
                ask = None
        own = Questions([Question("", pair.input_text, "")])
        # One that has the question itself in it, word for word, changes least.
        plain = sorted(rewordings(pair.input_text), key=lambda text: bool(own.met_by(text)))
        for origin, texts in (("teacher", told), ("template", plain)):
            for text in texts:
                id = f"{pair.id}-{xxhash.xxh3_64_hexdigest(text.encode())}"
                if id not in known:
                    yield pair, Question(id, text, pair.input_text), origin


def _told(ask: Asking, pair: Example) -> list[str]:
    """What the teacher makes of a question; what cannot be trusted to ask the same is left out."""
    answer = ask([{"role": "system", "content": TEACHER}, {"role": "user", "content": pair.input_text}]).text
    start, end = answer.find("["), answer.rfind("]")
    try:
        said: Any = orjson.loads(answer[start : end + 1])
    except orjson.JSONDecodeError:
        return []
    texts = [text.strip() for text in said if isinstance(text, str)] if isinstance(said, list) else []
    return [text for text in dict.fromkeys(texts) if _asks_the_same(pair, text)]


def _asks_the_same(pair: Example, text: str) -> bool:
    own, said, answer = words(pair.input_text), words(text), words(pair.output_text)
    names = {word for name in _NAMES.findall(pair.input_text) for word in words(name)}
    subject = {word for word in own if len(word) >= LONG_WORD} - names
    gives_away = bool(answer) and f" {' '.join(answer)} " in f" {' '.join(said)} "
    if not said or said == own or gives_away or len(text) > LONGER * len(pair.input_text) + LONGEST_GREETING:
        return False
    return names <= set(said) and (not subject or bool(subject & set(said)))


def _chosen(
    context: Context, new: Sequence[tuple[Example, Question, str]], have: dict[str, int]
) -> list[dict[str, Any]]:
    """Rows for the store: the first that nothing stored has asked, and those that something has, retired at once.

    One pass over all that is stored, only when there is something new to hold out: an adapter may have been trained
    on what is rejected by now.
    """
    questions = Questions(question for _, question, _ in new)
    met = {question.id for example in context.store.select(Filters()) for question in _met(questions, example)}
    rows, left = [], {id: PER_PAIR - count for id, count in have.items()}
    for pair, question, origin in new:
        row = {"question_id": question.id, "example_id": pair.id, "text": question.text, "origin": origin}
        if question.id in met:
            rows.append({**row, "retired": ASKED_BEFORE})
        elif left[pair.id] > 0:
            rows.append(row)
            left[pair.id] -= 1
    return rows


def _asked(context: Context, ids: set[str]) -> dict[str, str]:
    """What pairs ask that are not admitted at present: their rewordings stay held out."""
    found: dict[str, str] = {}
    waiting = iter(sorted(ids))
    while some := list(islice(waiting, 1000)):
        found |= {example.id: example.input_text for example in context.store.select(Filters(ids=some))}
    return found


def _without_own_words(context: Context, in_force: Sequence[Question]) -> Questions:
    """Those that no correction and no preference asks; the others are retired."""
    questions = Questions(in_force)
    retired: dict[str, str] = {}
    if in_force:
        for chosen in (Filters(sources=sorted(FLOOR_SOURCES)), Filters(formats=("dpo",))):
            for example in context.store.select(chosen):
                if example.state != "rejected" and is_own_word(example):
                    retired |= {question.id: ASKED_BY_A_PERSON for question in _met(questions, example)}
    if retired:
        context.store.retire_held_out(retired)
    return Questions(question for question in in_force if question.id not in retired)


def _met(questions: Questions, example: Example) -> Iterator[Question]:
    for text in asked_by(example):
        yield from questions.met_by(text)
