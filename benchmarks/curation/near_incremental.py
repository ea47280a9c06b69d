"""What adding 1,000 examples costs for near-duplicates, in stores of growing size.

A store is filled with generated examples (words drawn by frequency, 60 per example), the index is built, and then
1,000 new ones, a tenth of them near-duplicates of stored ones, come in several times over. Timed is `follow`: finding
what is new, sketching, looking up, comparing exactly, keeping pairs and index. "largest" shows a round in which
segments were merged. Peak memory is the process's own, mapped pages of the index among it, sizes in ascending order.
A million takes about eight minutes, most of it building.

    python benchmarks/curation/near_incremental.py [--sizes 10000 100000 1000000] [--rounds 9]
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import machine, median, table
from samloop.example import Example
from samloop.home import Home
from samloop.loop.context import open_context
from samloop.loop.near import follow

RESULTS = Path(__file__).parent / "results" / "near_incremental.txt"
WORDS, VOCABULARY, NEW = 60, 50_000, 1000


def texts(start: int, count: int) -> Iterator[str]:
    """Texts number `start` and on: words by a Zipf-like law, the same for the same number."""
    for first in range(start, start + count, 1000):
        rng = np.random.default_rng(first)
        ranks = np.exp(rng.random((1000, WORDS)) * np.log(VOCABULARY)).astype(int)
        for row in ranks[: start + count - first].tolist():
            yield " ".join(f"w{rank}" for rank in row)


def examples(start: int, count: int) -> Iterator[Example]:
    """Accepted examples: 20 words asked, 40 answered."""
    for text in texts(start, count):
        words = text.split()
        yield example(words)


def example(words: list[str]) -> Example:
    """One of them."""
    return Example(
        source="generated",
        format="instruction",
        input_text=" ".join(words[:20]),
        output_text=" ".join(words[20:]),
        state="accepted",
        reason=None,
    ).sealed()


def batch(at: int, size: int) -> list[Example]:
    """NEW new ones: every tenth is a stored one with a word changed."""
    made = list(examples(10**9 + at * NEW, NEW - NEW // 10))
    old = (text.split() for text in texts((at * 1000) % size, NEW // 10))
    return made + [example([*words[:30], "changed", *words[31:]]) for words in old]


def measure(size: int, rounds: int) -> tuple[object, ...]:
    """One row: a store of `size`."""
    with (
        tempfile.TemporaryDirectory(prefix="near-incremental-") as folder,
        open_context(Home(Path(folder))) as context,
    ):
        context.store.add_examples(examples(0, size))
        started = time.perf_counter()
        follow(context)
        built = time.perf_counter() - started
        took = []
        before = len(context.store.near_pairs())
        for at in range(rounds):
            context.store.add_examples(batch(at, size))
            started = time.perf_counter()
            follow(context)
            took.append(time.perf_counter() - started)
        found = len({pair.example_id for pair in context.store.near_pairs()[before:]})
        disk = sum(file.stat().st_size for file in context.home.near.rglob("*") if file.is_file())
    wanted = rounds * NEW // 10
    return (
        f"{size:,}",
        f"{built:.1f}",
        f"{median(took):.2f}",
        f"{max(took):.2f}",
        f"{found / wanted:.1%}",
        f"{disk / (size + rounds * NEW):,.0f}",
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:,.0f}",
    )


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    head = (
        "stored",
        "build s",
        "add 1,000: median s",
        "largest s",
        "planted found",
        "index bytes/example",
        "peak MB",
    )
    rows = []
    for size in options.sizes:
        rows.append(measure(size, options.rounds))
        print(rows[-1], file=sys.stderr, flush=True)
    load = os.getloadavg()[1]
    text = "\n".join([machine("samloop", "numpy"), f"load over five minutes {load:.1f}", "", table([head, *rows])])
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
