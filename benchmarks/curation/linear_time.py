"""Time against length on adversarial text: every redaction pattern, every rule of curation, normalisation, the whole.

Adversaries are texts of n characters that are the worst case of some expression: the beginnings of every pattern
repeated, what almost matches repeated, shapes known to hurt backtracking engines, and a letter under combining marks.
Each subject is timed on all of them at n = 64 k characters; the three that take longest are timed at n, 2n and 4n
(the marks up to a million), and the one with the worst growth is shown: processor time, the fastest of a few calls,
and time at 4n over time at n. Linear time means about 4; quadratic time would show 16. Below a millisecond at 4n the
clock is all that is measured.

    python benchmarks/curation/linear_time.py [--size 65536] [--rounds 3]
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
from samloop.curate.engine import Curator
from samloop.curate.settings import chosen_rules
from samloop.example import Example, normalise
from samloop.settings import Curate
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


def example_of(text: str) -> Example:
    """An example that is nothing but `text`."""
    return Example(source="dataset", format="dpo", input_text=text, output_text=text, rejected_output=text + ".")


Work = Callable[[str], Callable[[], object]]
"""What is timed, once it has been given its text."""


def subjects() -> Iterator[tuple[str, Work]]:
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
            batch = cleaned([example_of(text)], lambda _: False).to_batch()
            return lambda: chosen.rule(batch, **chosen.options)  # type: ignore[attr-defined]

        yield f"rule {name}", of


def grown(of: Work, make: Callable[[int], str], size: int, rounds: int) -> list[float]:
    """Seconds at n, 2n and 4n."""
    return [seconds(of(make(size * factor)), rounds) for factor in (1, 2, 4)]


def row(name: str, shape: str, times: list[float]) -> list[object]:
    """One line of the table."""
    if times[-1] < 1e-3:
        return [name, "all under a millisecond", "", "", "", ""]
    return [name, repr(shape), *(f"{t * 1e3:.1f}" for t in times), f"{times[-1] / max(times[0], 1e-6):.1f}"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=65_536)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    made = adversaries()
    rows: list[list[object]] = [["what", "worst adversary", "n, ms", "2n, ms", "4n, ms", "4n : n"]]
    worst = 0.0
    for name, of in subjects():
        screened = sorted(made, key=lambda shape: -seconds(of(made[shape](options.size)), 1))
        found = [(shape, grown(of, made[shape], options.size, options.rounds)) for shape in screened[:3]]
        shape, times = max(found, key=lambda one: one[1][-1] / max(one[1][0], 1e-6) if one[1][-1] >= 1e-3 else 0.0)
        rows.append(row(name, shape, times))
        worst = max(worst, times[-1] / times[0] if times[-1] >= 1e-3 else 0.0)
    curator = Curator(Curate())
    whole: dict[str, Work] = {
        "normalise": lambda text: lambda: normalise(text),
        "curate": lambda text: lambda: curator.curate([example_of(text)]),
    }
    for name, work in whole.items():
        times = grown(work, lambda n: "e" + "\u0301\u0323" * (n // 2), 250_000, options.rounds)
        rows.append(row(f"{name} (n = 250 k)", "one letter, marks alone", times))
        worst = max(worst, times[-1] / times[0])
    head = f"{len(made)} adversaries; n = {options.size:,} characters; largest growth {worst:.1f}"
    publish("linear_time", "\n".join([machine("pyarrow"), head, "", table(rows)]), Path(__file__).parent / "results")


if __name__ == "__main__":
    main()
