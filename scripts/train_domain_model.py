"""Train the domain model: softmax regression on hashed n-grams of requests, its weights in eight bits.

    python scripts/train_domain_model.py [--data FOLDER] [--labelled FILE]… [--out FILE] [--seed 0]

Trains on the requests of domain_seeds.txt, and on those of the public sets in --data (../shared/data by default) to
which domain_labels.toml or their set gives a domain; without the folder on the former alone. --labelled adds your
own: JSON lines with "text" and "domain", which weigh as much as the public ones labelled by hand. What tests it
(benchmarks/curation/domains.py) is kept out: no request that shares more than half of a test item's 8-grams. The same
input and seed give the same file on the same numpy. Printed: cross-validation over what was labelled by hand, with
the rest always in training.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import orjson
import pyarrow as pa

from domain_texts import Labelled, as_a_whole, by_hand, written

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks" / "curation"))

from domain_sets import test_sets
from realsets import DATA

from samloop.curate.batch import cleaned
from samloop.curate.decontaminate import Decontaminator
from samloop.curate.domain import keywords
from samloop.curate.domain.model import SHIPPED, DomainModel
from samloop.curate.domain.ngrams import ngrams
from samloop.curate.domain.signs import asked
from samloop.example import DOMAINS, Example

BITS = 15
PER_TEMPLATE = 6
PER_WHOLE_SET = 300
BY_HAND, WRITTEN, WHOLE = 5.0, 1.0, 0.3
"""Weights of an example, by where it comes from: a real request labelled by a person counts most."""

STEPS, RATE, DECAY = 60, 0.1, 1e-5
FOLDS = 4


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--labelled", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seeds = [(item, WRITTEN) for item in written(options.seed, PER_TEMPLATE)]
    there = options.data.is_dir()
    hand = (by_hand(options.data) if there else []) + [item for path in options.labelled for item in own(path)]
    whole = [(item, WHOLE) for item in (as_a_whole(options.data, PER_WHOLE_SET, options.seed) if there else [])]
    seeds, hand, whole = apart(seeds), [item for item, _ in apart([(item, BY_HAND) for item in hand])], apart(whole)
    print(f"{len(seeds)} written, {len(hand)} labelled by hand, {len(whole)} by their set")
    for name, some in (("written", [i for i, _ in seeds]), ("by hand", hand), ("by set", [i for i, _ in whole])):
        print(f"  {name}: " + ", ".join(f"{d} {k}" for d, k in sorted(Counter(d for _, d in some).items())))
    if len(hand) >= FOLDS:
        cross_validate(seeds + whole, hand, options.seed)
    model = trained([*seeds, *whole, *((item, BY_HAND) for item in hand)])
    model.save(options.out)
    print(f"wrote {options.out.name}, {options.out.stat().st_size:,} bytes")


def own(path: Path) -> list[Labelled]:
    """Requests of a file of JSON lines."""
    found = [(line["text"], line["domain"]) for line in map(orjson.loads, path.read_bytes().splitlines())]
    unknown = {domain for _, domain in found} - set(DOMAINS)
    if unknown:
        raise SystemExit(f"expected the domains of {path} to be among {', '.join(DOMAINS)}, got {', '.join(unknown)}")
    return found


def apart(items: list[tuple[Labelled, float]]) -> list[tuple[Labelled, float]]:
    """What shares no item with the test sets, each text once."""
    stripped = [((text.strip(), domain), weight) for (text, domain), weight in items if text.strip()]
    once = list({item[0][0]: item for item in stripped}.values())
    tests = {name: [text for text, _ in some] for name, some in test_sets().items()}
    examples = [
        Example(source="dataset", format="instruction", input_text=text, output_text=".", created_at=0, updated_at=0)
        for (text, _), _ in once
    ]
    hit = Decontaminator(tests).as_rule()(cleaned(examples, lambda _: False).to_batch()).hit.to_pylist()
    print(f"{sum(hit)} of {len(hit)} left out: test items")
    return [item for item, found in zip(once, hit, strict=True) if not found]


def trained(items: list[tuple[Labelled, float]]) -> DomainModel:
    """Full-batch Adam, stopped early, which regularises as the decay alone does not; then eight bits."""
    names = tuple(DOMAINS)
    found = ngrams(pa.array([text for (text, _), _ in items], pa.large_string()), BITS)
    n, buckets, true = len(items), 1 << BITS, np.array([names.index(domain) for (_, domain), _ in items])
    share = (1 / np.sqrt(np.bincount(found.row, minlength=n)))[found.row]
    weight = np.array([weight for _, weight in items])
    weight /= np.sqrt(np.bincount(true, weight, minlength=len(names)))[true]  # halfway to equal classes
    weight /= weight.sum()
    state = np.zeros((buckets + 1, len(names)))  # the last row is the bias
    mean, square = np.zeros_like(state), np.zeros_like(state)
    wanted = np.eye(len(names))[true]
    for step in range(1, STEPS + 1):
        scores = np.stack(
            [np.bincount(found.row, state[found.bucket, c] * share, minlength=n) for c in range(len(names))], axis=1
        )
        scores += state[-1]
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        error = (shares / shares.sum(axis=1, keepdims=True) - wanted) * weight[:, None]
        slope = np.empty_like(state)
        for c in range(len(names)):
            slope[:-1, c] = np.bincount(found.bucket, error[found.row, c] * share, minlength=buckets)
        slope[:-1] += DECAY * state[:-1]
        slope[-1] = error.sum(axis=0)
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        pace = RATE * (1 - step / (STEPS + 1))
        state -= pace * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-9)
    scale = float(np.abs(state[:-1]).max() / 127)
    weights = np.rint(state[:-1] / scale).astype(np.int8)
    return DomainModel(names, weights, scale, state[-1].copy())


def cross_validate(always: list[tuple[Labelled, float]], hand: list[Labelled], seed: int) -> None:
    """Print what the model and the keywords get right of what was labelled by hand."""
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(hand))
    texts = pa.array([text for text, _ in hand], pa.large_string())
    true = np.array([domain for _, domain in hand])
    told = np.empty(len(hand), dtype=true.dtype)
    for k in range(FOLDS):
        model = trained(always + [(item, BY_HAND) for item, at in zip(hand, fold, strict=True) if at != k])
        told[fold == k] = model.told(texts.filter(pa.array(fold == k)))
    floor = keywords.told(asked(pa.RecordBatch.from_arrays([texts], names=["input_text"])))
    right, of_keywords = np.mean(told == true), np.mean(floor == true)
    print(f"cross-validated on {len(hand)} labelled by hand: {right:.3f}, keywords {of_keywords:.3f}")


if __name__ == "__main__":
    main()
