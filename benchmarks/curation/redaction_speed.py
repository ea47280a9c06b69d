"""What redaction costs, beside an earlier revision of this repository: in bulk, per suspect text, and alone.

Texts: the standard library's Python sources cut into pieces of 1,200 characters ("code"), and the same number of
docstring pieces with an address, a key or a path in every tenth ("prose"). In bulk: batches of 1,024, as they come
into the store. The earlier revision's sources are taken from git into a folder of their own; both revisions run
alternately in fresh processes, processor seconds, medians.

    python benchmarks/curation/redaction_speed.py [--before REVISION] [--rounds 5] [--texts 4096]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

BEFORE = "70a0201"
LENGTH = 1200
BATCH = 1024
"""How many examples are curated at once on the way into the store."""


def texts(count: int) -> dict[str, list[str]]:
    """`count` pieces of code, and as many of prose in which every tenth holds something to take out."""
    rng, code = random.Random(0), []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        code += [text[at : at + LENGTH] for at in range(0, len(text), LENGTH)]
    rng.shuffle(code)
    prose = [" ".join(w for w in piece.split() if w.isalpha()) for piece in code]
    planted = ["mail me at jo.doe@corp.net", "call +49 30 901820", "see /home/jdoe/x", "PASSWORD=" + "tr0ub4dor&3"]
    prose = [f"{p}\n{rng.choice(planted)}" if i % 10 == 0 else p for i, p in enumerate(prose)]
    return {"code": (code * (1 + count // len(code)))[:count], "prose": (prose * (1 + count // len(prose)))[:count]}


def measure(count: int) -> dict[str, float]:
    """Microseconds per text with the samloop that is first on the path."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from samloop.curate.batch import cleaned
    from samloop.curate.redact import redact
    from samloop.example import Example
    from samloop.text.patterns import Placeholders, Redactor

    pa.set_cpu_count(1)
    found: dict[str, float] = {}
    Redactor().redact("call +49 30 901820", Placeholders())  # loads what is loaded once in a process
    for name, some in texts(count).items():
        redactor = Redactor()
        prefilters = getattr(redactor, "prefilters", None) or (redactor.prefilter,)
        prefilters = [p if isinstance(p, str) else p[1] for p in prefilters]  # earlier revisions had no bits
        column = pa.array(some, pa.large_string())
        seen = [pc.match_substring_regex(column, p).to_pylist() for p in prefilters]
        suspects = [text for text, *hits in zip(some, *seen, strict=True) if any(hits)]
        examples = [Example(source="dataset", format="completion", input_text="", output_text=t) for t in some]
        batches = [cleaned(examples[at : at + BATCH], lambda _: False) for at in range(0, len(some), BATCH)]

        def alone(some: list[str] = suspects, redactor: Redactor = redactor) -> None:
            for text in some:
                redactor.redact(text, Placeholders())

        found[f"{name}: suspects, share"] = len(suspects) / len(some)
        found[f"{name}: alone, µs per suspect"] = seconds(alone) / len(suspects) * 1e6
        bulk = seconds(lambda batches=batches, redactor=redactor: [redact(b, redactor) for b in batches])
        found[f"{name}: in bulk, µs per text"] = bulk / len(some) * 1e6
    return found


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", default=BEFORE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=4096)
    parser.add_argument("--measure", action="store_true", help="print one measurement as JSON")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.texts)))
        return
    from common import ROOT, machine, median, publish, table

    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", options.before, "src"], capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
        sources = {"before": Path(folder) / "src", "after": ROOT / "src"}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
        for _ in range(options.rounds):
            for name, path in sources.items():
                command = [sys.executable, __file__, "--measure", "--texts", str(options.texts)]
                environment = os.environ | {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                found[name].append(json.loads(done.stdout))
    rows: list[list[object]] = [["measure", "before", "after"]]
    rows += [
        [key, *(f"{median([run[key] for run in found[name]]):.3g}" for name in sources)] for key in found["after"][0]
    ]
    head = f"{options.texts:,} texts of {LENGTH:,} characters of each kind; before: {options.before}"
    publish(
        "redaction_speed", "\n".join([machine("pyarrow"), head, "", table(rows)]), Path(__file__).parent / "results"
    )


if __name__ == "__main__":
    main()
