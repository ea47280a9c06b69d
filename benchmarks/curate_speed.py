"""How fast the curation room is: examples per second in bulk, milliseconds for a single one, time against length.

Texts are sentences from the docstrings of Python's standard library, drawn with a fixed seed, each once in an example
and all from one module, as an answer stays with its question; 1,200 characters per example in all; one in twenty
holds an e-mail address, one in ten a code block. Best of several rounds, one process.

    python benchmarks/curate_speed.py [--examples 8192] [--rounds 5]
"""

from __future__ import annotations

import argparse
import ast
import os
import platform
import random
import re
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow as pa

from samloop.curate import batch, domain, engine, quality, redact
from samloop.curate.engine import Curator
from samloop.example import Example
from samloop.settings import Curate
from samloop.text.patterns import Redactor

CHARACTERS = 1200
ENOUGH = 60
"""Sentences of a module, so that examples differ widely though none repeats itself."""


def topics() -> list[list[str]]:
    """Sentences of the standard library's docstrings, 30 to 200 characters each, by module."""
    found: list[list[str]] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        own: list[str] = []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and (text := ast.get_docstring(node)):
                own += re.findall(r"[A-Z][^.\n]{30,200}\.", " ".join(text.split()))
        found.append([s for s in own if all(s.count(a) == s.count(b) for a, b in ("()", "[]", "{}"))])
    return [own for own in found if len(own) >= ENOUGH]


def examples(count: int) -> list[Example]:
    """`count` examples of CHARACTERS characters each."""
    rng, pools, made = random.Random(0), topics(), []
    for i in range(count):
        asked, *pool = rng.sample(rng.choice(pools), ENOUGH)
        answered = ""
        while pool and len(asked) + len(answered) < CHARACTERS - 60:
            answered += pool.pop() + rng.choice(["\n\n", " ", " "])
        if i % 20 == 0:
            answered = f"Write to someone{i}@mail{i % 7}.org.\n" + answered
        if i % 10 == 0:
            answered = "```python\nprint(sum(range(10)))\n```\n" + answered
        made.append(
            Example(source="dataset", format="instruction", input_text=asked, output_text=answered.strip(),
                    created_at=0.0, updated_at=0.0, group_key=f"g{i}", metadata={"row": i})
        )  # fmt: skip
    return made


def best(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Wall and processor seconds of the fastest of `rounds` calls."""
    wall = processor = float("inf")
    for _ in range(rounds):
        began, used = time.perf_counter(), time.process_time()
        work()
        wall, processor = min(wall, time.perf_counter() - began), min(processor, time.process_time() - used)
    return wall, processor


def stages(made: list[Example], rounds: int) -> None:
    """Processor time of each stage on one batch, in microseconds per example."""
    curator, n = Curator(Curate()), len(made)
    redactor = Redactor()
    columns = batch.cleaned(made, lambda _: False)
    table = columns.to_batch()
    found = {name: engine._found(c.rule, c.options, table) for name, c in curator.rules.items()}
    kinds, complexity = domain.classified(table)
    rows: list[tuple[str, Callable[[], object]]] = [
        ("normalise", lambda: batch.cleaned(made, lambda _: False)),
        ("redact", lambda: redact.redact(columns, redactor)),
        ("to Arrow", columns.to_batch),
        *((f"rule {name}", lambda c=c: c.rule(table, **c.options)) for name, c in curator.rules.items()),
        ("classify", lambda: domain.classified(table)),
        ("features", lambda: quality.features(columns, table, found, kinds, complexity, curator.rubric)),
        ("all", lambda: curator.curate(made)),
    ]
    print(f"\n{'stage':28}{'µs per example':>16}")
    for name, work in rows:
        print(f"{name:28}{best(work, rounds)[1] / n * 1e6:16.2f}")


def adversaries() -> dict[str, Callable[[int], str]]:
    """Texts of n characters that are the worst case of some pattern."""
    return {
        "a.a.a.a (mail)": lambda n: "a." * (n // 2),
        "0 0 0 0 (numbers)": lambda n: "0 " * (n // 2),
        "1-2-3- (phones)": lambda n: "123-456-" * (n // 8),
        "token=token= (secrets)": lambda n: "token=" * (n // 6),
        "eyJ-eyJ- (web tokens)": lambda n: "eyJ-" * (n // 4),
        "BEGIN KEY": lambda n: ("-----BEGIN " + "PRIVATE KEY-----\nA;") * (n // 29),
        "://a:://a:": lambda n: "http://a:" * (n // 9),
        "((((": lambda n: "(" * n,
        '"\\"\\"': lambda n: '"\\' * (n // 2),
        "same word": lambda n: "again " * (n // 6),
        "combining marks": lambda n: "e" + "\u0301\u0323" * (n // 2),
        "blanks": lambda n: "a" + " " * (n - 2) + "b",
        "ideographs": lambda n: "語" * n,
        "/home//home/": lambda n: "/home/" * (n // 6),
    }


def growth(rounds: int) -> None:
    """Time on adversarial texts of growing length; linear means that four times the text takes about four times."""
    curator = Curator(Curate())
    print(f"\n{'adversary':28}{'64 k ms':>10}{'256 k ms':>10}{'ratio':>8}")
    for name, make in adversaries().items():
        taken = []
        for n in (65_536, 262_144):
            one = [Example(source="dataset", format="instruction", input_text="Say it.", output_text=make(n),
                           created_at=0.0, updated_at=0.0)]  # fmt: skip
            taken.append(best(lambda one=one: curator.curate(one), rounds)[1] * 1e3)
        print(f"{name:28}{taken[0]:10.1f}{taken[1]:10.1f}{taken[1] / taken[0]:8.1f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    made, curator = examples(options.examples), Curator(Curate())
    print(f"{platform.machine()}, Python {platform.python_version()}, pyarrow {pa.__version__}")
    characters = sum(len(e.input_text) + len(e.output_text) for e in made) / len(made)
    print(f"{len(made)} examples of {characters:.0f} characters on average")
    print(f"\n{'batch':>8}{'examples/s':>14}{'per processor second':>24}{'ms per batch':>14}")
    for size in (1, 16, 256, 1024, 4096):
        some = made[: min(len(made), size * 64)]

        def work(size: int = size, some: list[Example] = some) -> None:
            for start in range(0, len(some), size):
                curator.curate(some[start : start + size])

        wall, processor = best(work, options.rounds)
        print(f"{size:8}{len(some) / wall:14,.0f}{len(some) / processor:24,.0f}{wall / len(some) * size * 1e3:14.2f}")
    stages(made[:1024], options.rounds)
    growth(2)


if __name__ == "__main__":
    main()
