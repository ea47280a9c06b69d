"""Decontamination: no example may contain an item that evaluation asks.

An exact index of the items' 8-grams, as in the contamination studies of GPT-3 (Brown et al. 2020, appendix C, which
takes 8 to 13 words) and of Llama 2 (Touvron et al. 2023, appendix A.6, which counts the share of an item's tokens
that are covered). An item is contained where more than half of its tokens lie in 8-grams of the example.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from samloop.curate.measure import TEXTS, finding
from samloop.curate.words import Words, ngrams, slot, words, words_of
from samloop.protocols import Finding, Rule, rule

NGRAM: Final = 8
"""Words per n-gram. Shorter ones meet by chance; longer ones miss items that were changed a little."""

SHARE: Final = 0.5
"""More than this share of an item's words covered: the example contains it."""

REASON: Final = "contains an evaluation item"

_TABLE_SPARE: Final = 5
"""Each n-gram has 2⁵ places of a table and more, so that few of other texts meet one; small enough for a cache."""

_QUESTION_KEYS: Final = ("task", "prompt", "question", "instruction", "input_text", "input", "text")


def item_text(item: Mapping[str, Any]) -> str:
    """What an evaluation item asks: its task, prompt, question, turns or the user's messages; "" where none."""
    for key in _QUESTION_KEYS:
        if isinstance(item.get(key), str) and item[key].strip():
            return str(item[key])
    turns = item.get("turns")
    if isinstance(turns, Sequence) and not isinstance(turns, str):
        return "\n".join(turn for turn in turns if isinstance(turn, str))
    messages = item.get("messages")
    if isinstance(messages, Sequence) and not isinstance(messages, str):
        asked = [m.get("content") for m in messages if isinstance(m, Mapping) and m.get("role") == "user"]
        return "\n".join(text for text in asked if isinstance(text, str))
    return ""


class Decontaminator:
    """Finds examples that contain one of `items`, as a rule does that rejects.

    Words are told apart by their first eight bytes, without case and punctuation. An item of fewer than eight words
    is contained only where the input of an example is exactly it, because so few words stand anywhere.

    Args:
        items: the questions that evaluation asks, by the suite or file that asks them. The source of a suite's name
            (routing) keeps its very items back itself, and shares wordings with them by design: its examples are
            not compared with them.
    """

    def __init__(self, items: Mapping[str, Iterable[str]]) -> None:
        owned = {text: name for name, texts in items.items() for text in texts if text.strip()}
        self.items = tuple(owned)
        self._owners = np.array([*owned.values()], dtype=np.str_)
        own = words(pa.array(self.items, pa.large_string()))
        self._sizes = np.bincount(own.row, minlength=len(self.items))
        at, grams = ngrams(own.row, own.key, NGRAM)
        order = np.argsort(grams, kind="stable")
        self._grams, self._places = grams[order], at[order]
        self._rows = own.row
        self._starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self._sizes)])
        self._bits = max(len(grams).bit_length() + _TABLE_SPARE, 8)
        self._table = np.zeros(1 << self._bits, dtype=bool)
        self._table[slot(grams, self._bits)] = True
        short = np.flatnonzero((self._sizes > 0) & (self._sizes < NGRAM))
        self._short = {own.key[self._starts[i] : self._starts[i + 1]].tobytes(): int(i) for i in short}

    def __len__(self) -> int:
        return len(self.items)

    def contained(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
        """For each example the largest covered share of any item's words (float64), and that item's place or -1."""
        n = batch.num_rows
        share, which = np.zeros(n), np.full(n, -1, dtype=np.int64)
        history = batch.column("conversation_history")
        owner = {name: np.arange(n) for name in TEXTS if batch.column(name).null_count < n}
        owner["conversation_history"] = np.repeat(np.arange(n), np.diff(np.asarray(history.offsets)))
        hits = [self._hits(words_of(batch, name), of) for name, of in owner.items()]
        example, gram = (np.concatenate([hit[side] for hit in hits]) for side in (0, 1))
        sources = np.array(batch.column("source").to_pylist(), dtype=np.str_)
        if len(example):
            self._cover(example, gram, sources, share, which)
        self._whole(words_of(batch, "input_text"), sources, share, which)
        return share, which

    def as_rule(self) -> Rule:
        """The rule of that name. Measure: the largest share of an item's words that the example covers."""

        @rule("decontaminate", outcome="reject", reason=REASON)
        def contains(batch: pa.RecordBatch) -> Finding:
            share, _ = self.contained(batch)
            return finding(share > SHARE, share)

        return contains  # type: ignore[return-value]  # `rule` has marked it

    def _hits(self, found: Words, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The example and the place in the index of each n-gram of a column that is some item's."""
        at, grams = ngrams(found.row, found.key, NGRAM)
        seen = np.flatnonzero(self._table[slot(grams, self._bits)])
        at, grams = at[seen], grams[seen]
        first = np.searchsorted(self._grams, grams)
        real = first < len(self._grams)
        real[real] = self._grams[first[real]] == grams[real]
        return owner[found.row[at[real]]], first[real]

    def _cover(
        self, owner: np.ndarray, first: np.ndarray, sources: np.ndarray, share: np.ndarray, which: np.ndarray
    ) -> None:
        last = np.searchsorted(self._grams, self._grams[first], side="right")
        counts = last - first
        places = self._places[np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())]
        pairs = np.unique(np.stack([np.repeat(owner, counts), places]), axis=1)
        pairs = pairs[:, sources[pairs[0]] != self._owners[self._rows[pairs[1]]]]
        tokens = np.unique(
            np.stack([np.repeat(pairs[0], NGRAM), (pairs[1][:, None] + np.arange(NGRAM)).ravel()]), axis=1
        )
        both, covered = np.unique(np.stack([tokens[0], self._rows[tokens[1]]]), axis=1, return_counts=True)
        for example, item, count in zip(both[0], both[1], covered, strict=True):
            if count / self._sizes[item] > share[example]:
                share[example], which[example] = count / self._sizes[item], item

    def _whole(self, asked: Words, sources: np.ndarray, share: np.ndarray, which: np.ndarray) -> None:
        if not self._short:
            return
        bounds = np.searchsorted(asked.row, np.arange(len(share) + 1))
        sizes = np.diff(bounds)
        for i in np.flatnonzero((sizes > 0) & (sizes < NGRAM)):
            item = self._short.get(asked.key[bounds[i] : bounds[i + 1]].tobytes())
            if item is not None and sources[i] != self._owners[item]:
                share[i], which[i] = 1.0, item
