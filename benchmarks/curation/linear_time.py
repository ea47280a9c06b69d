"""Time against length on adversarial text: every redaction pattern, and every rule of curation.

Adversaries are texts of n characters that are the worst case of some expression: the beginnings of every pattern
repeated, what almost matches repeated, and shapes known to hurt backtracking engines. For each pattern and rule the
table shows the adversary with the worst growth: processor time on 64 k and on 256 k characters, the fastest of a few
calls, and their ratio. Linear time means a ratio of about 4; quadratic time would show 16. Growth is not looked at
below a millisecond, where the clock is all that is measured.

    python benchmarks/curation/linear_time.py [--small 65536] [--rounds 3]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pyarrow as pa

from common import machine, publish, table
from samloop.curate.batch import cleaned
from samloop.curate.settings import chosen_rules
from samloop.example import Example
from samloop.text.patterns import PATTERNS, Placeholders, Redactor
from samloop.text.rubric import rubric_named

SHAPES = {
    "a.a.a.": "a.", "0 0 0 ": "0 ", "123-456-": "123-456-", "token=": "token=", "eyJ-": "eyJ-",
    "eyJa.": "eyJaaaaaaaa.", "scheme://a:": "http://a:", "(((": "(", "quotes": '"\\', "a word": "again ",
    "marks": "e\u0301\u0323", "blanks": " ", "ideographs": "語", "/home/": "/home/",
    "key block": "-----BEGIN " + "PRIVATE KEY-----\nA;", "+1 ": "+1 ", "1.1.1.": "1.1.1.", "2a:": "2aaa:",
    "mysql": "mysql x", "mysql -": "mysql -p'", "password is": "password is ", "pass for": "pass for x",
    "key=": "key=", "key: '": "key: '", "--": "--", "---token": "---token ", "-u a:": "-u a:", "AAAA": "A",
    "aB1": "aB1", "@": "a@", "a@a.": "a@a.", "aa00": "aa00 ", "sk-": "sk-", "putty": "PuTTY-User-Key-File-2: a\n",
    "lines": "a\n", "no end": "Lorem ipsum dolor", "fence": "```\n", "bullets": "- a\n",
    "mixed": "The end… (see [1]) ",
}  # fmt: skip


def adversaries() -> dict[str, Callable[[int], str]]:
    """Texts of n characters by name."""
    pieces = dict(SHAPES)
    for pattern in PATTERNS:
        for literal in pattern.begins[:40]:
            pieces.setdefault(literal, literal)
            pieces.setdefault(f"{literal}1a", f"{literal}1a")
    return {name: (lambda n, piece=piece: (piece * (n // len(piece) + 1))[:n]) for name, piece in pieces.items()}


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Processor seconds of the fastest of `rounds` calls."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def subjects() -> Iterator[tuple[str, Callable[[str], Callable[[], object]]]]:
    """What is measured: name, and for a text what to call."""
    for place, pattern in enumerate(PATTERNS):
        redactor = Redactor(patterns=[pattern])
        yield (
            f"pattern {place} {pattern.type}",
            lambda text, redactor=redactor: lambda: redactor.redact(text, Placeholders()),
        )
    whole = Redactor()
    yield "redaction as a whole", lambda text: lambda: whole.redact(text, Placeholders())
    rules = {}
    for rubric in ("unified", "distillation"):
        rules |= chosen_rules({}, rubric_named(rubric))
    for name, chosen in rules.items():

        def of(text: str, chosen: object = chosen) -> Callable[[], object]:
            example = Example(source="dataset", format="dpo", input_text=text, output_text=text, rejected_output=text)
            batch = cleaned([example], lambda _: False).to_batch()
            return lambda: chosen.rule(batch, **chosen.options)  # type: ignore[attr-defined]

        yield f"rule {name}", of


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", type=int, default=65_536)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    made = adversaries()
    rows: list[list[object]] = [["what", "worst adversary", "64 k, ms", "256 k, ms", "ratio"]]
    for name, of in subjects():
        worst: tuple[float, list[object]] = (0.0, [name, "all under a millisecond", "", "", ""])
        for shape, make in made.items():
            large = seconds(of(make(4 * options.small)), 1)
            if large < 1e-3:
                continue
            large = min(large, seconds(of(make(4 * options.small)), options.rounds))
            small = seconds(of(make(options.small)), options.rounds)
            ratio = large / max(small, 1e-6)
            if ratio > worst[0]:
                row = [name, repr(shape), f"{small * 1e3:.1f}", f"{large * 1e3:.1f}", f"{ratio:.1f}"]
                worst = (ratio, row)
        rows.append(worst[1])
    lines = [machine("pyarrow"), f"{len(made)} adversaries", "", table(rows)]
    publish("linear_time", "\n".join(lines), Path(__file__).parent / "results")


if __name__ == "__main__":
    main()
