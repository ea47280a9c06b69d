"""The suite `quality`: what curation would think of the model's own answers.

It lies here because it joins two rooms: answers are judged by the very rules and rubric that judge examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from samloop.curate.engine import Curator
from samloop.evaluate.answers import ANSWER_TOKENS, answer_texts
from samloop.evaluate.items import question_of, score_of
from samloop.example import Example
from samloop.protocols import Model, Score, suite
from samloop.settings import Curate

SOURCE: Final = "model"
"""No source that a rubric trusts: an answer is worth what it says."""


@suite("quality", answers=True)
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """The score, 0 to 1, that the rubric `sound` gives each answer; an empty one has 0. Higher is better.

    The rubric is the package's with its own settings, whatever the recipe says: figures of two nights shall compare.

    Args:
        items: ``{"id", "messages"}``; an answer at their end is not shown to the model.
    """
    questions = [question_of(item) for item in items]
    said = answer_texts(model, questions, max_new_tokens=ANSWER_TOKENS)
    return [score_of("quality", "answer_quality", items, _scores(questions, said), said=tuple(said))]


def _scores(questions: Sequence[Sequence[Mapping[str, Any]]], said: Sequence[str]) -> list[float]:
    answered = [at for at, text in enumerate(said) if text.strip()]
    scores = [0.0] * len(said)
    if answered:
        examples = [
            Example(source=SOURCE, format="chat", input_text=_last(questions[at]), output_text=said[at])
            for at in answered
        ]
        for at, row in zip(answered, Curator(Curate()).curate(examples).rows, strict=True):
            scores[at] = float(row["quality_score"])
    return scores


def _last(messages: Sequence[Mapping[str, Any]]) -> str:
    return str(messages[-1]["content"])
