"""How well the measure of grounding tells what a context supports from what it does not.

    python benchmarks/evaluation/grounding.py

Summaries of news (CNN/DailyMail) against their articles, written by people, and answers that people marked in
paragraphs (AdversarialQA). As they are, they count as supported, which is not quite true: editors add "NEW:", the
day, or what is not in the part of the article that the set keeps. Planted faults: every number changed, every name
replaced by one of another summary, a sentence of another summary put in. The threshold for claims was chosen on every
other summary; figures are of the rest. The peer is what people take who want one number without a model: the share
of an answer's words that are not in the context. Needs ../shared/data (or SAMLOOP_DATA).
"""

from __future__ import annotations

import gzip
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import machine, publish, table
from samloop.evaluate import grounding
from samloop.evaluate.grounding import ground, names

DATA = Path(os.environ.get("SAMLOOP_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
T0 = DATA / "instruct" / "t0"
Pair = tuple[str, list[str]]


def rows(name: str) -> list[dict[str, str]]:
    """The records of a T0 file."""
    return [orjson.loads(line) for line in gzip.decompress((T0 / name).read_bytes()).splitlines()]


def summaries() -> list[Pair]:
    """Articles, each with the sentences of its summary."""
    found = []
    for row in rows("cnn_dailymail_3_0_0_generate_story.jsonl.gz"):
        points = [point.strip().removesuffix(" .") for point in row["prompt"].split("\n\n", 1)[1].splitlines()]
        article = row["completion"].removesuffix("<|endoftext|>")
        found.append((article, [f"{point}." for point in points if point]))
    return found


def marked_answers() -> list[Pair]:
    """Paragraphs with their questions, each with its answer."""
    found = rows("adversarial_qa_dbert_answer_the_following_q.jsonl.gz")
    return [(row["prompt"], [row["completion"].removesuffix("<|endoftext|>").strip()]) for row in found]


def other_numbers(points: list[str], _other: list[str]) -> list[str]:
    """Each number, another one."""
    return [re.sub(r"\d+", lambda m: str(int(m[0]) * 3 + 17), point) for point in points]


def other_names(points: list[str], other: list[str]) -> list[str]:
    """Each name, one of another summary."""
    strange = names(" ".join(other)) or ["Ottoline Fairweather"]
    changed = []
    for point in points:
        for at, name in enumerate(names(point)):
            point = point.replace(name, strange[at % len(strange)])
        changed.append(point)
    return changed


def found_share(pairs: Sequence[Pair], kind: str) -> tuple[int, int]:
    """How many of a kind are found unsupported, of how many."""
    looked = [ground("\n\n".join(points), context) for context, points in pairs]
    return sum(len(one.unsupported[kind]) for one in looked), sum(len(one.said[kind]) for one in looked)


def unigram(answer: str, context: str) -> float:
    """The peer: the share of the answer's words that the context does not have."""
    known = set(re.findall(r"\w+", context.lower()))
    said = re.findall(r"\w+", answer.lower())
    return sum(word not in known for word in said) / max(1, len(said))


def auroc(low: Sequence[float], high: Sequence[float]) -> float:
    """The chance that one of `high` lies above one of `low`, a tie counting half."""
    wins = sum((b > a) + (b == a) / 2 for a in low for b in high)
    return wins / (len(low) * len(high))


def thresholds(pairs: Sequence[Pair]) -> str:
    """By threshold the shares of claims under it, of the article's own summary and of another's."""
    own, strange = [], []
    for at, (context, points) in enumerate(pairs):
        words = {grounding._stem(word) for word in grounding._WORD.findall(context)}
        for shares, sentences in ((own, points), (strange, pairs[(at + 1) % len(pairs)][1])):
            shares += [grounding._support(one, words) for one in sentences if grounding._content(one)]
    lines: list[tuple[object, ...]] = [("threshold", "own under it", "others' under it", "difference")]
    for bound in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
        one, other = (sum(share < bound for share in shares) / len(shares) for shares in (own, strange))
        lines.append((bound, f"{one:.3f}", f"{other:.3f}", f"{other - one:.3f}"))
    return table(lines)


def main() -> None:
    """Print the tables and keep them."""
    news, paragraphs = summaries(), marked_answers()
    choosing, judging = news[::2], news[1::2]
    others = [points for _, points in judging[1:] + judging[:1]]

    def planted(change: Callable[[list[str], list[str]], list[str]]) -> list[Pair]:
        return [(text, change(points, other)) for (text, points), other in zip(judging, others, strict=True)]

    foreign = [(text, other) for (text, _), other in zip(judging, others, strict=True)]
    # Neighbours are often about the same paragraph.
    swapped = [(text, paragraphs[(at + 100) % len(paragraphs)][1]) for at, (text, _) in enumerate(paragraphs)]
    lines: list[tuple[object, ...]] = [("set", "kind", "as it is: found", "planted: found", "precision", "recall")]
    for label, kind, plain, fault in (
        ("news, numbers changed", "numbers", judging, planted(other_numbers)),
        ("news, names replaced", "names", judging, planted(other_names)),
        ("news, others' sentences", "claims", judging, foreign),
        ("news, others' sentences", "names", judging, foreign),
        ("paragraphs, others' answers", "names", paragraphs, swapped),
        ("paragraphs, others' answers", "numbers", paragraphs, swapped),
    ):
        (wrong, of_plain), (right, of_fault) = found_share(plain, kind), found_share(fault, kind)
        lines.append(
            (label, kind, f"{wrong} of {of_plain}", f"{right} of {of_fault}",
             f"{right / max(1, right + wrong):.3f}", f"{right / max(1, of_fault):.3f}")
        )  # fmt: skip
    ranks: list[tuple[object, ...]] = [("whole answers, AUROC", "samloop", "words not in the context")]
    for label, fault in (
        ("numbers changed", planted(other_numbers)),
        ("names replaced", planted(other_names)),
        ("another's summary", foreign),
        ("one sentence put in", planted(lambda points, other: [*points, other[0]])),
    ):
        # Only where something was changed.
        at = [i for i, (one, other) in enumerate(zip(judging, fault, strict=True)) if one != other]
        shares = []
        for measure in (lambda answer, context: ground(answer, context).share(), unigram):
            low, high = ([measure("\n\n".join(p[i][1]), p[i][0]) for i in at] for p in (judging, fault))
            shares.append(auroc(low, high))
        ranks.append((f"{label} ({len(at)})", *(f"{share:.3f}" for share in shares)))
    started, size = time.perf_counter(), 0
    for context, points in judging:
        ground("\n\n".join(points), context)
        size += len(context)
    rate = size / (time.perf_counter() - started) / 1e6
    text = "\n\n".join(
        (
            f"{machine()}\n{len(judging)} summaries, {len(paragraphs)} paragraphs; {rate:.1f} MB of context a second",
            f"claims: choosing the threshold, on the other {len(choosing)} summaries; ours is "
            f"{grounding.CLAIM_SUPPORT}\n{thresholds(choosing)}",
            table(lines),
            table(ranks),
        )
    )
    publish("grounding", text, Path(__file__).parent / "results")


if __name__ == "__main__":
    main()
