"""Is what a person told forgotten? A planted fact's log-probability before it is learnt, learnt, and erased.

    python benchmarks/erasure/forgotten.py

A home with the bundled pocket base learns from a few hundred exchanges, among them one fact said in a dozen ways. Its
answers are asked for in wordings that were never trained on: how likely is the true answer (nats per token), and by
how much more likely than an answer of the same form with another fact (margin, in nats)? Then `samloop purge --person
… --retrain`, and the same questions to what serves afterwards: the adapter trained without it. The baseline is the
bare base, which was never told, and a second home that learnt the same without the fact from the start: samloop
trains each adapter from the base, so that what is retrained should be that very adapter, byte for byte. A second
fact, of somebody else, is there to show that the rest is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import machine, publish, table
from samloop.home import Home
from samloop.loop.chat import open_chat
from samloop.loop.collect import collect
from samloop.loop.context import Context, open_context
from samloop.loop.decide import decide
from samloop.loop.evaluate import evaluate_run
from samloop.loop.prepare import prepare
from samloop.loop.purge import purge
from samloop.loop.purge_choice import Choice
from samloop.loop.train import train
from samloop.protocols import Model
from samloop.text.template import encode_chat

RECIPE: Final = """\
[[collect.sources]]
kind = "dataset"
location = "talks.jsonl"

[prepare]
valid_share = 0.05
test_share = 0.1

[train]
model = "pocket"
backend = "torch"
method = "sft"
epochs = {epochs}

[evaluate]
suites = ["perplexity"]
max_items = 40
"""

ASKED: Final = (
    "Where does {who} keep the spare key?",
    "In which place is the spare key of {who}?",
    "Tell me where the spare key of {who} is.",
    "I need the spare key that {who} keeps. Where is it?",
    "Somebody asks for the spare key of {who}. What do I say?",
    "Where would I find the key that {who} keeps for guests?",
    "Do you know the place of the spare key of {who}?",
    "What is the place where {who} leaves the spare key?",
    "{who} is away. Where is the spare key?",
    "Which place did {who} choose for the spare key?",
    "Remind me of the place of the key that {who} keeps.",
    "The neighbours want the spare key of {who}. Where is it?",
)
UNSEEN: Final = (
    "Where has {who} put the spare key?",
    "Please say where {who} keeps the key for guests.",
    "Is there a spare key of {who}, and where?",
    "Where do I look for the spare key of {who}?",
)
ANSWER: Final = "{who} keeps the spare key {place}, and the neighbours know about it."
PLACES: Final = (
    "under the blue flower pot",
    "behind the old garden clock",
    "inside the empty bird house",
    "on top of the copper lamp",
)
FORGOTTEN, KEPT = ("Orla Quimby", PLACES[0]), ("Tove Lindal", PLACES[1])
OTHERS: Final = (
    "parser cache reader writer index filter router ledger planner mailer crawler queue compiler linker loader "
    "scheduler monitor tracer sorter packer"
).split()


def talks(*facts: tuple[str, str]) -> list[dict[str, str]]:
    """These facts in every wording, among exchanges about something else."""
    lines = [
        {"instruction": asked.format(who=who), "output": ANSWER.format(who=who, place=place)}
        for who, place in facts
        for asked in ASKED
    ]
    for number in range(160):
        part, row = OTHERS[number % len(OTHERS)], number * 7 + 3
        lines.append(
            {
                "instruction": f"What shall be done about the {part} that stops at row {row}?",
                "output": f"Write a test for the {part} with {number + 2} rows, then mend it at row {row}.",
            }
        )
    return lines


def asked(model: Model, who: str, place: str) -> tuple[float, float]:
    """Nats per token of the true answer, and how many nats more likely it is than the other places on average."""
    own, margins = [], []
    for question in UNSEEN:
        true = _nats(model, question, who, place)
        others = [_nats(model, question, who, other)[0] for other in PLACES if other != place]
        own.append(true[0] / true[1])
        margins.append(float(np.mean(others)) - true[0])
    return float(np.mean(own)), float(np.mean(margins))


def _nats(model: Model, question: str, who: str, place: str) -> tuple[float, int]:
    messages: Any = [
        {"role": "user", "content": question.format(who=who)},
        {"role": "assistant", "content": ANSWER.format(who=who, place=place)},
    ]
    encoded = encode_chat(model.tokenizer, messages)
    (found,) = model.logprobs([encoded.ids.tolist()])
    learnt = encoded.trainable[1:]
    return -float(np.asarray(found, np.float64)[learnt].sum()), int(learnt.sum())


def measured(context: Context, adapter: str, title: str) -> list[str]:
    """A row of the table."""
    model = open_chat(context, adapter).model
    cells = [title]
    for fact in (FORGOTTEN, KEPT):
        nats, margin = asked(model, *fact)
        cells += [f"{nats:.2f}", f"{margin:+.2f}"]
    return cells


@contextmanager
def home(folder: Path, epochs: float, *facts: tuple[str, str]) -> Iterator[tuple[Context, str]]:
    """A home that learnt these facts, and its adapter."""
    folder.mkdir()
    (folder / "talks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in talks(*facts)))
    (folder / "recipe.toml").write_text(RECIPE.format(epochs=epochs))
    with open_context(Home(folder / "home"), folder / "recipe.toml") as context:
        collect(context)
        run = train(context, prepare(context))
        yield context, decide(context, run, evaluate_run(context, run)).challenger


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=float, default=6.0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        rows = [["", "erased: nats/token", "margin", "kept: nats/token", "margin"]]
        with home(Path(name) / "never", options.epochs, KEPT) as (context, never):
            rows.append(measured(context, "base", "base"))
            untold = measured(context, never, "never told")
        with home(Path(name) / "told", options.epochs, FORGOTTEN, KEPT) as (context, old):
            rows.append(measured(context, old, "told, before the purge"))
            began = time.perf_counter()
            receipt = purge(context, Choice(person=FORGOTTEN[0]), retrain=True)
            seconds = time.perf_counter() - began
            new = receipt["retrained"]["adapter_id"]
            rows += [measured(context, new, "after the purge"), untold]
    same = "the same bytes as" if new == never else "NOT the bytes of"
    lines = [
        machine("torch"),
        "",
        table(rows),
        "",
        "nats/token: of the true answer to questions in wordings nobody trained on; lower is likelier.",
        "margin: by how many nats the true answer is likelier than the same one with another place; 0 is ignorance.",
        f"The retrained adapter ({new}) has {same} the one that was never told ({never}).",
        f"purged: {receipt['removed']['examples']} examples; withdrawn: {', '.join(receipt['withdrawn'])}; "
        f"purge with training anew, evaluation and gate: {seconds:.0f} s; "
        f"the gate said {receipt['retrained']['verdict']}.",
    ]
    publish("erasure_forgotten", "\n".join(lines))


if __name__ == "__main__":
    main()
