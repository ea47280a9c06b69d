"""Personal data of pattern types: F1 and speed of redaction beside Presidio's pattern recognisers.

Data: ../shared/data/pii (1,500 synthetic sentences of presidio-research with labelled spans), or --data FILE. A label
is found where a span of its type covers at least half of the two together (intersection over union ≥ 0.5), one to
one; every other span of the six types is a false alarm. Presidio's recognisers are called directly, without a
language model; all their findings count, then only those scored 0.4 or more, and the better F1 is quoted.
Speed: processor seconds over the same 1,500 texts, medians of alternating rounds, one process each.

    python -m venv PEER && PEER/bin/pip install presidio-analyzer==2.2.366
    python benchmarks/curation/pii.py --presidio PEER/bin/python [--rounds 3]
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import pyarrow as pa
from spans import redacted_spans

from common import ROOT, machine, median, publish, table
from samloop.curate.batch import cleaned
from samloop.curate.redact import redact
from samloop.example import Example
from samloop.text.patterns import Redactor

LABELS = {"EMAIL": "EMAIL_ADDRESS", "CREDIT_CARD": "CREDIT_CARD", "IBAN": "IBAN_CODE", "IP_ADDRESS": "IP_ADDRESS",
          "PHONE": "PHONE_NUMBER", "SSN": "US_SSN"}  # fmt: skip
GOALS = {"EMAIL_ADDRESS": 0.95, "CREDIT_CARD": 0.95, "IBAN_CODE": 0.95, "IP_ADDRESS": 0.95, "PHONE_NUMBER": 0.85,
         "US_SSN": 0.9}  # fmt: skip
DATA = ROOT.parent / "shared" / "data" / "pii" / "presidio_synth_v2.json"
Span = tuple[str, int, int]


def labels_of(record: dict[str, Any]) -> list[Span]:
    """The labelled spans of the six types."""
    spans = record["spans"]
    return [(s["entity_type"], s["start_position"], s["end_position"]) for s in spans if s["entity_type"] in GOALS]


def overlap(a: Span, b: Span) -> float:
    """Intersection over union of two spans of one type; 0 for different types."""
    shared = min(a[2], b[2]) - max(a[1], b[1])
    return shared / (max(a[2], b[2]) - min(a[1], b[1])) if a[0] == b[0] and shared > 0 else 0.0


def scored(
    labels: Sequence[list[Span]], found: Sequence[Sequence[Span]]
) -> tuple[Counter[Any], list[tuple[int, Span]]]:
    """Counts by (type, "right" | "wrong" | "missed"), and what was missed: record and span."""
    counts: Counter[Any] = Counter()
    missed = []
    for number, (wanted, got) in enumerate(zip(labels, found, strict=True)):
        left = list(wanted)
        for span in got:
            hit = next((s for s in left if overlap(s, span) >= 0.5), None)
            counts[span[0], "right" if hit else "wrong"] += 1
            if hit:
                left.remove(hit)
        for span in left:
            counts[span[0], "missed"] += 1
            missed.append((number, span))
    return counts, missed


def f1(counts: Counter[Any], kind: str) -> float:
    """2 TP / (2 TP + FP + FN)."""
    right = counts[kind, "right"]
    return 2 * right / max(1, 2 * right + counts[kind, "wrong"] + counts[kind, "missed"])


def in_bulk(texts: Sequence[str]) -> float:
    """Processor seconds of the bulk way over `texts`."""
    examples = [Example(source="dataset", format="completion", input_text="", output_text=t) for t in texts]
    columns, redactor = cleaned(examples, lambda _: False), Redactor()
    began = time.process_time()
    redact(columns, redactor)
    return time.process_time() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--presidio", default=os.environ.get("PRESIDIO_PYTHON", ""))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    records = json.loads(options.data.read_text(encoding="utf-8"))
    texts, labels = [r["full_text"] for r in records], [labels_of(r) for r in records]
    redactor = Redactor()
    found = [[(LABELS[k], a, b) for k, a, b in redacted_spans(redactor, t) if k in LABELS] for t in texts]
    ours, missed = scored(labels, found)
    peers: list[dict[str, Any]] = []
    bulk: list[float] = []
    for _ in range(options.rounds):
        bulk.append(in_bulk(texts))
        if options.presidio:
            command = [options.presidio, str(Path(__file__).parent / "peers" / "presidio.py")]
            done = subprocess.run(
                command, input=json.dumps({"texts": texts}), capture_output=True, text=True, check=True
            )
            peers.append(json.loads(done.stdout))
    rows: list[list[object]] = [["type", "labels", "right", "false alarms", "missed", "F1", "goal", "Presidio F1"]]
    theirs = []
    if peers:
        for floor in (0.0, 0.4):
            kept = [[(k, a, b) for k, a, b, score in spans if score >= floor] for spans in peers[0]["found"]]
            theirs.append(scored(labels, kept)[0])
    for kind, goal in GOALS.items():
        right, lost = ours[kind, "right"], ours[kind, "missed"]
        peer = f"{max(f1(c, kind) for c in theirs):.3f}" if theirs else "absent"
        rows.append([kind, right + lost, right, ours[kind, "wrong"], lost, f"{f1(ours, kind):.3f}", goal, peer])
    lines = [machine("pyarrow", "phonenumbers"), f"{len(texts):,} texts of {options.data.name}", "", table(rows), ""]
    speed = [["way", "texts per processor second", "ratio"]]
    base = median([p["seconds"] for p in peers]) if peers else None
    speed.append(
        ["samloop, in bulk", f"{len(texts) / median(bulk):,.0f}", f"{base / median(bulk):.0f}×" if base else ""]
    )
    if base:
        speed.append([peers[0]["version"], f"{len(texts) / base:,.0f}", "1×"])
    else:
        speed.append(["Presidio", "absent: give --presidio PYTHON", ""])
    shapes = Counter(shape(texts[n][span[1] : span[2]], span[0]) for n, span in missed)
    lines += [table(speed), "", "missed, by shape (9: a digit, A: a letter):"]
    lines += [f"  {count:3}  {kind}: {form}" for (kind, form), count in shapes.most_common(25)]
    publish("pii", "\n".join(lines), folder=Path(__file__).parent / "results")


def shape(value: str, kind: str) -> tuple[str, str]:
    """The value's shape, so that no value of the data is kept."""
    return kind, "".join("9" if c.isdigit() else "A" if c.isalpha() else c for c in value)


if __name__ == "__main__":
    main()
