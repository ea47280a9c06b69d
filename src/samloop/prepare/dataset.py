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
from samloop.prepare import replay
from samloop.prepare.fit import Fitted, fit
from samloop.prepare.mix import FLOOR_SOURCES, Candidate, corrects, draw, is_own_word, replayed
from samloop.prepare.split import SPLITS, Split, Splitter
from samloop.settings import Prepare
from samloop.text.held_out import Questions, asked_by
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How large a dataset may be.

    Attributes:
        tokens: for one pass over it, both sides of a pair counted as `pair_passes` says; 0 for no bound.
        pair_passes: how often a run sees both sides of a pair for each time it sees an example.
        origin: what the bound comes from, for the manifest.
    """

    tokens: int = 0
    pair_passes: float = 1.0
    origin: Mapping[str, Any] = field(default_factory=dict)


UNBOUND: Final = Bounds()
NONE_HELD_OUT: Final = Questions()


@dataclass(slots=True)
class _Draft:
    """Lines and counts while examples come in."""

    lines: dict[Split, list[tuple[Candidate, dict[str, Any]]]] = field(
        default_factory=lambda: {split: [] for split in SPLITS}
    )
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    changed: Counter[str] = field(default_factory=Counter)
    replay: dict[str, Any] = field(default_factory=dict)
    own_words_left_out: dict[str, str] = field(default_factory=dict)

    def leave_out(self, reason: str, example: Example) -> None:
        self.left_out.setdefault(reason, Counter())[example.source] += 1
        if is_own_word(example):
            self.own_words_left_out[example.id] = reason


@dataclass(frozen=True, slots=True)
class _Form:
    """How examples become lines."""

    tokenizer: Tokenizer
    settings: Prepare
    max_seq_tokens: int
    system_prompt: str
    bounds: Bounds
    held_out: Questions


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
    bounds: Bounds = UNBOUND,
    replay_file: Path = replay.PACKAGED,
    held_out: Questions = NONE_HELD_OUT,
) -> Dataset:
    """Prepare `examples` and write them as a new dataset folder under `parent`, or find the one that is equal.

    Args:
        examples: accepted examples in the store's order.
        identity: what else names the dataset (base digest, store revision …), for the manifest.
        parent: the folder that holds datasets.
        near: by id of an example, the keys of the clusters of near-duplicates it belongs to; see `Splitter.assign`.
        bounds: what a run has time for; ``settings.token_budget`` bounds as well.
        replay_file: the general exchanges of which ``settings.replay_share`` is drawn.
        held_out: questions that no split may ask, and that are not replayed.

    Raises:
        InputError: nothing is left to train on; the message says what was left out and why.
        RecipeError: the replay file cannot be used.
    """
    form = _Form(tokenizer, settings, max_seq_tokens, system_prompt, bounds, held_out)
    draft = _sort_out(examples, form, near or {})
    _draw(draft, form, replay_file)
    for pairs in draft.lines.values():
        # By id, so that the digest depends on what is in the dataset and not on the order it came in.
        pairs.sort(key=lambda pair: pair[0].id)
    if not any(candidate.source != replay.SOURCE for candidate, _ in draft.lines["train"]):
        reasons = {reason: counts.total() for reason, counts in draft.left_out.items()}
        raise InputError(
            f"there is nothing to train on: no accepted example is left (left out: {reasons or 'none'}); "
            "collect more, or widen the [prepare] section of the recipe"
        )
    return _write(draft, form, identity, parent)


def _sort_out(examples: Iterable[Example], form: _Form, near: Mapping[str, Sequence[str]]) -> _Draft:
    draft, settings = _Draft(), form.settings
    splitter = Splitter(settings.valid_share, settings.test_share, settings.seed)
    for example in examples:
        if any(map(form.held_out.met_by, asked_by(example))):
            draft.leave_out("held_out", example)
            continue
        side = splitter.assign(example.group_key, example.input_hash, near.get(example.id, ()))
        if side is None:
            draft.leave_out("straddles", example)
            continue
        rejected = example.rejected_output if example.format == "dpo" else None
        messages = messages_of(example, form.system_prompt)
        fitted = fit(form.tokenizer, messages, form.max_seq_tokens, rejected)
        if fitted is None and rejected is not None:
            # The chosen answer alone still teaches what is right.
            fitted, rejected = fit(form.tokenizer, messages, form.max_seq_tokens), None
            draft.changed["rejected_left_out"] += fitted is not None
            if fitted is not None and is_own_word(example):
                draft.own_words_left_out[example.id] = "rejected_too_long"
        if fitted is None:
            draft.leave_out("too_long", example)
            continue
        if fitted.change != "whole":
            draft.changed[fitted.change] += 1
        draft.lines[side].append((_candidate(example, fitted, form), _line(example, fitted, rejected, settings)))
    return draft


def _candidate(example: Example, fitted: Fitted, form: _Form) -> Candidate:
    tokens = len(fitted.encoded.ids)
    if fitted.rejected_tokens:
        tokens += round((tokens + fitted.rejected_tokens) * form.bounds.pair_passes)
    return Candidate(example.id, example.source, tokens, floor=corrects(example))


def _draw(draft: _Draft, form: _Form, replay_file: Path) -> None:
    """Leave in the train split what the mix takes, and add what is replayed."""
    settings = form.settings
    budget = min(filter(None, (settings.token_budget, form.bounds.tokens)), default=0)
    share = settings.replay_share
    general = _general(form, replay_file) if share else []
    available = sum(candidate.tokens for candidate, _ in general)
    candidates = [candidate for candidate, _ in draft.lines["train"]]
    own = max(1, budget - int(min(share * budget, available))) if budget else 0
    mix = draw(candidates, token_budget=own, source_caps=settings.source_caps, seed=settings.seed)
    draft.lines["train"] = [pair for pair in draft.lines["train"] if pair[0].id in mix.ids]
    for reason, counts in mix.left_out.items():
        draft.left_out[reason] = Counter(counts)
    wanted = sum(mix.tokens_by_source.values()) * share / (1 - share)
    taken = replayed([candidate for candidate, _ in general], wanted, settings.seed)
    chosen = [pair for pair in general if pair[0].id in taken]
    draft.lines["train"] += chosen
    tokens = sum(candidate.tokens for candidate, _ in chosen)
    draft.replay = {"examples": len(chosen), "tokens": tokens, "share": share, "available_tokens": available}


def _general(form: _Form, path: Path) -> list[tuple[Candidate, dict[str, Any]]]:
    """The exchanges that may be replayed, as lines; those that are too long are none."""
    found = []
    licence = replay.LICENCE if path == replay.PACKAGED else None
    shared: dict[str, Any] = {"source": replay.SOURCE, "format": "chat", "input_text": "", "output_text": ""}
    for id, messages in replay.exchanges(path):
        if any(form.held_out.met_by(turn["content"]) for turn in messages if turn["role"] == "user"):
            continue
        opening = [Message(role="system", content=form.system_prompt)] if form.system_prompt else []
        fitted = fit(form.tokenizer, [*opening, *messages], form.max_seq_tokens)
        if fitted is not None:
            example = Example(id=id, group_key=id, licence=licence, **shared)
            tokens = len(fitted.encoded.ids)
            found.append((Candidate(id, replay.SOURCE, tokens), _line(example, fitted, None, form.settings)))
    return found


def _line(example: Example, fitted: Fitted, rejected: str | None, settings: Prepare) -> dict[str, Any]:
    messages: list[Message] = fitted.messages
    correction = corrects(example)
    metadata = {
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
        "weight": example.weight * (settings.correction_weight if correction else 1.0),
        "tokens": len(fitted.encoded.ids),
    }
    if correction:
        metadata["correction"] = True
    if rejected is None:
        return {"messages": messages, "metadata": metadata}
    metadata["rejected_tokens"] = fitted.rejected_tokens
    return {"messages": messages, "rejected": rejected, "metadata": metadata}


def _write(draft: _Draft, form: _Form, identity: Mapping[str, Any], parent: Path) -> Dataset:
    files = {f"{split}.jsonl": _jsonl(line for _, line in draft.lines[split]) for split in SPLITS}
    files["corrections.jsonl"] = _jsonl(line for _, line in draft.lines["train"] if _own_word(line))
    digest = _digest(files, form.max_seq_tokens)
    manifest = {"digest": digest, "created_at": time.time(), **identity, **_account(draft, form)}
    path = parent / digest[:DIGEST_LENGTH]
    with storing("the dataset", path):
        private_folder(parent)
        with whole_folder(path) as folder:
            for name, data in files.items():
                (folder / name).write_bytes(data)
            write_json(folder / "manifest.json", manifest)
    return Dataset.open(path)


def _own_word(line: Mapping[str, Any]) -> bool:
    return line["metadata"]["source"] in FLOOR_SOURCES or "correction" in line["metadata"]


def _account(draft: _Draft, form: _Form) -> dict[str, Any]:
    """What the manifest tells of the dataset."""
    lines = {split: [line for _, line in draft.lines[split]] for split in SPLITS}
    everything = [line for split in SPLITS for line in lines[split]]
    return {
        "max_seq_tokens": form.max_seq_tokens,
        "system_prompt": form.system_prompt,
        "settings": form.settings.model_dump(mode="json"),
        "examples": {split: len(lines[split]) for split in SPLITS},
        "tokens": {split: sum(line["metadata"]["tokens"] for line in lines[split]) for split in SPLITS},
        "pairs": {split: sum("rejected" in line for line in lines[split]) for split in SPLITS},
        "corrections": _corrections(lines["train"], form.settings.correction_weight),
        "replay": draft.replay,
        "masked_turns": sum(not turn.get("train", True) for line in everything for turn in line["messages"]),
        "counts": {
            name: dict(sorted(Counter(str(line["metadata"][name] or "unknown") for line in everything).items()))
            for name in ("source", "domain", "quality_tier", "licence")
        },
        "token_histogram": _histogram([line["metadata"]["tokens"] for line in everything]),
        "left_out": {reason: dict(sorted(counts.items())) for reason, counts in sorted(draft.left_out.items())},
        "fitted": dict(sorted(draft.changed.items())),
        "own_words_left_out": dict(sorted(draft.own_words_left_out.items())),
        "budget": {"tokens": form.bounds.tokens, **form.bounds.origin},
        "ids": {
            split: [candidate.id for candidate, _ in draft.lines[split] if candidate.source != replay.SOURCE]
            for split in SPLITS
        },
    }


def _corrections(train: Sequence[Mapping[str, Any]], weight: float) -> dict[str, Any]:
    """How loud corrections are in training: their number, their weight, and their share of all weighted tokens."""

    def weighed(line: Mapping[str, Any]) -> float:
        return float(line["metadata"]["weight"] * line["metadata"]["tokens"])

    own = [line for line in train if "correction" in line["metadata"]]
    whole = sum(map(weighed, train))
    share = sum(map(weighed, own)) / whole if whole else 0.0
    return {"examples": len(own), "weight": weight, "share": round(share, 6)}


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
