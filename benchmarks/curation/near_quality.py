"""Are near-duplicates found, and only those? Precision and recall against all pairs, and what templated sets lose.

1. Ground truth on real texts (instructions, documentation, functions): the exact Jaccard index of word 3-shingles
   over all pairs, worked out with Python's own sets; a pair is a near-duplicate from 0.8 on. recall: pairs of the
   truth of which at least one text is removed. precision: removed texts whose index with the text that replaces them
   is at least 0.8.
2. Strongly templated sets (../shared/data/instruct/t0): the share of distinct examples that are removed. Distinct is
   whatever differs in more than white space, case and punctuation; so true near-duplicates count as lost here.

    python benchmarks/curation/near_quality.py [--texts 20000]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from near_texts import SHARED, pairs, real_texts

from common import machine, table
from samloop.curate.near import compare
from samloop.curate.near.examples import Cut
from samloop.curate.near.shingles import WHOLE, Marked
from samloop.curate.near.sketch import BANDS
from samloop.curate.near.templates import TEMPLATE_TEXTS, Frequencies, slots_for
from samloop.curate.near.texts import KEPT, near_duplicates, resolve
from samloop.example import Example

RESULTS = Path(__file__).parent / "results" / "near_quality.txt"
_WORD = re.compile(r"[a-z0-9_\x80-\U0010ffff]+")


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """Word 3-shingles in plain Python: what the fast code is held against."""
    words = _WORD.findall(text.lower())
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def jaccard(one: frozenset[tuple[str, ...]], two: frozenset[tuple[str, ...]]) -> float:
    """|A ∩ B| / |A ∪ B|."""
    both = len(one & two)
    return both / (len(one) + len(two) - both) if both else 0.0


def truth(sets: list[frozenset[tuple[str, ...]]], least: float) -> set[tuple[int, int]]:
    """All pairs with an index of at least `least`, by prefix filtering (Bayardo, Ma, Srikant, 2007), losing none."""
    counts = Counter(shingle for s in sets for shingle in s)
    by_prefix: dict[tuple[str, ...], list[int]] = defaultdict(list)
    found = set()
    for at in sorted(range(len(sets)), key=lambda i: len(sets[i])):
        size = len(sets[at])
        if not size:
            continue
        prefix = sorted(sets[at], key=lambda s: (counts[s], s))[: size - int(np.ceil(least * size)) + 1]
        seen = {other for shingle in prefix for other in by_prefix[shingle]}
        for other in seen:
            if len(sets[other]) >= least * size and jaccard(sets[at], sets[other]) >= least:
                found.add((min(at, other), max(at, other)))
        for shingle in prefix:
            by_prefix[shingle].append(at)
    return found


def on_real_texts(count: int) -> list[str]:
    """The first table."""
    texts = real_texts(count)
    sets = [shingles(text) for text in texts]
    rows: list[tuple[object, ...]] = [("texts", "cut-off", "true pairs", "removed", "recall", "precision")]
    wanted = truth(sets, compare.JACCARD)
    for above in (20, 40, TEMPLATE_TEXTS, 10**9):
        best = near_duplicates(texts, template_texts=above)
        gone = np.flatnonzero(best != KEPT)
        right = sum(jaccard(sets[i], sets[best[i]]) >= compare.JACCARD for i in gone)
        caught = sum(best[a] != KEPT or best[b] != KEPT for a, b in wanted)
        name = "none" if above == 10**9 else above
        rows.append(
            (len(texts), name, len(wanted), len(gone), f"{caught / len(wanted):.4f}", f"{right / len(gone):.4f}")
        )
    return ["Real texts, ground truth: exact Jaccard index of word 3-shingles >= 0.8 over all pairs", table(rows)]


def on_templates() -> list[str]:
    """The second table."""
    if not SHARED.exists():
        return ["Templated sets: ../shared/data is not there, nothing measured"]
    t0 = [(prompt, answer) for name, prompt, answer in pairs() if name != "gpteacher"]
    plain = [" ".join(_WORD.findall(f"{prompt}\n{answer}".lower())) for prompt, answer in t0]
    examples = [Example(source="t0", format="instruction", input_text=p, output_text=a) for p, a in t0]
    cut, rank = Cut.of(examples), np.arange(len(t0))
    wholes = cut.marked.part(WHOLE)
    alone = Marked(cut.marked.sets, cut.marked.marks & WHOLE)
    distinct = len(set(plain))
    rows: list[tuple[object, ...]] = [("compared by", "cut-off", "distinct", "of them removed", "share")]
    for above in (20, 40, TEMPLATE_TEXTS, 10**9):
        frequencies = Frequencies(np.zeros(slots_for(len(wholes.hashes)), np.uint8), min(above, 255))
        if above < 255:
            frequencies.add(wholes)
        keys, common = cut.keys(frequencies)[:, :BANDS], frequencies.common(cut.marked.sets)
        whole = resolve(keys, rank, compare.Compared.of(alone, common, np.zeros(len(t0), np.uint8)))
        parts = resolve(keys, rank, compare.Compared.of(cut.marked, common, cut.kinds))
        for name, best in (("whole alone", whole), ("whole, prompt, answer", parts)):
            lost = sum(plain[i] != plain[best[i]] for i in np.flatnonzero(best != KEPT))
            rows.append((name, "none" if above == 10**9 else above, distinct, lost, f"{lost / distinct:.2%}"))
    return [
        "",
        "Templated sets (T0, 32 templates): distinct examples lost; true near-duplicates count as lost",
        table(rows),
    ]


def main() -> None:
    """Print and keep both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=20_000)
    options = parser.parse_args()
    lines = [machine("samloop", "numpy"), "", *on_real_texts(options.texts), *on_templates()]
    text = "\n".join(lines)
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
