"""A whole turn on corrections: they are learnt, the report says so, and it can be read again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_corrections_learnt import HABITS, NAMES, examples_of

from samloop.home import Home
from samloop.loop.context import open_context
from samloop.loop.turn import turn
from samloop.text.corrections import Correction

RECIPE = """\
[prepare]
valid_share = 0.05
test_share = 0.05

[train]
model = "pocket"
backend = "torch"
epochs = 8.0
min_new_examples = 1

[evaluate]
suites = ["corrections"]
resamples = 200
"""


@pytest.mark.slow
def test_a_turn_tells_which_corrections_were_learnt_and_what_taught_them(home: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    told = [
        Correction(incorrect=wrong, correct=right, asked=asked.format(name))
        for name in NAMES[:10]
        for asked, right, wrong in HABITS
    ]
    with open_context(Home(home), recipe) as context:
        context.store.add_examples(example for one in told for example in examples_of(one))
        report = turn(context)
        assert report.learning is not None
        assert report.run is not None
        counts, rows = report.learning["counts"], report.learning["corrections"]
        assert sum(counts.values()) == len(rows) == len(told)
        assert counts["learnt"] > 2 * counts["not learnt"]
        trained = [row for row in rows if row["outcome"] in ("learnt", "not learnt")]
        assert all(row["items"] == 2 for row in trained)
        assert sum(row["margin_nats"] > row["base_margin_nats"] for row in trained) > 0.9 * len(trained)
        assert all(row["reason"] for row in rows if row["outcome"] in ("not learnt", "not trained"))
        assert {one["source"] for one in report.learning["moved"][:5]} == {"user_correction"}
        shown = shown_again(home, recipe, str(report.run["run_id"]))
        assert shown["learning"] == json.loads(json.dumps(report.learning))
        assert "What became of corrections" in report.to_text()
        assert "trained wordings" not in report.to_text()


def shown_again(home: Path, recipe: Path, run_id: str) -> dict[str, Any]:
    """What `samloop runs show --json` says."""
    command = [sys.executable, "-m", "samloop", "--home", home, "--config", recipe, "--json", "runs", "show", run_id]
    done = subprocess.run(command, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)["data"]
    return found
