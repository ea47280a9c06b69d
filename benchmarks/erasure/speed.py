"""How long does it take to erase one person among many examples?

    python benchmarks/erasure/speed.py

A store of generated examples of about a thousand characters each; every thousandth is about one person: half by an
address that redaction took out, half by name. The index of near-duplicates and the database are those of a real home;
there is no adapter. Told is the dry run, the purge, and what of it is the writing of the database anew.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import machine, publish, table
from samloop.example import Example
from samloop.home import Home
from samloop.loop.context import open_context
from samloop.loop.purge import plan, purge
from samloop.loop.purge_choice import Choice
from samloop.store.rows import from_example
from samloop.text.identifiers import identifier_digest

WHO: Final = "Orla Quimby"
ADDRESS: Final = "orla.quimby@mail.co.uk"
WORDS: Final = (
    "apple river stone cloud garden paper window market forest silver copper winter summer bread table music letter "
    "bridge horse candle mirror pocket button ladder basket hammer violin island valley harbour"
).split()


def examples(count: int) -> Iterator[tuple[Example, bool]]:
    """Generated examples, and whether the address was redacted from each."""
    draw = random.Random(0)
    for number in range(count):
        about = number % 1000
        who = f" {WHO} knows." if about == 7 else " [REDACTED_EMAIL] knows." if about == 507 else ""
        example = Example(
            source="datasets",
            format="instruction",
            input_text=f"Question {number}: " + " ".join(draw.choices(WORDS, k=40)) + who,
            output_text=f"Answer {number}: " + " ".join(draw.choices(WORDS, k=120)) + ".",
            source_id=f"talks.jsonl:{number}",
            state="accepted",
            reason=None,
            quality_tier="silver",
        )
        yield example.sealed(), about == 507


def measured(count: int, folder: Path) -> list[str]:
    """A row of the table."""
    with open_context(Home(folder)) as context:
        digest = identifier_digest(context.home.identifier_key(), "EMAIL", ADDRESS)
        batch, about = [], []
        for example, redacted in examples(count):
            batch.append(from_example(example))
            about += [(example.id, digest)] if redacted else []
            if len(batch) == 8192:
                context.store.add_batch(batch, identifiers=about)
                batch, about = [], []
        context.store.add_batch(batch, identifiers=about)
        size = context.store.statistics()["overall"]["storage_bytes"]
        took: dict[str, float] = {}
        begun = time.perf_counter()
        plan(context, Choice(person=WHO))
        took["dry run"] = time.perf_counter() - begun
        marks: list[tuple[str, float]] = []
        for who in (WHO, ADDRESS):
            marks.append(("begin", time.perf_counter()))
            receipt = purge(
                context, Choice(person=who), on_progress=lambda what: marks.append((what, time.perf_counter()))
            )
            marks.append(("end", time.perf_counter()))
            took[who] = marks[-1][1] - next(at for what, at in reversed(marks) if what == "begin")
        anew = [at for what, at in marks if what.startswith("writing")]
        ends = [at for what, at in marks if what == "end"]
        took["anew"] = sum(ends) - sum(anew)
    return [
        f"{count:,}",
        f"{size / 2**20:.0f}",
        f"{receipt['removed']['examples']}",
        f"{took['dry run']:.2f}",
        f"{took[WHO]:.2f}",
        f"{took[ADDRESS]:.2f}",
        f"{took['anew'] / 2:.2f}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, nargs="+", default=[10_000, 100_000])
    options = parser.parse_args(arguments)
    rows = [["examples", "MiB", "erased", "dry run, s", "by name, s", "by address, s", "of it: database anew, s"]]
    for count in options.examples:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(count, Path(folder) / "home"))
    publish("erasure_speed", "\n".join([machine("sqlalchemy"), "", table(rows)]))


if __name__ == "__main__":
    main()
