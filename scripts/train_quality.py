"""Train the small models that curation ships: which answer belongs to which question, which one stops in the middle.

    python scripts/train_quality.py --repositories FOLDER [--seed 0] [--threads 2] [--ending-only]

FOLDER holds a git repository per name in quality_texts.toml (OWNER+REPOSITORY, a checkout or a bare one); the
standard library of the running Python is read as well. Writes src/samloop/curate/learned/weights.safetensors and
README.md, the card. Takes about two minutes on two cores. Needs torch.

Half of each source's pairs train the word vectors, the other half the network that weighs them, so that it sees the
vectors at work on pairs they do not know; a fifth of that half is kept for the card's figures. Wrong answers are
other answers of the same source; cut ones are cut anywhere between a fifth and 95 % of their length.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional

from quality_texts import TEXTS, Pair, pairs
from samloop.curate.batch import SCHEMA
from samloop.curate.learned import belonging, ending
from samloop.curate.learned.weights import FILE, quantised
from samloop.curate.measure import head, question_text
from samloop.curate.words import slot, words

MOST_OF_A_SOURCE, DIMENSIONS, HIDDEN, LETTER_DIMENSIONS = 12_000, 16, 16, 6
ENDING_HIDDEN = 32


def batch_of(some: Sequence[tuple[str, str]]) -> pa.RecordBatch:
    """Questions and answers as the columns that rules read."""
    n = len(some)
    columns: dict[str, list[object]] = {name: [None] * n for name in SCHEMA.names}
    columns |= {"source": ["x"] * n, "format": ["instruction"] * n, "conversation_history": [[]] * n}
    columns |= {"input_text": [q for q, _ in some], "output_text": [a for _, a in some]}
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def bags(batch: pa.RecordBatch) -> tuple[list[list[int]], list[list[int]]]:
    """By example, the places of its marks and words: of the question, of the answer."""
    question, answer = question_text(batch, belonging.ASKED_CHARACTERS), batch.column("output_text")
    beginnings = head(question, belonging.ANSWERED_CHARACTERS), head(answer, belonging.ANSWERED_CHARACTERS)
    found = []
    for (row, key), beginning, whole in zip(belonging.words_read(batch), beginnings, (question, answer), strict=True):
        marks, _ = belonging._shape(beginning, whole)
        at = slot(key, belonging.PLACES_BITS) + belonging.MARKS
        split = np.searchsorted(row, np.arange(1, batch.num_rows))
        parts = (part.tolist() for part in np.split(at, split))
        found.append([[*m, *w] for m, w in zip(marks.tolist(), parts, strict=True)])
    return found[0], found[1]


def bag_sum(vectors: torch.nn.Embedding, some: Sequence[list[int]]) -> torch.Tensor:
    """Unit vectors of some bags."""
    starts = torch.tensor(np.cumsum([0, *(len(one) for one in some)])[:-1])
    flat = torch.tensor([at for one in some for at in one])
    return functional.normalize(functional.embedding_bag(flat, vectors.weight, starts, mode="sum"), dim=1)


def train_vectors(parts: dict[str, tuple[list[list[int]], list[list[int]]]], steps: int) -> dict[str, np.ndarray]:
    """Vectors of words in questions and in answers: each answer is told from the others of its batch.

    Two batches in three hold one source, so that what is told apart is the question and not the kind of text.
    """
    places = belonging.MARKS + (1 << belonging.PLACES_BITS)
    asked, answered = (torch.nn.Embedding(places, DIMENSIONS) for _ in range(2))
    torch.nn.init.normal_(asked.weight, std=0.1)
    answered.weight.data.copy_(asked.weight.data)
    scale = torch.nn.Parameter(torch.tensor(8.0))
    optimiser = torch.optim.Adam([asked.weight, answered.weight, scale], lr=3e-3)
    names, generator = list(parts), np.random.default_rng(0)
    share = np.array([len(parts[name][0]) ** 0.6 for name in names])
    right = torch.arange(256)
    for step in range(steps):
        drawn = generator.choice(len(names), 256 if step % 3 == 0 else 1, p=share / share.sum()).repeat(
            1 if step % 3 == 0 else 256
        )
        chosen = [(names[at], generator.integers(len(parts[names[at]][0]))) for at in drawn]
        bagged = [[at for at in parts[n][0][i] if generator.random() > 0.1] or parts[n][0][i] for n, i in chosen]
        near = bag_sum(asked, bagged) @ bag_sum(answered, [parts[n][1][i] for n, i in chosen]).T * scale
        loss = (functional.cross_entropy(near, right) + functional.cross_entropy(near.T, right)) / 2
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return {"asked": asked.weight.detach().numpy(), "answered": answered.weight.detach().numpy()}


def rarity_of(found: dict[str, list[Pair]]) -> np.ndarray:
    """By place of a word's first four letters: the logarithm of texts over texts that have it."""
    counted, texts = np.zeros(1 << belonging.RARITY_BITS), 0
    for some in found.values():
        column = head(pa.array([t for p in some[:6000] for t in (p.asked, p.answered)], pa.large_string()), 400)
        found_words = words(column)
        whole = found_words.row.astype(np.uint64) << np.uint64(32) | found_words.key & belonging.STEM
        distinct = np.unique(whole)
        np.add.at(counted, slot(distinct & belonging.STEM, belonging.RARITY_BITS), 1)
        texts += len(column)
    return np.clip(np.log(texts / (counted + 1)), 0, 12).astype(np.float32)


def balanced(labels: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """How often each is drawn: both labels alike, large sources less than their size."""
    count = Counter(zip(sources, labels, strict=True))
    weight = np.array([count[pair] ** -0.4 for pair in zip(sources, labels, strict=True)])
    for label in (0, 1):
        weight[labels == label] /= weight[labels == label].sum()
    return np.asarray(weight / weight.sum())


def descend(
    loss_of: Callable[[np.ndarray], torch.Tensor],
    parameters: Sequence[torch.nn.Parameter],
    draw: np.ndarray,
    *,
    steps: int,
    rate: float,
    decay: float,
) -> None:
    """Adam with a rate that falls to nought."""
    optimiser = torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
    chosen = np.random.default_rng(0).choice(len(draw), (steps, 512), p=draw)
    for step in range(steps):
        loss = loss_of(chosen[step])
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def train_belonging(found: dict[str, list[Pair]]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The model's arrays, ready to be kept, and its AUROC on the pairs kept apart."""
    halves = {name: (some[: len(some) // 2], some[len(some) // 2 :]) for name, some in found.items()}
    bagged = {name: bags(batch_of([(p.asked, p.answered) for p in half])) for name, (half, _) in halves.items()}
    kept = {}
    for name, array in {**train_vectors(bagged, 2400), "rarity": rarity_of(found)}.items():
        kept |= quantised(f"belonging.{name}", array, signed=name != "rarity")
    model = read_back(kept, "belonging")
    seen, labels, sources = [], [], []
    for name, (_, half) in halves.items():
        some = [(p.asked, p.answered) for p in half[:3000]]
        swapped = [(q, a) for (q, _), (_, a) in zip(some, [*some[1:], *some[:1]], strict=True)]
        for label, these in ((1, some), (0, swapped)):
            seen.append(belonging.measured(batch_of(these), model))
            labels += [label] * len(these)
            sources += [name] * len(these)
    x, y, of = np.concatenate(seen), np.array(labels), np.array(sources)
    apart = np.arange(len(y)) % 5 == 0
    mean, spread = x[~apart].mean(axis=0), x[~apart].std(axis=0) + 1e-3
    inner, outer = torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, 1)
    inputs, wanted = torch.tensor((x - mean) / spread), torch.tensor(y, dtype=torch.float32)
    draw = np.where(apart, 0, balanced(y, of))

    def answer(at: np.ndarray) -> torch.Tensor:
        return outer(torch.tanh(inner(inputs[at])))[:, 0]

    descend(
        lambda at: functional.binary_cross_entropy_with_logits(answer(at), wanted[at]),
        [*inner.parameters(), *outer.parameters()],
        draw / draw.sum(),
        steps=2500,
        rate=1e-2,
        decay=1e-4,
    )
    kept |= {f"belonging.{k}": v for k, v in network(mean, spread, inner, outer).items()}
    odds = answer(np.arange(len(y))).detach().numpy()
    return kept, {name: auroc(odds[apart & (of == name)], y[apart & (of == name)]) for name in found}


def network(
    mean: np.ndarray, spread: np.ndarray, inner: torch.nn.Linear, outer: torch.nn.Linear
) -> dict[str, np.ndarray]:
    """The layers as `hidden` reads them."""
    return {
        "mean": mean.astype(np.float32),
        "spread": spread.astype(np.float32),
        "inner": inner.weight.detach().numpy().T.copy(),
        "inner_bias": inner.bias.detach().numpy(),
        "outer": outer.weight.detach().numpy()[0].copy(),
        "outer_bias": outer.bias.detach().numpy(),
    }


def train_ending(found: dict[str, list[Pair]], seed: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The model's arrays, ready to be kept, and its AUROC on the answers kept apart."""
    rng = random.Random(seed)
    texts, labels, sources, apart = [], [], [], []
    for name, some in found.items():
        for number, pair in enumerate(some[:6000]):
            whole = listed(pair.answered, rng) if rng.random() < 0.15 else pair.answered.rstrip()
            cut = [whole[: int(len(whole) * rng.uniform(0.2, 0.95))].rstrip() for _ in range(2 * (len(whole) >= 50))]
            for label, text in [(0, whole), *((1, one) for one in cut)]:
                if len(text) >= ending.LEAST_CHARACTERS and not ending.ends_whole(text):
                    texts.append(text)
                    labels.append(label)
                    sources.append(name)
                    apart.append(number % 10 == 0)
    y, of, kept_apart = np.array(labels), np.array(sources), np.array(apart)
    tails, shapes, places = ending.measured(texts)
    mean, spread = shapes.mean(axis=0), shapes.std(axis=0) + 0.05
    letters = torch.nn.Embedding(128, LETTER_DIMENSIONS)
    inner = torch.nn.Linear(ending.TAIL_BYTES * LETTER_DIMENSIONS + shapes.shape[1], ENDING_HIDDEN)
    outer = torch.nn.Linear(ENDING_HIDDEN, 1)
    weight = torch.nn.Parameter(torch.zeros(1 << ending.WORDS_BITS))
    bytes_, told = torch.tensor(tails), torch.tensor((shapes - mean) / spread)
    where, wanted = torch.tensor(places), torch.tensor(y, dtype=torch.float32)

    def answer(at: np.ndarray, drop: float) -> torch.Tensor:
        seen = functional.dropout(torch.cat([letters(bytes_[at]).flatten(1), told[at]], dim=1), drop, drop > 0)
        inside = functional.dropout(torch.tanh(inner(seen)), drop, drop > 0)
        return outer(inside)[:, 0] + weight[where[at]].sum(dim=1)

    def loss(at: np.ndarray) -> torch.Tensor:
        wrong = functional.binary_cross_entropy_with_logits(answer(at, 0.1), wanted[at])
        return wrong + 1e-3 * weight[where[at]].pow(2).mean()

    draw = np.where(kept_apart, 0, balanced(y, of))
    learnt = [*letters.parameters(), *inner.parameters(), *outer.parameters(), weight]
    descend(loss, learnt, draw / draw.sum(), steps=3000, rate=5e-3, decay=0.0)
    kept = {f"ending.{k}": v for k, v in network(mean, spread, inner, outer).items()}
    kept |= quantised("ending.words", weight.detach().numpy())
    kept["ending.bytes"] = letters.weight.detach().numpy()
    odds = ending.combined(tails, shapes, places, read_back(kept, "ending"))
    rows = {name: kept_apart & (of == name) for name in found}
    return kept, {name: auroc(odds[at], y[at]) for name, at in rows.items()}


def listed(text: str, rng: random.Random) -> str:
    """The sentences of a text as a list whose items have no mark at their end; the text where it has under three."""
    items = [part.strip().rstrip(".") for part in re.split(r"(?<=[.!?])\s+", text.strip())]
    if len(items) < 3 or "```" in text or not all(items):
        return text.rstrip()
    some = items[: rng.randint(3, 8)]
    if rng.random() < 0.5:
        some = [" ".join(item.split()[: rng.randint(3, 9)]).rstrip(",;:") for item in some]
    mark = rng.choice(["- ", "* ", "• ", ""])
    lines = [f"{mark}{item}" if mark else f"{at}. {item}" for at, item in enumerate(some, 1)]
    return "\n".join(lines)


def read_back(kept: dict[str, np.ndarray], model: str) -> dict[str, np.ndarray]:
    """The arrays as they will be read."""
    save_file(kept, FILE)
    from samloop.curate.learned.weights import weights

    weights.cache_clear()
    return dict(weights(model))


def auroc(odds: np.ndarray, labels: np.ndarray) -> float:
    """The chance that a 1 is above a 0; NaN where one is missing."""
    good, bad = odds[labels == 1], odds[labels == 0]
    if not len(good) or not len(bad):
        return float("nan")
    _, place, count = np.unique(np.concatenate([good, bad]), return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[: len(good)].sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad)))


CARD = """# Learnt models of curation

Two small models that two rules read (`misfit`, `unfinished`): the chance that an answer belongs to another question,
and the chance that it stops in the middle. {size:,} bytes together, in weights.safetensors. They know surfaces: words
that go together, shapes of endings. They do not know whether an answer is right. English and program text.

Built by `python scripts/train_quality.py --repositories FOLDER --seed {seed}`, Python {python}, torch {torch}.

AUROC on pairs of the same sources that were kept apart: "belonging", answers exchanged within a source; "ending",
answers cut anywhere against whole ones, of those whose last mark does not tell. What the models do on sets that they
never saw, benchmarks/curation/results/score_auroc.txt says; none of the sets measured there is among these.

| text | source | commit | licence | pairs | belonging | ending |
|---|---|---|---|---|---|---|
{rows}

The weights are numbers about words and characters; no text can be read back from them. Texts under CC BY 4.0 are
their authors', named under the sources.
"""


def card(found: dict[str, list[Pair]], figures: Sequence[dict[str, float]], folder: Path, seed: int) -> str:
    """The README beside the weights."""
    rows = []
    for row in tomllib.loads(TEXTS.read_text())["text"]:
        name = row["name"]
        if name == "python":
            source, commit = "the Python that ran", sys.version.split()[0]
        else:
            git = ["git", "-C", str(folder / name), "rev-parse", "HEAD"]
            source = f"https://github.com/{name.replace('+', '/')}"
            commit = subprocess.run(git, capture_output=True, check=True, text=True).stdout[:12]
        measured = " | ".join(f"{figure[row['title']]:.3f}" for figure in figures)
        pairs_of = f"{len(found[row['title']]):,}"
        rows.append(f"| {' | '.join([row['title'], source, commit, row['licence'], pairs_of])} | {measured} |")
    python = ".".join(map(str, sys.version_info[:3]))
    size = FILE.stat().st_size
    return CARD.format(size=size, seed=seed, python=python, torch=torch.__version__, rows="\n".join(rows))


def figures_of(text: str) -> dict[str, float]:
    """The figures of "belonging" that a card names, by title."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: float(row[-2]) for row in rows if len(row) == 7 and row[0] != "text"}


def main() -> None:
    """Train both, write weights and card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repositories", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ending-only", action="store_true", help="keep what is there of the other model")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = pairs(options.repositories, MOST_OF_A_SOURCE, options.seed)
    print(f"{sum(map(len, found.values())):,} pairs of {len(found)} sources")
    if options.ending_only:
        one = {name: array for name, array in load_file(FILE).items() if name.startswith("belonging.")}
        belongs = figures_of(FILE.with_name("README.md").read_text(encoding="utf-8"))
    else:
        torch.manual_seed(options.seed)
        one, belongs = train_belonging(found)
    torch.manual_seed(options.seed)
    other, ends = train_ending(found, options.seed)
    save_file(one | other, FILE)
    text = card(found, (belongs, ends), options.repositories, options.seed)
    FILE.with_name("README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
