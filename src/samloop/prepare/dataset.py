"""Build a dataset: fitted, split and drawn examples in an immutable folder with a manifest and a digest."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from samloop.errors import InputError, NotFoundError
from samloop.example import Example, Message
from samloop.files import private_folder, storing, whole_folder, write_json
from samloop.prepare.fit import Fitted, fit
from samloop.prepare.mix import FLOOR_SOURCES, Candidate, draw
from samloop.prepare.split import SPLITS, Split, Splitter
from samloop.recipe import Prepare
from samloop.text.template import messages_of
from samloop.text.tokens import Tokenizer

DIGEST_LENGTH: Final = 16
"""Hex digits of a dataset's folder name; the manifest holds the whole SHA-256."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A prepared dataset on disk."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of what would be trained on."""
        return str(self.manifest["digest"])

    @classmethod
    def open(cls, path: Path) -> Dataset:
        """The dataset in the folder `path`.

        Raises:
            NotFoundError: there is no manifest.
            InputError: the manifest is damaged.
        """
        try:
            return cls(path, orjson.loads((path / "manifest.json").read_bytes()))
        except FileNotFoundError:
            raise NotFoundError(
                f"{path} is no dataset: it has no manifest.json; 'samloop prepare' makes one"
            ) from None
        except orjson.JSONDecodeError as error:
            raise InputError(f"the manifest of dataset {path} is damaged ({error}); prepare it again") from None


@dataclass(slots=True)
class _Draft:
    """Lines and counts while examples come in."""

    lines: dict[Split, list[tuple[Candidate, dict[str, Any]]]] = field(
        default_factory=lambda: {split: [] for split in SPLITS}
    )
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    changed: Counter[str] = field(default_factory=Counter)

    def leave_out(self, reason: str, source: str) -> None:
        self.left_out.setdefault(reason, Counter())[source] += 1


def build(
    examples: Iterable[Example],
    tokenizer: Tokenizer,
    settings: Prepare,
    *,
    max_seq_tokens: int,
    system_prompt: str,
    identity: Mapping[str, Any],
    parent: Path,
    near: Mapping[str, Sequence[str]] | None = None,
) -> Dataset:
    """Prepare `examples` and write them as a new dataset folder under `parent`, or find the one that is equal.

    Args:
        examples: accepted examples in the store's order.
        identity: what else names the dataset (base digest, store revision …), for the manifest.
        parent: the folder that holds datasets.
        near: by id of an example, the keys of the clusters of near-duplicates it belongs to; see `Splitter.assign`.

    Raises:
        InputError: nothing is left to train on; the message says what was left out and why.
    """
    draft = _sort_out(examples, tokenizer, settings, max_seq_tokens, system_prompt, near or {})
    candidates = [candidate for candidate, _ in draft.lines["train"]]
    mix = draw(candidates, token_budget=settings.token_budget, source_caps=settings.source_caps, seed=settings.seed)
    draft.lines["train"] = [pair for pair in draft.lines["train"] if pair[0].id in mix.ids]
    for pairs in draft.lines.values():
        # By id, so that the digest depends on what is in the dataset and not on the order it came in.
        pairs.sort(key=lambda pair: pair[0].id)
    for reason, counts in mix.left_out.items():
        draft.left_out[reason] = Counter(counts)
    if not draft.lines["train"]:
        reasons = {reason: counts.total() for reason, counts in draft.left_out.items()}
        raise InputError(
            f"there is nothing to train on: no accepted example is left (left out: {reasons or 'none'}); "
            "collect more, or widen the [prepare] section of the recipe"
        )
    return _write(draft, settings, max_seq_tokens, system_prompt, identity, parent)


def _sort_out(
    examples: Iterable[Example],
    tokenizer: Tokenizer,
    settings: Prepare,
    max_seq_tokens: int,
    system_prompt: str,
    near: Mapping[str, Sequence[str]],
) -> _Draft:
    draft = _Draft()
    splitter = Splitter(settings.valid_share, settings.test_share, settings.seed)
    for example in examples:
        side = splitter.assign(example.group_key, example.input_hash, near.get(example.id, ()))
        if side is None:
            draft.leave_out("straddles", example.source)
            continue
        fitted = fit(tokenizer, messages_of(example, system_prompt), max_seq_tokens)
        if fitted is None:
            draft.leave_out("too_long", example.source)
            continue
        if fitted.change != "whole":
            draft.changed[fitted.change] += 1
        tokens = len(fitted.encoded.ids)
        draft.lines[side].append((Candidate(example.id, example.source, tokens), _line(example, fitted)))
    return draft


def _line(example: Example, fitted: Fitted) -> dict[str, Any]:
    messages: list[Message] = fitted.messages
    return {
        "messages": messages,
        "metadata": {
            "id": example.id,
            "source": example.source,
            "format": example.format,
            "domain": example.domain,
            "complexity": example.complexity,
            "quality_tier": example.quality_tier,
            "quality_score": example.quality_score,
            "licence": example.licence,
            "language": example.language,
            "group_key": example.group_key,
            "weight": example.weight,
            "tokens": len(fitted.encoded.ids),
        },
    }


def _write(
    draft: _Draft,
    settings: Prepare,
    max_seq_tokens: int,
    system_prompt: str,
    identity: Mapping[str, Any],
    parent: Path,
) -> Dataset:
    files = {f"{split}.jsonl": _jsonl(line for _, line in draft.lines[split]) for split in SPLITS}
    everything = [line for split in SPLITS for _, line in draft.lines[split]]
    files["corrections.jsonl"] = _jsonl(
        line for _, line in draft.lines["train"] if line["metadata"]["source"] in FLOOR_SOURCES
    )
    digest = _digest(files, max_seq_tokens)
    manifest = {
        "digest": digest,
        "created_at": time.time(),
        **identity,
        "max_seq_tokens": max_seq_tokens,
        "system_prompt": system_prompt,
        "settings": settings.model_dump(mode="json"),
        "examples": {split: len(draft.lines[split]) for split in SPLITS},
        "tokens": {split: sum(candidate.tokens for candidate, _ in draft.lines[split]) for split in SPLITS},
        "counts": {
            name: dict(sorted(Counter(str(line["metadata"][name] or "unknown") for line in everything).items()))
            for name in ("source", "domain", "quality_tier", "licence")
        },
        "token_histogram": _histogram([line["metadata"]["tokens"] for line in everything]),
        "left_out": {reason: dict(sorted(counts.items())) for reason, counts in sorted(draft.left_out.items())},
        "fitted": dict(sorted(draft.changed.items())),
        "ids": {split: [candidate.id for candidate, _ in draft.lines[split]] for split in SPLITS},
    }
    path = parent / digest[:DIGEST_LENGTH]
    with storing("the dataset", path):
        private_folder(parent)
        with whole_folder(path) as folder:
            for name, data in files.items():
                (folder / name).write_bytes(data)
            write_json(folder / "manifest.json", manifest)
    return Dataset.open(path)


def _jsonl(lines: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)


def _digest(files: Mapping[str, bytes], max_seq_tokens: int) -> str:
    hasher = hashlib.sha256(str(max_seq_tokens).encode())
    for name in sorted(files):
        hasher.update(f"\n{name} {len(files[name])}\n".encode())
        hasher.update(files[name])
    return hasher.hexdigest()


def _histogram(lengths: list[int]) -> dict[str, list[int]]:
    """Counts of examples by token length, in ten equal bins; `edges` has one entry more than `counts`."""
    counts, edges = np.histogram(lengths or [0], bins=10)
    return {"edges": [int(edge) for edge in edges], "counts": [int(count) for count in counts]}
