"""What evaluation costs: tokens/s of the suites beside the forward pass of training, and answers in batches.

    python benchmarks/evaluation/speed.py [--rounds 3] [--backend torch]

The pocket base with an adapter of rank 16 on all modules. The forward pass of training is what validation does: the
same conversations, encoded beforehand, in batches of 16, packed where the backend can, loss on answers alone. A suite
is timed as a whole: rendering, encoding, scoring, bookkeeping; `cached` asks the same again in a later evaluation.
Rounds alternate, and the median is told. Tokens are those of the conversations, without padding; seconds are
processor time of one thread, which a busy machine disturbs least.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import alternate, machine, median, publish, table
from samloop import plugins
from samloop.evaluate import perplexity, routing
from samloop.evaluate.answers import ANSWER_TOKENS
from samloop.evaluate.cache import Cache
from samloop.evaluate.remember import Remembering
from samloop.evaluate.retention import packaged
from samloop.prepare.replay import exchanges
from samloop.protocols import AdapterRef, Model
from samloop.recipe import Recipe
from samloop.sources.routing import held_out
from samloop.text.base import resolve_base
from samloop.text.template import encode_chat, encode_prompt
from samloop.train.base import Base
from samloop.train.batches import in_order, joined
from samloop.train.job import TrainJob

BATCH = 16
ROOM = 10**9
GOAL = 0.8
RESULTS = Path(__file__).parent / "results"


def forward(learner: Any, tokenizer: Any, conversations: Sequence[Sequence[Any]]) -> tuple[Callable[[], float], int]:
    """Seconds of one forward pass over all conversations as training does it, and their tokens."""
    encoded = [encode_chat(tokenizer, messages) for messages in conversations]
    examples = joined([e.ids for e in encoded], [e.trainable.astype(np.float32) for e in encoded], 0, 0)
    batches = in_order(examples.lengths, batch_examples=BATCH, limit=len(examples))

    def run() -> float:
        started = time.process_time()
        for batch in batches:
            learner.loss(examples.batch(batch, tokenizer.pad_id))
        return time.process_time() - started

    return run, int(examples.lengths.sum())


def timed(act: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        started = time.process_time()
        act()
        return time.process_time() - started

    return run


def remembering(model: Model, folder: Path, numbers: Any, same: bool) -> Callable[[], Model]:
    """A model with a cache on disk: one of its own each time, or the same one that is filled already."""

    def make() -> Model:
        path = folder / ("same.db" if same else f"{next(numbers)}.db")
        found = Remembering(model, Cache(path, ROOM), {None: "base", "one": "one"})
        found.about("suite", ["item"])
        found.use("one")
        return found

    return make


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backend", default="torch")
    options = parser.parse_args()
    base, backend = resolve_base("pocket"), plugins.load("backends", options.backend)()
    settings = Recipe.parse({"train": {"model": "pocket"}}).train
    job = TrainJob.of(settings, run_id="run-0", dataset=base, base=base, base_name="pocket")
    with tempfile.TemporaryDirectory() as made:
        folder, numbers = Path(made), count()
        learner = backend.learner(Base.open(base), job)
        learner.adapter().write(folder)
        model = backend.load(base, [AdapterRef(name="one", path=folder)])
        model.use("one")
        tokenizer = model.tokenizer
        general = [{"id": str(n), "messages": m} for n, (_, m) in enumerate(exchanges()[:60])] + packaged()
        tasks = held_out()[:25]
        labels = [
            [*item["messages"], {"role": "assistant", "content": label}] for item in tasks for label in item["labels"]
        ]
        cold, warm = (remembering(model, folder, numbers, same) for same in (False, True))
        rows: list[list[object]] = [["suite", "tokens", "training forward", "suite", "ratio", "cached"]]
        for name, grade, items, conversations in (
            ("perplexity", perplexity.grade, general, [item["messages"] for item in general]),
            ("routing (4 labels)", routing.grade, tasks, labels),
        ):
            training, tokens = forward(learner, tokenizer, conversations)
            grade(warm(), items)
            found = alternate(
                {
                    "training": training,
                    "suite": timed(lambda grade=grade, items=items: grade(cold(), items)),
                    "cached": timed(lambda grade=grade, items=items: grade(warm(), items)),
                },
                options.rounds,
            )
            speeds = {what: tokens / median(seconds) for what, seconds in found.items()}
            ratio = median([a / b for a, b in zip(found["training"], found["suite"], strict=True)])
            figures = [f"{speeds[what]:,.0f}/s" for what in ("training", "suite")]
            rows.append([name, f"{tokens:,}", *figures, f"{ratio:.2f} (goal {GOAL})", f"{speeds['cached']:,.0f}/s"])
        prompts = [encode_prompt(tokenizer, item["messages"][:-1]) for item in general[-25:]]
        answers = model.generate_many(prompts, max_new_tokens=ANSWER_TOKENS)
        said = sum(map(len, answers))
        found = alternate(
            {
                "alone": timed(lambda: [list(model.generate(p, max_new_tokens=ANSWER_TOKENS)) for p in prompts]),
                "batched": timed(lambda: model.generate_many(prompts, max_new_tokens=ANSWER_TOKENS)),
            },
            options.rounds,
        )
        alone = [list(model.generate(p, max_new_tokens=ANSWER_TOKENS)) for p in prompts]
        equal = sum(a == b for a, b in zip(alone, answers, strict=True))
    each, together = (said / median(found[name]) for name in ("alone", "batched"))
    publish(
        f"speed_{options.backend}",
        "\n".join(
            [
                machine("torch" if options.backend == "torch" else "mlx"),
                f"pocket base, adapter of rank {job.rank}, {options.backend}, one thread, {options.rounds} rounds",
                "",
                table(rows),
                "",
                f"{len(prompts)} answers of up to {ANSWER_TOKENS} tokens, {said:,} in all: one by one {each:,.0f} "
                f"tokens/s, together {together:,.0f} ({together / each:.1f} times); {equal} of {len(prompts)} equal "
                "token by token",
            ]
        ),
        RESULTS,
    )


if __name__ == "__main__":
    main()
