"""How well the score tells originals from spoilt examples: AUROC, beside length and chance.

    python benchmarks/curation/score_auroc.py [--examples 1500] [--rubric sound]

Every set's originals stand against each corruption of the same examples. "score" is the quality score alone;
"verdict" orders by state first (rejected, review, accepted) and by score within it, which is what selection goes by.
0.5 is chance, ties count half. Needs the public sets of ../shared/data (or SAMLOOP_DATA).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corruptions import CORRUPTIONS
from realsets import DATA, SETS, examples

from common import machine, publish, table
from samloop.curate.engine import Curator
from samloop.example import Example
from samloop.settings import Curate

STATES = {"rejected": 0.0, "review": 2.0, "accepted": 4.0}
MEASURES = ("score", "verdict", "length", "random")


def auroc(good: np.ndarray, bad: np.ndarray) -> float:
    """The chance that a good one is above a bad one, ties counting half (Mann-Whitney)."""
    _, place, count = np.unique(np.concatenate([good, bad]), return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[: len(good)].sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad)))


def judged(curator: Curator, some: Sequence[Example], rng: random.Random) -> tuple[np.ndarray, list[list[str]]]:
    """The four measures, one row per example, and the rules that fired."""
    rows = [row for at in range(0, len(some), 1024) for row in curator.curate(some[at : at + 1024]).rows]
    measures = [
        [r["quality_score"], STATES[r["state"]] + r["quality_score"], len(r["output_text"]), rng.random()]
        for r in rows
    ]
    return np.array(measures).reshape(len(rows), 4), [[f["rule"] for f in json.loads(r["flags"])] for r in rows]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=1500, help="at most so many of each set")
    parser.add_argument("--rubric", default=Curate().rubric)
    options = parser.parse_args()
    curator, rng = Curator(Curate(rubric=options.rubric)), random.Random(0)
    sets = {name: examples(name) for name in SETS}
    if not any(sets.values()):
        raise SystemExit(f"expected the public sets in {DATA}; set SAMLOOP_DATA")
    rows: list[tuple[object, ...]] = [("corruption", "set", "n", *MEASURES)]
    pooled: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    fired: dict[str, Counter[str]] = {}
    states: dict[str, Counter[str]] = {}
    totals: Counter[str] = Counter()
    seen: list[tuple[object, ...]] = []
    for name, whole in sets.items():
        chosen = rng.sample(whole, min(len(whole), options.examples))
        originals, flags = judged(curator, chosen, rng)
        states[name] = Counter(next(s for s, v in STATES.items() if v <= one < v + 1.5) for one in originals[:, 1])
        fired[name] = Counter(rule for one in flags for rule in one)
        totals[name] = len(chosen)
        for kind, spoil in CORRUPTIONS.items():
            pairs = [(at, made) for at, e in enumerate(chosen) if (made := spoil(e, chosen, rng)) is not None]
            if len(pairs) < 30 or (name == "identity" and kind == "swapped answers"):
                continue  # who am I: one answer fits all questions
            good = originals[[at for at, _ in pairs]]
            bad, bad_flags = judged(curator, [made for _, made in pairs], rng)
            pooled.setdefault(kind, []).append((good, bad))
            rows.append((kind, name, len(pairs), *(f"{auroc(good[:, m], bad[:, m]):.3f}" for m in range(4))))
            top = Counter(rule for one in bad_flags for rule in one).most_common(3)
            seen.append((kind, name, ", ".join(f"{rule} {count / len(pairs):.0%}" for rule, count in top)))
    for kind, parts in pooled.items():
        good, bad = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        rows.append((kind, "ALL", len(good), *(f"{auroc(good[:, m], bad[:, m]):.3f}" for m in range(4))))
    good, bad = (np.concatenate([part[side] for parts in pooled.values() for part in parts]) for side in (0, 1))
    rows.append(("ALL", "ALL", len(good), *(f"{auroc(good[:, m], bad[:, m]):.3f}" for m in range(4))))
    rules = [rule for rule, _ in sum(fired.values(), Counter[str]()).most_common()]
    alarms = [("rule or state, share of originals", *sets), ("originals", *(totals[name] for name in sets))]
    alarms += [(state, *(f"{states[name][state] / max(totals[name], 1):.1%}" for name in sets)) for state in STATES]
    alarms += [(rule, *(f"{fired[name][rule] / max(totals[name], 1):.1%}" for name in sets)) for rule in rules]
    parts = [
        f"{machine('numpy', 'pyarrow')}\nrubric {options.rubric}",
        table(rows),
        "What fires most on the spoilt ones:\n" + table(seen),
    ]
    parts.append("What fires on the originals:\n" + table(alarms))
    name = "score_auroc" + (f"_{options.rubric}" if options.rubric != Curate().rubric else "")
    publish(name, "\n\n".join(parts), folder=Path(__file__).parent / "results")


if __name__ == "__main__":
    main()
