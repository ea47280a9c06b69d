"""The items of the suite `corrections`: every correction and preference is a test.

A pair that trains is asked in its held-out rewordings and, as a slice of its own, in the wording that trained. A pair
that the split holds out is asked in all its wordings: none of them trained. What an earlier champion had learnt is
asked on, also when it is not in the dataset any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson
import xxhash

from samloop.evaluate.corrections import HELD_OUT, SOURCE, TRAINED
from samloop.example import Example
from samloop.loop.attribution import Probe, Trained, nearest
from samloop.loop.context import Context
from samloop.prepare.dataset import Dataset
from samloop.prepare.fit import fit
from samloop.prepare.mix import is_own_word
from samloop.store import Filters
from samloop.text.base import resolve_base
from samloop.text.template import messages_of
from samloop.text.tokens import Tokenizer

OTHER_SHARE: Final = 8
"""One item in so many is a trained wording, and one a training example: what is held out has the rest."""

Items = list[dict[str, Any]]


def items(context: Context, dataset: Dataset) -> Items:
    """Items by pair, at most ``evaluate.max_items``; each pair is a group, its id the beginning of theirs.

    Where there are too many, they are drawn by hash, so that the same are drawn next time.

    Raises:
        ModelError: the base model has no usable tokenizer or template.
    """
    most = context.recipe.evaluate.max_items
    questions = _questions(context)
    kept = context.store.learnt_by_champions(context.slot)
    ids: Mapping[str, Sequence[str]] = dataset.manifest["ids"]
    trained, others = set(ids["train"]), set(ids["valid"]) | set(ids["test"])
    pairs = _pairs(context, questions.keys() | trained | others)
    if not pairs:
        return []
    item = _Items(Tokenizer.load(resolve_base(context.recipe.train.model)), dataset)
    held_out: Items = []
    known: Items = []
    for pair in pairs:
        if pair.id in trained | others | kept:
            wordings = questions.get(pair.id, [])
            if pair.id in ids["test"]:
                wordings = [pair.input_text, *wordings]
            held_out += [one for text in wordings for one in item.of(pair, text, HELD_OUT, kept=pair.id in kept)]
        if pair.id in trained:
            known += item.of(pair, pair.input_text, TRAINED)
    known = _drawn(known, max(1, most // OTHER_SHARE))
    sources = _sources(dataset, held_out, max(1, most // OTHER_SHARE))
    return [*_drawn(held_out, max(1, most - len(known) - len(sources))), *known, *sources]


def trained_examples(dataset: Dataset) -> Iterator[tuple[Trained, dict[str, Any]]]:
    """The train split's examples as attribution sees them, with their lines."""
    with (dataset.path / "train.jsonl").open("rb") as file:
        for text in file:
            line = orjson.loads(text)
            about = line["metadata"]
            *before, last = line["messages"]
            asked = next((turn["content"] for turn in reversed(before) if turn["role"] == "user"), "")
            yield Trained(about["id"], asked, last["content"], line.get("rejected", ""), about["weight"]), line


def probes_of(lines: Sequence[Mapping[str, Any]]) -> list[Probe]:
    """The held-out items as attribution sees them."""
    return [
        Probe(line["messages"][-1]["content"], line["answer"], line["wrong"])
        for line in lines
        if line["slice"] == HELD_OUT
    ]


def pair_of(item_id: str) -> str:
    """The id of the pair that an item asks, or of the training example that it is."""
    kind, _, example = item_id.partition(":")
    return example if kind == SOURCE else item_id.partition("-")[0]


class _Items:
    """Makes items of pairs."""

    def __init__(self, tokenizer: Tokenizer, dataset: Dataset) -> None:
        self._tokenizer, self._most_tokens = tokenizer, int(dataset.manifest["max_seq_tokens"])
        self._system_prompt = str(dataset.manifest["system_prompt"])

    def of(self, pair: Example, text: str, slice_name: str, *, kept: bool = False) -> Items:
        """The item that asks `text`, in a list; an empty one where it does not fit the longest sequence."""
        asked = messages_of(replace(pair, input_text=text), self._system_prompt)
        fitted = fit(self._tokenizer, asked, self._most_tokens, pair.rejected_output)
        if fitted is None:
            return []
        made: dict[str, Any] = {
            "id": f"{pair.id}-{xxhash.xxh3_64_hexdigest(text.encode())}",
            "messages": fitted.messages[:-1],
            "answer": pair.output_text,
            "wrong": pair.rejected_output,
            "slice": slice_name,
            "group_key": pair.parent_id or pair.group_key or pair.id,
            "metadata": {"source": pair.source},
        }
        if slice_name == TRAINED:
            made["trained"] = True
        return [{**made, "kept": True} if kept else made]


def _questions(context: Context) -> dict[str, list[str]]:
    """The held-out questions in force, by pair."""
    found: dict[str, list[str]] = {}
    for row in context.store.held_out():
        if not row["retired"]:
            found.setdefault(row["example_id"], []).append(row["text"])
    return found


def _pairs(context: Context, ids: set[str]) -> list[Example]:
    """The accepted pairs among `ids` that say what a person wants, by id."""
    chosen = context.store.select(Filters(formats=("dpo",), states=("accepted",)))
    return sorted((one for one in chosen if one.id in ids and is_own_word(one)), key=lambda one: one.id)


def _drawn(found: Items, most: int) -> Items:
    if len(found) <= most:
        return found
    return sorted(found, key=lambda one: xxhash.xxh3_64_intdigest(str(one["id"]).encode()))[:most]


def _sources(dataset: Dataset, held_out: Items, most: int) -> Items:
    """The training examples that are nearest to the tests, for the learning report."""
    probes = probes_of(held_out)
    if not probes:
        return []
    near = {example.id for example in nearest(probes, (example for example, _ in trained_examples(dataset)), most)}
    found = ((example.id, line) for example, line in trained_examples(dataset) if example.id in near)
    return [
        {
            "id": f"{SOURCE}:{id}",
            "messages": line["messages"],
            "slice": SOURCE,
            "trained": True,
            "group_key": id,
            "metadata": {"source": line["metadata"]["source"]},
        }
        for id, line in found
    ]
