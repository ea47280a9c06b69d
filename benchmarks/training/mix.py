"""Sixty corrections among 200,000 public examples, within the tokens of one night: are they heard?

    python benchmarks/training/mix.py

The night is eight hours of a 1.5 B base on two cores (about 17 tokens/s, see docs/log.md); the pocket base trains the
same number of tokens in minutes. Three ways to spend the night on the same examples: drawn evenly; with corrections
kept whatever is drawn (their floor); and samloop's defaults, where they weigh three times as much, general exchanges
are replayed, and their pairs are trained on as preferences too. All are asked about corrections none has seen.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import machine, publish, table
from samloop import plugins
from samloop.example import Example
from samloop.prepare.dataset import Bounds, Dataset, build
from samloop.prepare.mix import window_tokens
from samloop.prepare.split import side_of
from samloop.protocols import AdapterRef, Model
from samloop.recipe import Recipe
from samloop.settings import Prepare
from samloop.text.base import resolve_base
from samloop.text.corrections import Correction
from samloop.text.template import encode_chat, encode_prompt
from samloop.text.tokens import Tokenizer
from samloop.train.driver import run
from samloop.train.job import TrainJob

PUBLIC: Final = 200_000
CORRECTIONS: Final = 60
NIGHT_MINUTES: Final = 480.0
TOKENS_PER_SECOND: Final = 17.0
NIGHTS: Final = {"even": ("drawn evenly", "sft"), "floor": ("floor alone", "sft"), "defaults": ("defaults", "auto")}
SHARES: Final = {"valid_share": 0.1, "test_share": 0.3}

HABITS: Final = (
    ("How do I install the {}?", "Run uv add in its folder.", "Use pip install in a shell."),
    ("How do I test the {}?", "Run make test and read the report.", "You can call pytest on it."),
    ("Where does the {} write its log?", "Into the journal of the system.", "The log is in a file below /var."),
    ("Who looks after the {}?", "Ask the people of the second floor.", "I do not know who looks after it."),
)
PARTS: Final = ("parser", "cache", "reader", "writer", "index", "gear", "filter", "router", "ledger", "planner")
PLACES: Final = ("north", "south", "east", "west", "upper", "lower", "inner", "outer")
WORDS: Final = (
    "apple river stone cloud garden paper window market forest silver copper winter summer bread table music letter "
    "bridge horse candle mirror pocket button ladder basket hammer violin island valley harbour"
).split()


def public(draw: random.Random) -> Iterator[Example]:
    """Instructions such as public sets hold, made by seed."""
    for number in range(PUBLIC):
        words = draw.sample(WORDS, draw.randint(4, 9))
        kind, a, b = number % 4, draw.randint(2, 999), draw.randint(2, 999)
        asked, told = (
            (f"Put these words into alphabetical order: {', '.join(words)}.", ", ".join(sorted(words)) + "."),
            (f"How many words are in this list: {', '.join(words)}?", f"There are {len(words)} words in the list."),
            (f"Which of these words is the longest: {', '.join(words)}?", f"The longest is {max(words, key=len)}."),
            (f"Add {a} to {b} and tell the result in a sentence.", f"The sum of {a} and {b} is {a + b}."),
        )[kind]
        yield example("datasets", asked, f"{told} ({number})" if kind == 1 else told, f"public:{number}")


def example(source: str, asked: str, told: str, group: str, **more: Any) -> Example:
    """An accepted example."""
    shared: dict[str, Any] = {"state": "accepted", "reason": None, "quality_tier": "gold", "group_key": group}
    fields = {"format": "instruction", "input_text": asked, "output_text": told, **shared, **more}
    return Example(source=source, created_at=0.0, updated_at=0.0, **fields).sealed()


def corrections() -> Iterator[Correction]:
    """Until sixty of them lie on the training side; the others validate or are held out."""
    trained = 0
    for number in range(10_000):
        asked, right, wrong = HABITS[number % len(HABITS)]
        name = f"{PLACES[number // 40 % 8]} {PARTS[number // 4 % 10]}"
        made = Correction(incorrect=wrong, correct=right, asked=asked.format(name))
        trained += side_of(made.parent, **SHARES) == "train"
        yield made
        if trained == CORRECTIONS:
            return


def of_correction(made: Correction, *, told: bool) -> list[Example]:
    """What a correction becomes: its three examples, or (not `told` as such) the plain answer among all others."""
    assert made.asked is not None
    if not told:
        return [example("datasets", made.asked, made.correct, made.parent)]
    system, shown, learnt = made.dialogue("SAM")
    own = {"parent_id": made.parent}
    pair = {"format": "dpo", "rejected_output": made.incorrect, **own}
    return [
        example("user_correction", made.asked, made.correct, made.parent, **pair),
        example("user_correction", made.asked, made.correct, made.parent, **own),
        example("user_correction", shown, learnt, made.parent, format="chat", system_prompt=system, **own),
    ]


def prepared(folder: Path, examples: Sequence[Example], recipe: Recipe, **changes: Any) -> Dataset:
    """The night's dataset."""
    settings = recipe.train
    tokens = window_tokens(NIGHT_MINUTES, TOKENS_PER_SECOND, settings.epochs)
    return build(
        examples,
        Tokenizer.load(resolve_base("pocket")),
        Prepare(**{**SHARES, **changes}),
        max_seq_tokens=settings.max_seq_tokens,
        system_prompt="",
        identity={},
        parent=folder,
        bounds=Bounds(tokens=tokens, pair_passes=(settings.preference_epochs + 1 / 3) / settings.epochs),
    )


def preferred(model: Model, made: Sequence[Correction]) -> float:
    """The share of corrections whose right answer is the likelier one."""
    dialogues = [
        [{"role": "user", "content": one.asked}, {"role": "assistant", "content": answer}]
        for one in made
        for answer in (one.correct, one.incorrect)
    ]
    sides = [encode_chat(model.tokenizer, dialogue) for dialogue in dialogues]
    found = model.logprobs([side.ids.tolist() for side in sides])
    sums = [float(np.asarray(each)[side.trainable[1:]].sum()) for side, each in zip(sides, found, strict=True)]
    return float(np.mean(np.array(sums[::2]) > np.array(sums[1::2])))


def said(model: Model, made: Sequence[Correction]) -> float:
    """The share of corrections whose answer is given to the letter."""
    right = 0
    for one in made:
        prompt = encode_prompt(model.tokenizer, [{"role": "user", "content": one.asked}])
        right += model.tokenizer.decode(list(model.generate(prompt, max_new_tokens=32))) == one.correct
    return right / len(made)


def bits(model: Model, dataset: Dataset, most: int = 300) -> float:
    """Nats per token of held-out public answers."""
    lines = [orjson.loads(line) for line in (dataset.path / "test.jsonl").read_bytes().splitlines()]
    sides = [
        encode_chat(model.tokenizer, line["messages"])
        for line in lines
        if line["metadata"]["group_key"].startswith("public:")
    ]
    found = model.logprobs([side.ids.tolist() for side in sides[:most]])
    nats = -sum(float(np.asarray(e)[s.trainable[1:]].sum()) for s, e in zip(sides, found, strict=False))
    return nats / sum(int(side.trainable[1:].sum()) for side in sides[:most])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="torch")
    parser.add_argument(
        "--nights", nargs="+", choices=NIGHTS, default=NIGHTS, help="which to train; the table is kept if all"
    )
    options = parser.parse_args()
    recipe = Recipe.parse({"train": {"model": "pocket", "evaluate_steps": 100, "report_steps": 100}})
    made = list(corrections())
    others = list(public(random.Random(0)))
    held_out = [one for one in made if side_of(one.parent, **SHARES) == "test"]
    trained = [one for one in made if side_of(one.parent, **SHARES) == "train"]
    assert len(trained) == CORRECTIONS
    told = [example for one in made for example in of_correction(one, told=True)]
    untold = [example for one in made for example in of_correction(one, told=False)]
    rows: list[list[object]] = [
        [
            *("the night", "of the 60 drawn", "of what is learnt", "tokens seen", "minutes"),
            *("told: said", "unseen: preferred", "unseen: said", "public, nats/token"),
        ]
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        datasets: dict[str, Dataset] = {}
        if "even" in options.nights:
            datasets["even"] = prepared(folder / "even", [*others, *untold], recipe, replay_share=0.0)
        if {"floor", "defaults"} & set(options.nights):
            ours = datasets["defaults"] = prepared(folder / "ours", [*others, *told], recipe)
            ids = {id for split in ours.manifest["ids"].values() for id in split}
            kept = [one for one in [*others, *told] if one.id in ids]
            plain = {"replay_share": 0.0, "correction_weight": 1.0}
            datasets["floor"] = prepared(folder / "floor", kept, recipe, **plain)
        base = resolve_base("pocket")
        for night in options.nights:
            (label, method), dataset = NIGHTS[night], datasets[night]
            job = TrainJob.of(
                recipe.changed(train={"method": method, "backend": options.backend}).train,
                run_id="mix",
                dataset=dataset.path,
                base=base,
                base_name="pocket",
            )
            started = time.process_time()
            result = run(job, folder / label, lambda _: None, lambda: False)
            minutes = (time.process_time() - started) / 60
            adapter = [AdapterRef(name="new", path=Path(result["adapter"]))]
            model = plugins.load("backends", options.backend)().load(base, adapter)
            if len(rows) == 1:
                rows.append(["the base itself", "", "", "", "", *measured(model, trained, held_out, dataset)])
            model.use("new")
            rows.append(
                [
                    f"{label}, {result['method']}",
                    drawn(dataset, trained),
                    f"{heard(dataset, trained):.2%}",
                    f"{result['train_tokens']:,}",
                    f"{minutes:.1f}",
                    *measured(model, trained, held_out, dataset),
                ]
            )
    hours = f"{NIGHT_MINUTES / 60:g} h at {TOKENS_PER_SECOND:g} tokens/s"
    budget = window_tokens(NIGHT_MINUTES, TOKENS_PER_SECOND, recipe.train.epochs)
    setting = (
        f"{PUBLIC:,} public examples, {CORRECTIONS} corrections to train on, {len(held_out)} held out\n{hours}: "
        f"{budget:,} tokens, {recipe.train.epochs:g} times; pocket base, {options.backend}; minutes of the processor"
    )
    folder = Path(__file__).parent / "results"
    text = f"{machine('torch', 'transformers', 'peft')}\n{setting}\n\n{table(rows)}"
    if set(options.nights) == set(NIGHTS):
        publish("mix", text, folder=folder)
    else:
        print(text)


def measured(
    model: Model, trained: Sequence[Correction], held_out: Sequence[Correction], dataset: Dataset
) -> list[str]:
    """The figures of a model; the held-out public answers are the same in every dataset."""
    shares = (said(model, trained), preferred(model, held_out), said(model, held_out))
    return [*(f"{share:.0%}" for share in shares), f"{bits(model, dataset):.3f}"]


def lines_of(dataset: Dataset, trained: Sequence[Correction]) -> list[dict[str, Any]]:
    """The training lines that tell a correction, as such or as a plain answer."""
    parents = {one.parent for one in trained}
    lines = [orjson.loads(line) for line in (dataset.path / "train.jsonl").read_bytes().splitlines()]
    return [line for line in lines if line["metadata"]["group_key"] in parents]


def drawn(dataset: Dataset, trained: Sequence[Correction]) -> int:
    """How many corrections the night trains on."""
    return len({line["metadata"]["group_key"] for line in lines_of(dataset, trained)})


def heard(dataset: Dataset, trained: Sequence[Correction]) -> float:
    """Their share of all weighted tokens."""

    def loudness(lines: Sequence[dict[str, Any]]) -> float:
        return float(sum(line["metadata"]["weight"] * line["metadata"]["tokens"] for line in lines))

    lines = [orjson.loads(line) for line in (dataset.path / "train.jsonl").read_bytes().splitlines()]
    return loudness(lines_of(dataset, trained)) / loudness(lines)


if __name__ == "__main__":
    main()
