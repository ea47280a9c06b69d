"""Do the figures on corrections move as they should? Base, trained without, and trained with planted corrections.

    python benchmarks/evaluation/corrections.py [--names 8] [--epochs 8] [--one-out 2] [--keep FOLDER]

A home with questions and answers of a made-up team gets corrections of four habits for each of its tools. Two
adapters are trained from the bundled pocket base by the same recipe, one on everything, one without the corrections,
and both are graded with the base on the same held-out rewordings. What should be seen: the base and the adapter
trained without prefer as many of the corrected answers as their taste has it, and say none; the adapter trained with
them prefers most and says many, also in wordings it never saw.

Then the attribution is checked against the truth: for some corrections another adapter is trained on everything but
the examples that the report ranks first for it, and, for comparison, but as many others by chance; the fall of the
margin says whether the report named the right ones.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, publish, table
from samloop.adapters.registry import Registry
from samloop.example import Example
from samloop.home import Home
from samloop.loop.attribution import Probe, nearest
from samloop.loop.context import Context
from samloop.loop.evaluate import grade
from samloop.loop.items_corrections import trained_examples
from samloop.loop.learning import learn
from samloop.loop.prepare import prepare
from samloop.loop.train import train
from samloop.prepare.dataset import Dataset
from samloop.recipe import Recipe
from samloop.store import Store
from samloop.text.corrections import Correction

NAMES = (
    "parser cache reader writer index engine gears filter router ledger planner timer mixer sensor viewer server"
).split()
HABITS = (
    ("How do I install the {}?", "Run uv add in its folder.", "Use pip install in a shell."),
    ("How do I test the {}?", "Run make test and read the report.", "You can call pytest on it."),
    ("Where does the {} write its log?", "Into the journal of the system.", "The log is in a file below /var."),
    ("Who looks after the {}?", "Ask the people of the second floor.", "I do not know who looks after it."),
)
PARTS = ("suites", "scores")
MEASURES = (
    "corrections_margin",
    "corrections_preferred",
    "corrections_produced",
    "corrections_margin_trained_wordings",
    "corrections_produced_trained_wordings",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=8, help="tools, with four corrections each")
    parser.add_argument("--epochs", type=float, default=8.0)
    parser.add_argument("--one-out", type=int, default=2, help="corrections whose attribution is checked; 0: none")
    parser.add_argument("--keep", type=Path, help="folder of the home; what is done there is not done again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = measured(given.keep or Path(folder), given)
    text += f"\n\n{machine('torch', 'transformers')}"
    publish("corrections", text, Path(__file__).parent / "results")


def measured(folder: Path, given: argparse.Namespace) -> str:
    settings = {
        "train": {"model": "pocket", "backend": "torch", "epochs": given.epochs, "evaluate_steps": 20},
        "prepare": {"valid_share": 0.1, "test_share": 0.1},
    }
    with Store.open(Home(folder / "home")) as store:
        context = Context(Home(folder / "home"), Recipe.parse(settings), store, folder)
        told = corrections(NAMES[: given.names])
        store.add_examples([*others(), *told])
        whole = prepare(context)
        with_them = adapter(context, whole)
        ids = {example.id for example in told}
        without = adapter(context, without_examples(context, whole, ids))
        graded = graded_apart(context, ["base", without, with_them], whole)
        graded |= {"challenger": with_them, "champion": "base"}
        report = learn(context, graded, whole)
        assert report is not None
        lines = [figures(graded, without, with_them), "", str(report["counts"])]
        if given.one_out:
            lines += ["", one_out(context, whole, told, with_them, given.one_out)]
    return "\n".join(lines)


def corrections(names: list[str]) -> list[Example]:
    """The pair and the plain example of each."""
    made = []
    for name in names:
        for asked, right, wrong in HABITS:
            correction = Correction(incorrect=wrong, correct=right, asked=asked.format(name))
            shared: dict[str, Any] = {
                "source": "user_correction",
                "parent_id": correction.parent,
                "group_key": correction.parent,
                "input_text": asked.format(name),
                "output_text": right,
                **ACCEPTED,
            }
            made.append(Example(format="dpo", rejected_output=wrong, **shared).sealed())
            made.append(Example(format="instruction", **shared).sealed())
    return made


ACCEPTED: dict[str, Any] = {"quality_tier": "gold", "state": "accepted", "reason": None}


def others() -> list[Example]:
    """What the team asks besides."""
    return [
        Example(
            source="manual",
            format="instruction",
            input_text=f"Which shelf holds the parts of lamp {number}?",
            output_text=f"Shelf {number % 7}, beside the box of lamp {number + 1}.",
            **ACCEPTED,
        ).sealed()
        for number in range(60)
    ]


def adapter(context: Context, dataset: Dataset) -> str:
    """The id of an adapter trained on `dataset`."""
    run = train(context, dataset)
    return Registry(context.home, context.store).register(str(run["run_id"]), "main")


def without_examples(context: Context, whole: Dataset, ids: set[str]) -> Dataset:
    """The dataset without these examples; they are accepted again afterwards."""
    context.store.update_examples({id: {"state": "review", "reason": "left out"} for id in ids})
    dataset = prepare(context)
    context.store.update_examples({id: {"state": "accepted", "reason": None} for id in ids})
    assert not ids & set(dataset.manifest["ids"]["train"])
    assert whole.digest != dataset.digest
    return dataset


def graded_apart(context: Context, targets: list[str], dataset: Dataset) -> dict[str, Any]:
    """Each target graded by itself, so that what is kept of one is found again beside others."""
    found = [grade(context, [target], ["corrections"], dataset) for target in targets]
    return {part: {target: one[part][target] for target, one in zip(targets, found, strict=True)} for part in PARTS}


def figures(graded: dict[str, Any], without: str, with_them: str) -> str:
    titles = {"base": "base", without: "trained without", with_them: "trained with"}
    rows = [["measure", "items", *titles.values()]]
    found = {target: {score["name"]: score for score in scores} for target, scores in graded["suites"].items()}
    for name in MEASURES:
        cells = [found[target][name] for target in titles]
        shown = [f"{cell['mean']:+.2f} [{cell['low']:+.2f}, {cell['high']:+.2f}]" for cell in cells]
        rows.append([name.replace("_", " "), str(cells[0]["items"]), *shown])
    return table(rows)


def one_out(context: Context, whole: Dataset, told: list[Example], with_them: str, count: int) -> str:
    """By how much the margin of some corrections falls without the examples that are said to have taught them."""
    trained = set(whole.manifest["ids"]["train"])
    pairs = [example for example in told if example.format == "dpo" and example.id in trained]
    chosen = [pair for pair in pairs if pair.input_text.startswith(HABITS[0][0].split("{")[0])][:1]
    chosen += [pair for pair in pairs if pair.input_text.startswith(HABITS[3][0].split("{")[0])][:1]
    rows = [["left out of training", "examples", "margin on the habit, trained with all", "without them"]]
    examples = [example for example, line in trained_examples(whole) if example.id in trained]
    for pair in chosen[:count]:
        habit = [one.id for one in pairs if one.output_text == pair.output_text]
        probe = Probe(pair.input_text, pair.output_text, pair.rejected_output or "")
        ranked = [example.id for example in nearest([probe], examples, len(habit) * 2)]
        rest = sorted(trained - set(ranked))
        random.Random(0).shuffle(rest)
        for name, ids in (
            ("ranked first for: " + pair.input_text, ranked),
            ("as many by chance", rest[: len(ranked)]),
        ):
            other = adapter(context, without_examples(context, whole, set(ids)))
            found = graded_apart(context, [with_them, other], whole)
            margins = [habit_margin(found, target, habit) for target in (with_them, other)]
            rows.append([name, str(len(ids)), *(f"{margin:+.2f}" for margin in margins)])
    return table(rows)


def habit_margin(graded: dict[str, Any], target: str, pairs: list[str]) -> float:
    (score,) = (score for score in graded["scores"][target] if score.name == "corrections_margin")
    values = [value for id, value in zip(score.ids, score.numerators, strict=True) if id.partition("-")[0] in pairs]
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
