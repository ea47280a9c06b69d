"""Does the score choose better training data? Held-out loss of the pocket base after training on equal-token subsets.

    python benchmarks/curation/score_training.py [--rubric sound] [--tokens 120000] [--seconds 280] [--keep FILE]

The pool is mixed: real sets as they are, with the dirt they have, and a share of their examples spoilt as in
score_auroc.py. From it each way of choosing takes examples up to the same number of tokens; the project's own driver
trains a LoRA adapter on them for one pass, and the loss on answers that were held out, by group and never spoilt, is
measured with the project's own model. A seed decides the draws, the ties, the order and LoRA's beginnings.

The ways: "random"; "longest" examples first; "top by score" (the quality score alone, ties drawn); "accepted by
score" (rejected and doubted ones last, then by score); "top of each set" (by score, each set with its share of the
pool's tokens, which keeps the mix); "accepted" (any accepted one, drawn, which is what `prepare` does); and for
orientation "unspoilt", drawn from those nobody spoilt, which knows the truth.

Runs are kept in FILE under a digest of what went into them; a call does as many as fit into --seconds and the next
one goes on. The table is published when none is missing. Needs the public sets of ../shared/data (or SAMLOOP_DATA).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corruptions import CORRUPTIONS
from realsets import DATA, examples

import samloop
from common import machine, publish, table
from samloop.curate.engine import Curator
from samloop.example import Example, to_json
from samloop.protocols import AdapterRef
from samloop.settings import Curate
from samloop.text.template import encode_chat, messages_of
from samloop.text.tokens import Tokenizer
from samloop.train import driver
from samloop.train.base import Base
from samloop.train.batches import read_examples
from samloop.train.job import TrainJob
from samloop.train.torch_backend import TorchBackend

BASE = Path(samloop.__file__).parent / "pocket"
SETS = ("GPTeacher", "self-instruct", "Glaive", "OASST", "LLMBar", "PandaLM", "GSM8K", "T0")
MOST_OF_A_SET, HELD_OUT, SPOILT = 1000, 0.12, 0.3
MAX_TOKENS = 512
STATES = {"rejected": 0, "review": 1, "accepted": 2}


@dataclass(frozen=True)
class Item:
    """A candidate of the pool: what it was made of, and what curation says of it."""

    example: Example
    of: str
    spoilt: str
    tokens: int
    score: float
    state: int


def drawn(tokenizer: Tokenizer, rubric: str) -> tuple[list[Item], dict[str, list[Example]]]:
    """The pool and, by set, the held-out examples; the same in every call."""
    rng, curator = random.Random(0), Curator(Curate(rubric=rubric))
    pool: list[Item] = []
    held: dict[str, list[Example]] = {}
    for name in SETS:
        whole = [e for e in examples(name) if length(tokenizer, e) <= MAX_TOKENS]
        chosen = rng.sample(whole, min(len(whole), MOST_OF_A_SET))
        held[name] = [e for e in chosen if side(e) < HELD_OUT]
        rest = [e for e in chosen if side(e) >= HELD_OUT]
        made = [spoil(e, rest, rng) for e in rest]
        rows = curator.curate([e for e, _ in made]).rows
        for (example, spoilt), row in zip(made, rows, strict=True):
            tokens = length(tokenizer, example)
            if tokens <= MAX_TOKENS:
                pool.append(Item(example, name, spoilt, tokens, row["quality_score"], STATES[row["state"]]))
    return pool, held


def side(example: Example) -> float:
    """Where an example's group lies between 0 and 1: one group is on one side of the split."""
    key = example.group_key or example.input_text
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32


def spoil(example: Example, others: Sequence[Example], rng: random.Random) -> tuple[Example, str]:
    """The example as it is or, for a share, spoilt in a way that applies to it."""
    if rng.random() >= SPOILT:
        return example, ""
    for kind in rng.sample(sorted(CORRUPTIONS), len(CORRUPTIONS)):
        made = CORRUPTIONS[kind](example, others, rng)
        if made is not None:
            return made, kind
    return example, ""


def length(tokenizer: Tokenizer, example: Example) -> int:
    """Tokens of the whole example as it is trained on."""
    return len(encode_chat(tokenizer, messages_of(example)).ids)


EACH_SET = "top of each set"
WAYS: dict[str, Callable[[Item, float], tuple[float, ...]]] = {
    "random": lambda _, chance: (chance,),
    "longest": lambda item, chance: (-item.tokens, chance),
    "top by score": lambda item, chance: (-item.score, chance),
    "accepted by score": lambda item, chance: (-item.state, -item.score, chance),
    EACH_SET: lambda item, chance: (-item.score, chance),
    "accepted": lambda item, chance: (item.state < STATES["accepted"], chance),
    "unspoilt": lambda item, chance: (bool(item.spoilt), chance),
}
"""By name: what the pool is sorted by, lowest first."""


def subset(pool: Sequence[Item], way: str, seed: int, budget: int) -> list[Item]:
    """The items that a way of choosing takes, up to `budget` tokens."""
    if way == EACH_SET:
        parts = [[item for item in pool if item.of == name] for name in SETS]
        share = budget / sum(item.tokens for item in pool)
        budgets = [int(share * sum(item.tokens for item in part)) for part in parts]
        return [
            item for part, own in zip(parts, budgets, strict=True) for item in subset(part, "top by score", seed, own)
        ]
    rng = random.Random(seed)
    ranked = sorted([(WAYS[way](item, rng.random()), at) for at, item in enumerate(pool)])
    taken, tokens = [], 0
    for _, at in ranked:
        if tokens + pool[at].tokens <= budget:
            taken.append(pool[at])
            tokens += pool[at].tokens
        if tokens > budget - 50:
            break
    return taken


def write(path: Path, some: Sequence[Example]) -> Path:
    """The lines that the driver reads."""
    path.write_text("".join(to_json({"messages": messages_of(e)}) + "\n" for e in some), encoding="utf-8")
    return path


def trained(taken: Sequence[Item], held: dict[str, list[Example]], seed: int) -> dict[str, float]:
    """Held-out nats per answer token by set, and over all, after one pass over `taken`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "train.jsonl", [item.example for item in taken])
        result = driver.run(job(folder, seed), folder / "run", lambda _: None, lambda: False)
        found = measured(held, folder, Path(result["adapter"]))
        return found | {"steps": result["steps"], "tokens": result["train_tokens"]}


def job(folder: Path, seed: int) -> TrainJob:
    """The same settings for every subset."""
    return TrainJob(
        run_id="score",
        dataset=str(folder),
        base=str(BASE),
        base_name="pocket",
        backend="torch",
        rank=16,
        alpha=32.0,
        targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        batch_examples=8,
        accumulation_steps=1,
        max_seq_tokens=MAX_TOKENS,
        learning_rate=2e-3,
        seed=seed,
        checkpoint_steps=10**6,
    )


def measured(held: dict[str, list[Example]], folder: Path, adapter: Path | None) -> dict[str, float]:
    """Nats per answer token on each held-out set, over all tokens ("ALL") and as the mean of the sets ("sets")."""
    tokenizer = Tokenizer.load(BASE)
    model = TorchBackend().load(BASE, [AdapterRef(name="chosen", path=adapter)] if adapter else [])
    model.use("chosen" if adapter else None)
    found: dict[str, float] = {}
    nats, counted = 0.0, 0.0
    for name, some in held.items():
        encoded = read_examples(write(folder / "held.jsonl", some), tokenizer, max_seq_tokens=MAX_TOKENS)
        spans = [slice(*encoded.starts[i : i + 2]) for i in range(len(encoded))]
        logprobs = model.logprobs([encoded.ids[span].tolist() for span in spans])
        weights = [encoded.weights[span][1:] for span in spans]
        lost = -sum(float(np.dot(one, w)) for one, w in zip(logprobs, weights, strict=True))
        tokens = float(sum(w.sum() for w in weights))
        found[name] = lost / tokens
        nats, counted = nats + lost, counted + tokens
    return {"ALL": nats / counted, "sets": float(np.mean(list(found.values()))), **found}


def digest(taken: Sequence[Item], held: dict[str, list[Example]], seed: int) -> str:
    """What a run's outcome depends on, as a name."""
    hasher = hashlib.sha256(to_json(job(Path(), seed).to_dict() | {"base": Base.open(BASE).fingerprint}).encode())
    for one in [item.example for item in taken] + [e for some in held.values() for e in some]:
        hasher.update(to_json(messages_of(one)).encode())
    return hasher.hexdigest()[:16]


def main() -> None:
    """Do what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=120_000, help="of each subset")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=280, help="begin no further run after so long")
    parser.add_argument("--rubric", default=Curate().rubric, help="by which the score is made")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "samloop_score_training.json")
    options = parser.parse_args()
    began = time.monotonic()
    if not examples("GSM8K"):
        raise SystemExit(f"expected the public sets in {DATA}; set SAMLOOP_DATA")
    pool, held = drawn(Tokenizer.load(BASE), options.rubric)
    kept = json.loads(options.keep.read_text()) if options.keep.is_file() else {}
    runs: dict[str, list[tuple[list[Item], dict[str, float]]]] = {way: [] for way in WAYS}
    missing = 0
    for seed in range(options.seeds):
        for way in WAYS:
            taken = subset(pool, way, seed, options.tokens)
            key = digest(taken, held, seed)
            if key not in kept:
                if time.monotonic() - began > options.seconds:
                    missing += 1
                    continue
                kept[key] = trained(taken, held, seed)
                options.keep.write_text(json.dumps(kept))
                print(f"seed {seed}, {way}: {kept[key]['ALL']:.4f}", file=sys.stderr)
            runs[way].append((taken, kept[key]))
    if missing:
        raise SystemExit(f"{missing} of {len(WAYS) * options.seeds} runs are left; the same command goes on")
    with tempfile.TemporaryDirectory() as folder:
        untrained = measured(held, Path(folder), None)
    name = "score_training" + (f"_{options.rubric}" if options.rubric != Curate().rubric else "")
    publish(name, report(pool, held, runs, untrained, options), folder=Path(__file__).parent / "results")


def report(
    pool: Sequence[Item],
    held: dict[str, list[Example]],
    runs: dict[str, list[tuple[list[Item], dict[str, float]]]],
    untrained: dict[str, float],
    options: argparse.Namespace,
) -> str:
    """The tables: losses, differences seed by seed, what was chosen."""
    names = ("ALL", "sets", *SETS)
    rows: list[tuple[object, ...]] = [("held-out nats per answer token", *names)]
    rows.append(("untrained", *(f"{untrained[n]:.3f}" for n in names)))
    for way, done in runs.items():
        rows.append((way, *(f"{np.mean([found[n] for _, found in done]):.3f}" for n in names)))
    gains: list[tuple[object, ...]] = [("less loss than", "random", "longest", "seeds better than both")]
    for way in (way for way in WAYS if way not in ("random", "longest")):
        gain = {
            other: np.array([r["ALL"] - w["ALL"] for (_, r), (_, w) in zip(runs[other], runs[way], strict=True)])
            for other in ("random", "longest")
        }
        both = int(((gain["random"] > 0) & (gain["longest"] > 0)).sum())
        shown = (f"{g.mean():+.4f} ({g.min():+.4f} to {g.max():+.4f})" for g in gain.values())
        gains.append((way, *shown, f"{both} of {options.seeds}"))
    kinds = sorted({item.spoilt for item in pool} - {""})
    chosen: list[tuple[object, ...]] = [("what was chosen", "examples", "tokens", "spoilt", *kinds, *SETS)]
    everything = [("the pool", list(pool)), *((way, done[0][0]) for way, done in runs.items())]
    for way, taken in everything:
        shares = [sum(i.spoilt == kind for i in taken) / len(taken) for kind in kinds]
        origin = [sum(i.tokens for i in taken if i.of == name) for name in SETS]
        whole = sum(origin)
        cells = [f"{sum(shares):.1%}", *(f"{s:.1%}" for s in shares), *(f"{o / whole:.0%}" for o in origin)]
        chosen.append((way, len(taken), whole, *cells))
    setting = (
        f"rubric {options.rubric}; pocket base, LoRA rank 16 on all linear modules, batches of 8, peak rate 0.002, "
        f"one pass over {options.tokens:,} tokens, {options.seeds} seeds;\npool of {len(pool):,} examples, "
        f"{sum(map(len, held.values()))} held out. The base has seen parts of these sets when it was built "
        "(GPTeacher, self-instruct,\nGlaive, OASST, some of T0), held-out ones too, which is the same for every way "
        "of choosing."
    )
    return "\n\n".join(
        [
            f"{machine('torch', 'numpy')}\n{setting}",
            table(rows),
            table(gains),
            "Seed 0, shares of the examples by corruption and of the tokens by set:\n" + table(chosen),
        ]
    )


if __name__ == "__main__":
    main()
