"""The learning report: what became of each correction and preference in an adapter, why, and what moved it most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from samloop.curate.preference import OPPOSITE
from samloop.example import Example
from samloop.loop.attribution import RUN, Trained, moved
from samloop.loop.context import Context
from samloop.loop.evaluate import BASE
from samloop.loop.items_corrections import items, pair_of, probes_of, trained_examples
from samloop.loop.withdraw import WITHDRAWN
from samloop.prepare.dataset import Dataset
from samloop.prepare.mix import FLOOR_SOURCES, is_own_word
from samloop.protocols import Score
from samloop.store import Filters
from samloop.text.held_out import words
from samloop.text.licences import UNKNOWN, admits

SUITE: Final = "corrections"
LEARNT: Final = "learnt"
KNOWN: Final = "known before"
NOT_MEASURED: Final = "not measured"
NOT_LEARNT: Final = "not learnt"
NOT_TRAINED: Final = "not trained"
OUTCOMES: Final = (LEARNT, KNOWN, NOT_MEASURED, NOT_LEARNT, NOT_TRAINED)

MOVED_SHOWN: Final = 10
QUESTION_CHARACTERS: Final = 120

SAME_ANSWER: Final = 0.5
"""Of an answer's three-word sequences: an example with so many of them teaches that answer."""

LEFT_OUT: Final = {
    "too_long": "over length: it does not fit train.max_seq_tokens",
    "rejected_too_long": "over length: the wrong answer does not fit train.max_seq_tokens, so the right one trained "
    "alone and nothing can be compared",
    "straddles": "left out: its question lies on two sides of the split",
    "held_out": "left out: it asks what is held out for another correction",
}
NO_ITEM: Final = "trained, but among more items than evaluate.max_items"
HELD_OUT: Final = {
    "valid": "held out: the split keeps it for validation",
    "test": "held out: the split keeps it for the test",
}


@dataclass(frozen=True, slots=True)
class _Measured:
    """Means over the items of one pair, in one adapter."""

    margin: float
    said: float
    items: int


def learn(context: Context, evaluation: Mapping[str, Any], dataset: Dataset) -> dict[str, Any] | None:
    """What became of each correction in the challenger, kept with the adapter; None where there is nothing to tell.

    Args:
        evaluation: what `evaluate_run` returns.

    Returns:
        {"counts": by outcome, "corrections": [{example_id, question, outcome, reason, margin_nats, base_margin_nats,
        said_share, items}], "moved": [{example_id, source, question, answer, share, towards, loss_drop_nats}]}.
    """
    if SUITE not in context.recipe.evaluate.suites:
        return None
    challenger = str(evaluation["challenger"])
    scores = {
        target: {score.name: score for score in evaluation["scores"][target] if score.suite == SUITE}
        for target in (BASE, challenger)
    }
    told = _told(context)
    if not told:
        return None
    train = _Train(dataset)
    before, after = _measured(scores[BASE]), _measured(scores[challenger])
    rows = [_row(context, one, dataset, train, told, before, after) for one in told]
    rows.sort(key=lambda row: (-OUTCOMES.index(row["outcome"]), row["example_id"]))
    context.store.record_learnt(challenger, [_kept(row) for row in rows if row["margin_nats"] is not None])
    counts = {outcome: sum(row["outcome"] == outcome for row in rows) for outcome in OUTCOMES}
    found = _moved(context, scores[BASE], scores[challenger], dataset)
    return {"counts": counts, "corrections": rows, "moved": found}


def kept_report(context: Context, run_id: str) -> dict[str, Any] | None:
    """The learning report of a turn, by its run; None where there is none."""
    try:
        found = orjson.loads((context.home.reports / f"{run_id}.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    learning = found.get("learning") if isinstance(found, dict) else None
    return learning if isinstance(learning, dict) else None


def _told(context: Context) -> list[Example]:
    """One example for each correction and preference: its pair, or where it has none, another one of it."""
    found: dict[str, Example] = {}
    for chosen in (Filters(formats=("dpo",)), Filters(sources=sorted(FLOOR_SOURCES))):
        for example in context.store.select(chosen):
            if is_own_word(example):
                found.setdefault(example.parent_id or example.id, example)
    return list(found.values())


class _Train:
    """What the train split says: which examples are in it, and how many questions get an answer."""

    def __init__(self, dataset: Dataset) -> None:
        self.sides = {id: side for side, ids in dataset.manifest["ids"].items() for id in ids}
        self.left_out: Mapping[str, str] = dataset.manifest.get("own_words_left_out", {})
        self._near: dict[tuple[str, ...], set[str]] = {}
        self._asked: dict[str, tuple[str, str | None]] = {}
        for example, line in trained_examples(dataset):
            self._asked[example.id] = " ".join(words(example.question)), line["metadata"]["group_key"]
            for run in _runs(example.answer):
                self._near.setdefault(run, set()).add(example.id)

    def teaching(self, answer: str, beside: Example) -> set[str]:
        """The questions whose examples give this answer, or most of it; those of `beside` itself are none."""
        runs = _runs(answer)
        counts: dict[str, int] = {}
        for run in runs:
            for id in self._near.get(run, ()):
                counts[id] = counts.get(id, 0) + 1
        found = [self._asked[id] for id, count in counts.items() if count >= SAME_ANSWER * len(runs)]
        own = " ".join(words(beside.input_text))
        return {asked for asked, group in found if asked != own and (group is None or group != beside.group_key)}


def _runs(text: str) -> set[tuple[str, ...]]:
    said = words(text)
    size = min(RUN, len(said))
    return {said[at : at + size] for at in range(len(said) - size + 1)} if said else set()


def _measured(scores: Mapping[str, Score]) -> dict[str, _Measured]:
    """By pair, from its held-out items; where it has none, from the wording that trained."""
    found: dict[str, _Measured] = {}
    for suffix in ("", "_trained_wordings"):
        margins, said = (scores.get(f"corrections_{name}{suffix}") for name in ("margin", "produced"))
        if margins is None or said is None:
            continue
        of_pair: dict[str, list[tuple[float, float]]] = {}
        for id, margin, produced in zip(margins.ids, margins.numerators, said.numerators, strict=True):
            of_pair.setdefault(pair_of(id), []).append((margin, produced))
        for pair, values in of_pair.items():
            margin, produced = (sum(value[side] for value in values) / len(values) for side in (0, 1))
            found.setdefault(pair, _Measured(margin, produced, len(values)))
    return found


def _row(
    context: Context,
    example: Example,
    dataset: Dataset,
    train: _Train,
    told: Sequence[Example],
    before: Mapping[str, _Measured],
    after: Mapping[str, _Measured],
) -> dict[str, Any]:
    base, now = before.get(example.id), after.get(example.id)
    reason: str | None = None
    if now is not None and now.margin > 0 and base is not None and base.margin > 0:
        outcome = KNOWN
    elif train.sides.get(example.id) != "train":
        outcome, reason = NOT_TRAINED, _why_not_trained(context, example, dataset, train)
    elif now is None:
        outcome, reason = NOT_MEASURED, _why_not_measured(example, train)
    elif now.margin > 0:
        outcome = LEARNT
    else:
        outcome, reason = NOT_LEARNT, _why_not_learnt(example, train, told)
    return {
        "example_id": example.id,
        "question": _short(example.input_text),
        "outcome": outcome,
        "reason": reason,
        "margin_nats": now.margin if now else None,
        "base_margin_nats": base.margin if base else None,
        "said_share": now.said if now else None,
        "items": now.items if now else 0,
    }


def _why_not_trained(context: Context, example: Example, dataset: Dataset, train: _Train) -> str:
    if example.state == "rejected":
        reason = example.reason or "no reason is known"
        contradicted = reason == OPPOSITE or reason.startswith(WITHDRAWN)
        return f"contradicted: {reason}" if contradicted else f"rejected: {reason}"
    if example.state == "review":
        return f"waits for a person in review: {example.reason or 'no reason is known'}"
    if example.id in train.left_out:
        return LEFT_OUT.get(train.left_out[example.id], train.left_out[example.id])
    if example.id in train.sides:
        return HELD_OUT[train.sides[example.id]]
    return _not_admitted(context, example) or (
        "it came after the dataset was drawn"
        if example.created_at > float(dataset.manifest["created_at"])
        else "it was not in the dataset, which was drawn before it was accepted or under other settings"
    )


def _why_not_measured(example: Example, train: _Train) -> str:
    if example.format != "dpo":
        return "trained, but nothing can be asked: its question, or the answer that was wrong, is not known"
    return LEFT_OUT.get(train.left_out.get(example.id, ""), NO_ITEM)


def _not_admitted(context: Context, example: Example) -> str | None:
    """Which setting of [prepare] keeps it out."""
    settings = context.recipe.prepare
    for name, value, allowed in (
        ("tiers", example.quality_tier, settings.tiers),
        ("domains", example.domain, settings.domains),
        ("sources", example.source, settings.sources),
    ):
        if allowed and value not in allowed:
            return f"not admitted: prepare.{name} does not list {value}"
    if settings.licences and not admits(example.licence or UNKNOWN, settings.licences):
        return f"not admitted: prepare.licences does not list {example.licence or UNKNOWN}"
    return None


def _why_not_learnt(example: Example, train: _Train, told: Iterable[Example]) -> str:
    asked, right = words(example.input_text), words(example.output_text)
    for other in told:
        same = other.state == "accepted" and words(other.input_text) == asked
        if same and other.created_at >= example.created_at and words(other.output_text) != right:
            return f"contradicted: another one gives the same question another answer ({other.id})"
    against, towards = (
        train.teaching(answer or "", example) for answer in (example.rejected_output, example.output_text)
    )
    if len(against) > len(towards) + 1:
        return f"outvoted: {len(against)} other questions in the dataset are given the wrong answer"
    if not towards:
        return "too rare: no other question in the dataset teaches this answer"
    return f"trained, yet not learnt: {len(towards)} other questions teach this answer as well"


def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("question", "items")}


def _moved(
    context: Context, base: Mapping[str, Score], challenger: Mapping[str, Score], dataset: Dataset
) -> list[dict[str, Any]]:
    name = "corrections_source_loss"
    if name not in base or name not in challenger:
        return []
    asked = set(challenger["corrections_margin"].ids)
    probes = probes_of([item for item in items(context, dataset) if item["id"] in asked])
    one, other = base[name], challenger[name]
    drops = {
        pair_of(id): (before - after) / tokens
        for id, before, after, tokens in zip(one.ids, one.numerators, other.numerators, one.denominators, strict=True)
    }
    examples: dict[str, tuple[Trained, str]] = {
        example.id: (example, line["metadata"]["source"])
        for example, line in trained_examples(dataset)
        if example.id in drops
    }
    found = moved(probes, [example for example, _ in examples.values()], drops)
    return [
        {
            "example_id": each.id,
            "source": examples[each.id][1],
            "question": _short(examples[each.id][0].question),
            "answer": _short(examples[each.id][0].answer),
            "share": round(each.share, 4),
            "towards": each.towards,
            "loss_drop_nats": round(each.loss_drop_nats, 4),
        }
        for each in found[:MOVED_SHOWN]
    ]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= QUESTION_CHARACTERS else line[: QUESTION_CHARACTERS - 1].rstrip() + "…"
