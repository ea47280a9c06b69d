"""How often the keyword floor and the model name the right domain, how complexity ranks, and what either costs.

    python benchmarks/curation/domains.py

Sets, their labels and whose they are: domain_sets.py. Nothing of them was trained on. Complexity has no labelled set
of its own; it is compared with what should grow with it: the number of instructions (IFEval), of steps of the
solution (GSM8K), of its lines (HumanEval), and our own labels of the held-out requests. Needs ../shared/data (or
SAMLOOP_DATA).
"""

from __future__ import annotations

import dataclasses
import gzip
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import orjson
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from domain_sets import Labelled, held_out, test_sets
from realsets import DATA, examples

import curate_speed
from common import alternate, machine, median, publish, table
from domain_texts import as_a_whole
from samloop.curate.batch import cleaned
from samloop.curate.domain import Classifier, keywords
from samloop.curate.domain.model import SHIPPED, loaded
from samloop.curate.domain.signs import asked as beginning
from samloop.example import DOMAINS, Example

WAYS = {"keywords": Classifier("keywords"), "model": Classifier("model")}
WORST = 3
"""How many confusions are shown per set and way."""

TRAINED_OF_A_SET = 300
RESAMPLES = 1000


def asked(texts: Sequence[str], answers: Sequence[str] | None = None) -> pa.RecordBatch:
    """Examples of these requests, without answers unless they are given."""
    made = [
        Example(source="dataset", format="instruction", input_text=text, output_text=answer,
                created_at=0.0, updated_at=0.0)
        for text, answer in zip(texts, answers or ["."] * len(texts), strict=True)
    ]  # fmt: skip
    return cleaned(made, lambda _: False).to_batch()


def code() -> list[Labelled]:
    """GPTeacher's code instructions, asked without their answers, but for those that the model was trained on."""
    trained = {text for text, _ in as_a_whole(DATA, TRAINED_OF_A_SET, 0)}
    found = [e.input_text for e in examples("GPTeacher")]
    return [(text, "code") for text in found if text not in trained]


def macro_f1(true: np.ndarray, told: np.ndarray) -> float:
    """The mean over the domains that occur of 2 · right / (told + true)."""
    return float(np.mean([
        2 * np.sum((true == d) & (told == d)) / max(np.sum(true == d) + np.sum(told == d), 1)
        for d in sorted(set(true.tolist()))
    ]))  # fmt: skip


def gain(right: dict[str, np.ndarray]) -> str:
    """95 % of the bootstrapped differences of accuracy, model minus keywords, over the same requests."""
    rng, delta = np.random.default_rng(0), right["model"].astype(float) - right["keywords"]
    drawn = [delta[rng.integers(0, len(delta), len(delta))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{low:+.3f} to {high:+.3f}"


def domains() -> str:
    """The table of sets, the domains one by one, and the worst confusions."""
    rows: list[tuple[object, ...]] = [
        ("set", "n", "most frequent", "keywords", "model", "95 % of the gain", "macro-F1", "model"),
    ]
    recall: list[tuple[object, ...]] = []
    confused = []
    for name, labelled in {**test_sets(), "GPTeacher, questions": code()}.items():
        batch, true = asked([text for text, _ in labelled]), np.array([domain for _, domain in labelled])
        told = {way: tell(batch)[0] for way, tell in WAYS.items()}
        right = {way: told[way] == true for way in WAYS}
        most = Counter(true.tolist()).most_common(1)[0][1] / len(true)
        rows.append((
            name, len(true), f"{most:.3f}", *(f"{right[way].mean():.3f}" for way in WAYS), gain(right),
            *(f"{macro_f1(true, told[way]):.3f}" for way in WAYS),
        ))  # fmt: skip
        if name.startswith("own"):
            recall = per_domain(true, told)
        confused += [f"{name:22}{way:10}{worst(true, told[way])}" for way in WAYS]
    return (
        f"accuracy and macro-F1\n{table(rows)}\n\nown held-out, domain by domain\n{table(recall)}\n\n"
        "most frequent confusions (label → told)\n" + "\n".join(confused)
    )


def per_domain(true: np.ndarray, told: dict[str, np.ndarray]) -> list[tuple[object, ...]]:
    """Recall and precision of each domain."""
    rows: list[tuple[object, ...]] = [("domain", "n", "recall: keywords", "model", "precision: keywords", "model")]
    for d in DOMAINS:
        hits = {way: np.sum((true == d) & (told[way] == d)) for way in WAYS}
        rows.append((
            d, np.sum(true == d), *(f"{hits[way] / np.sum(true == d):.2f}" for way in WAYS),
            *(f"{hits[way] / max(np.sum(told[way] == d), 1):.2f}" for way in WAYS),
        ))  # fmt: skip
    return rows


def worst(true: np.ndarray, told: np.ndarray) -> str:
    """The pairs that are confused most."""
    wrong = Counter((str(a), str(b)) for a, b in zip(true, told, strict=True) if a != b).most_common(WORST)
    return ", ".join(f"{a} → {b} {count}" for (a, b), count in wrong) or "none"


def complexity() -> str:
    """Rank correlation of the two complexities with what should grow with them."""

    def lines(name: str) -> list[dict]:
        path = DATA / "evaluate" / name
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return [orjson.loads(line) for line in file]

    own, ifeval, gsm8k, human = (
        held_out(),
        lines("ifeval.jsonl"),
        lines("gsm8k_test.jsonl"),
        lines("HumanEval.jsonl.gz"),
    )
    steps = [line["answer"].count("<<") for line in gsm8k]
    solutions = [line["canonical_solution"] for line in human]
    length = [solution.strip().count("\n") for solution in solutions]
    sums, functions = [line["question"] for line in gsm8k], [line["prompt"] for line in human]
    compared = {
        "own labels, request": (asked([text for _, _, text in own]), [label for _, label, _ in own]),
        "IFEval, instructions": (
            asked([i["prompt"] for i in ifeval]),
            [len(i["instruction_id_list"]) for i in ifeval],
        ),
        "GSM8K, steps: question": (asked(sums), steps),
        "… with its answer": (asked(sums, [line["answer"] for line in gsm8k]), steps),
        "HumanEval, lines: prompt": (asked(functions), length),
        "… with its solution": (asked(functions, solutions), length),
    }
    rows: list[tuple[object, ...]] = [("compared with", "n", *WAYS)]
    for name, (batch, wanted) in compared.items():
        rows.append(
            (name, len(wanted), *(f"{rank_correlation(tell(batch)[1], wanted):.2f}" for tell in WAYS.values()))
        )
    return f"complexity: Spearman's rank correlation\n{table(rows)}"


def rank_correlation(a: Sequence[int], b: Sequence[int]) -> float:
    """Spearman's, ties at their mean rank."""

    def ranks(values: Sequence[int]) -> np.ndarray:
        _, place, count = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
        return (np.cumsum(count) - (count - 1) / 2)[place]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def cost() -> str:
    """Processor time per example of 1,200 characters in batches of 1,024, keywords and model in turn."""
    short = curate_speed.examples(1024)
    long = [
        dataclasses.replace(e, input_text=e.output_text[:600], output_text=e.output_text[600:] or ".") for e in short
    ]
    alone: dict[str, Callable[[pa.RecordBatch], object]] = {
        "keywords": lambda batch: keywords.told(beginning(batch)),
        "model": lambda batch: loaded(SHIPPED).told(batch.column("input_text")),
    }
    rows: list[tuple[object, ...]] = [("µs per example", *WAYS, "ratio")]
    for name, made in (("request of 115 characters", short), ("request of 600 characters", long)):
        batch = cleaned(made, lambda _: False).to_batch()
        rows.append((name, *paired(WAYS, batch)))
        rows.append(("… its domain alone", *paired(alone, batch)))
    rows.append(("a single example", *paired(WAYS, asked(["Write a haiku on rain."]))))
    return f"processor time of telling domain and complexity, one thread\n{table(rows)}"


def paired(ways: Mapping[str, Callable[[pa.RecordBatch], object]], batch: pa.RecordBatch) -> tuple[str, ...]:
    """Medians of µs per example, run in turn, and the second over the first."""
    found = alternate({way: timed(lambda tell=tell: tell(batch)) for way, tell in ways.items()}, rounds=15)
    each = [median(seconds) / batch.num_rows * 1e6 for seconds in found.values()]
    return (*(f"{one:.1f}" for one in each), f"{each[1] / each[0]:.2f}")


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """`work` five times; processor seconds of one."""

    def run() -> float:
        started = time.process_time()
        for _ in range(5):
            work()
        return (time.process_time() - started) / 5

    return run


def main() -> None:
    """Print the tables."""
    pa.set_cpu_count(1)
    about = (
        "requests alone, nothing of them trained on; 'most frequent': always naming the set's most frequent domain\n"
        f"model: {SHIPPED.stat().st_size:,} bytes"
    )
    publish(
        "domains",
        f"{machine('numpy', 'pyarrow')}\n{about}\n\n{domains()}\n\n{complexity()}\n\n{cost()}",
        folder=Path(__file__).parent / "results",
    )


if __name__ == "__main__":
    main()
