"""Progress: on a terminal a line per stage, elsewhere nothing; never wider than the terminal."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.cli.output import Output
from samloop.cli.progress import position, spinner, stages, summary

METRIC = {
    "step": 5,
    "steps": 20,
    "loss": 0.53391,
    "validation_loss": None,
    "tokens_per_second": 3984.2,
    "eta_seconds": 75.0,
}


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_nothing_is_drawn_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with stages(Output()) as tell, spinner(Output(), "Loading") as say:
        tell("train", METRIC)
        say("more")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_each_stage_has_a_line_and_standard_output_stays_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, stdout = Terminal(), io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", stdout)
    with stages(Output(as_json=True)) as tell:
        tell("collect", {"source": "git_commits", "location": "/home/me/engine", "read": 1200, "added": 1100})
        tell("collect", {"source": "git_commits", "location": "/home/me/gears", "read": 3, "added": 3, "ended": True})
        tell("collect", {"source": "routing", "location": "", "read": 0, "added": 0})
        tell("train", METRIC)
        tell("evaluate", {"target": "[red]x", "suite": "routing"})
    drawn = terminal.getvalue()
    assert all(f"collect {name}" in drawn for name in ("engine", "gears", "routing"))
    assert "1,200 read, 1,100 added" in drawn
    assert "[red]x, routing" in drawn
    assert stdout.getvalue() == ""


def test_a_metric_is_told_with_its_units() -> None:
    assert summary(METRIC) == "loss 0.534, 1 min 15 s left, 3,984 tokens/s"
    assert position(METRIC) == (5.0, 20.0)
    assert position({"done": 3, "total": 4}) == (3.0, 4.0)


@given(st.dictionaries(st.sampled_from([*METRIC, "target", "suite", "reason", "x"]), st.none()))
def test_what_is_not_known_is_not_told(news: dict[str, None]) -> None:
    assert summary(news) == ""
    assert position(news) == (0.0, None)
