"""Secrets: precision, recall, F1 and speed of redaction beside detect-secrets and CredSweeper.

Data: `secrets_corpus`, made from a seed: 55 providers' token formats, 10 providers whose keys have no prefix and
stand under a telling name, passwords and private keys, in code, configuration, logs and chat; half again as many
decoys. Patterns were tuned on the family "tune" only; the table shows the family "report" with another seed. The
formats themselves are public knowledge and the same in both families, as they are for the peers. One thing was mended
after the first look at "report": `${NAME_PASSWORD:?required}` had been taken for a password (F1 0.966 before).

Scoring: a secret is found if a finding holds it or lies in it and covers at least half of it (of a private key any
part will do, as peers report its first line); every other distinct finding is a false alarm. Each text is one file to
each scanner, under its file name. Peers run with their defaults. Speed: processor seconds over the same texts,
medians of alternating rounds, one process each, after warming up.

    python -m venv DS && DS/bin/pip install detect-secrets==1.5.0
    python -m venv CS && CS/bin/pip install credsweeper==1.19.5
    python benchmarks/curation/secrets_f1.py --detect-secrets DS/bin/python --credsweeper CS/bin/python \
        [--family tune]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# The script's own folder goes last: its name is that of a module of the standard library.
sys.path[:] = [*(p for p in sys.path if Path(p or ".").resolve() != HERE), str(HERE.parent), str(HERE)]

import pyarrow as pa  # noqa: E402
from secrets_corpus import Sample, corpus  # noqa: E402
from spans import redacted_spans  # noqa: E402

from common import machine, median, publish, table  # noqa: E402
from samloop.curate.batch import cleaned  # noqa: E402
from samloop.curate.redact import redact  # noqa: E402
from samloop.example import Example  # noqa: E402
from samloop.text.patterns import Redactor  # noqa: E402

KINDS = {"API_KEY", "TOKEN", "PASSWORD", "SECRET", "PRIVATE_KEY"}
SEEDS = {"tune": 1, "report": 20}


def hits(secret: str, kind: str, value: str) -> bool:
    """Whether a finding is of this secret."""
    if kind == "private key":
        return value in secret or secret in value
    return (value in secret and 2 * len(value) >= len(secret)) or secret in value


def scored(
    samples: Sequence[Sample], found: Sequence[Sequence[str]]
) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Right, wrong and missed in all; missed by kind; false alarms by kind of text."""
    counts, missed, alarms = Counter[str](), Counter[str](), Counter[str]()
    for sample, values in zip(samples, found, strict=True):
        for secret in sample.secrets:
            got = any(hits(secret, sample.kind, value) for value in values)
            counts["right" if got else "missed"] += 1
            missed[sample.kind] += not got
        wrong = sum(not any(hits(s, sample.kind, v) for s in sample.secrets) for v in set(values))
        counts["wrong"] += wrong
        alarms[sample.kind] += wrong
    return counts, +missed, +alarms


def in_bulk(samples: Sequence[Sample]) -> float:
    """Processor seconds of the bulk way."""
    examples = [Example(source="dataset", format="completion", input_text="", output_text=s.text) for s in samples]
    columns, redactor = cleaned(examples, lambda _: False), Redactor()
    began = time.process_time()
    redact(columns, redactor)
    return time.process_time() - began


def peer(python: str, name: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """What a peer finds, in its own environment."""
    data = json.dumps({"texts": [[s.name, s.text] for s in samples]})
    command = [python, str(HERE / "peers" / "secrets_peer.py"), name]
    done = subprocess.run(command, input=data, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def row(name: str, counts: Counter[str], samples: int, seconds: float, ours: float) -> list[object]:
    """One line of the table."""
    right, wrong, missed = (counts[k] for k in ("right", "wrong", "missed"))
    precision, recall = right / max(1, right + wrong), right / max(1, right + missed)
    f1 = 2 * right / max(1, 2 * right + wrong + missed)
    figures = [
        f"{precision:.3f}",
        f"{recall:.3f}",
        f"{f1:.3f}",
        f"{samples / seconds:,.0f}",
        f"{seconds / ours:.0f}×",
    ]
    return [name, right, wrong, missed, *figures]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--detect-secrets", default=os.environ.get("DETECT_SECRETS_PYTHON", ""))
    parser.add_argument("--credsweeper", default=os.environ.get("CREDSWEEPER_PYTHON", ""))
    parser.add_argument("--family", choices=sorted(SEEDS), default="report")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    samples = corpus(SEEDS[options.family], options.family, per_kind=24)
    redactor = Redactor()
    found = [[s.text[a:b] for k, a, b in redacted_spans(redactor, s.text) if k in KINDS] for s in samples]
    counts, missed, alarms = scored(samples, found)
    runs: dict[str, list[dict[str, Any]]] = {}
    bulk: list[float] = []
    pythons = {"detect-secrets": options.detect_secrets, "credsweeper": options.credsweeper}
    for _ in range(options.rounds):
        bulk.append(in_bulk(samples))
        for name, python in pythons.items():
            if python:
                runs.setdefault(name, []).append(peer(python, name, samples))
    ours = median(bulk)
    head = ["scanner", "found", "false alarms", "missed", "precision", "recall", "F1", "texts/s", "time"]
    rows = [head, row("samloop, in bulk", counts, len(samples), ours, ours)]
    for name in pythons:
        if name in runs:
            theirs, _, _ = scored(samples, runs[name][0]["found"])
            seconds = median([run["seconds"] for run in runs[name]])
            rows.append(row(runs[name][0]["version"], theirs, len(samples), seconds, ours))
        else:
            rows.append([f"{name}: absent, give --{name} PYTHON", *[""] * 8])
    kinds = len({s.kind for s in samples if s.secrets})
    secrets = sum(len(s.secrets) for s in samples)
    about = (
        f'{len(samples):,} texts of family "{options.family}": {secrets} secrets of {kinds} kinds, the rest decoys'
    )
    lines = [machine("pyarrow"), about, "", table(rows), ""]
    lines += ["missed: " + (", ".join(f"{k} {n}" for k, n in missed.most_common()) or "nothing")]
    lines += ["false alarms: " + (", ".join(f"{k} {n}" for k, n in alarms.most_common()) or "none")]
    if options.family == "report":
        publish("secrets", "\n".join(lines), folder=HERE / "results")
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
