"""A turn on a base in four bits after one on the whole base: each adapter is graded and answers on its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from loop_world import Finished, Open, plain

from samloop.errors import MissingExtraError
from samloop.loop.chat import open_chat
from samloop.loop.evaluate import evaluate_run
from samloop.loop.prepare import latest
from samloop.loop.train import train
from samloop.train.layouts import read_metadata

QUICK = {"quick_steps": 2, "evaluate_steps": 2, "batch_examples": 4}


@pytest.mark.slow
def test_champion_and_challenger_are_graded_each_on_its_own_base(finished: Finished, after: Open) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    with after(train={**QUICK, "quantise": "4bit"}) as context:
        result = train(context, latest(context), quick=True)
        graded = evaluate_run(context, context.store.get_run(result["run_id"]))
        challenger, champion = graded["challenger"], graded["champion"]
        job = json.loads((context.home.evaluations / graded["evaluation_id"] / "job.json").read_bytes())
        assert job["quantise"] == "nf4"
        assert {one["name"]: one["quantise"] for one in job["adapters"]} == {champion: "none", challenger: "nf4"}
        known = finished.report["evaluation"]["suites"]
        assert champion == finished.challenger
        for mine, before in zip(plain(graded["suites"][champion]), known[champion], strict=True):
            assert mine["mean"] == pytest.approx(before["mean"], rel=1e-6)
        assert plain(graded["suites"]["base"]) != known["base"]
    # The recipe may say otherwise by now: who was trained in four bits answers in four bits.
    with after() as context:
        chat = open_chat(context, challenger)
        said = "".join(
            chat.reply([{"role": "user", "content": graded["samples"][-1]["question"]}], max_new_tokens=12)
        )
        assert graded["samples"][-1]["answers"][challenger].startswith(said.strip())
        assert read_metadata(context.home.adapters / "main" / challenger)["quantise"] == "nf4"


def test_a_run_that_cannot_hold_its_base_so_is_refused_before_it_loads(
    after: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The worker is a process of its own: what it lacks, it lacks there."""
    blocked = tmp_path / "blocked"
    (blocked / "bitsandbytes").mkdir(parents=True)
    (blocked / "bitsandbytes" / "__init__.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")]))
    with after(train={**QUICK, "quantise": "nf4"}) as context:
        with pytest.raises(MissingExtraError, match=r"pip install 'samloop\[quantise\]'"):
            train(context, latest(context), quick=True)
        (run,) = [run for run in context.store.list_runs() if run["state"] == "failed"]
        assert "samloop[quantise]" in run["error"]
