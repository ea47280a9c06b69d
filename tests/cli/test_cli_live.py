"""A run as it goes: what the two lines say, and a line per report where there is no terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from samloop.cli.live import View, live
from samloop.cli.output import Output

LINE: dict[str, Any] = {
    "step": 120,
    "steps": 400,
    "phase": "answers",
    "loss": 3.2131,
    "validation_loss": None,
    "tokens_per_second": 1234.4,
    "memory_bytes": 812_000_000,
    "eta_seconds": 125.0,
}
PAUSED = {"event": "paused", "at_step": 120, "reason": "memory", "available_bytes": 210_000_000}


def test_two_lines_say_all_of_it() -> None:
    view = View()
    assert view.lines() == ["loading the base"]
    view.tell({**LINE, "step": 0, "validation_loss": 5.0})
    view.tell({**LINE, "step": 50, "validation_loss": 3.39})
    view.tell({**LINE, "step": 100, "validation_loss": 3.402})
    view.tell(LINE)
    first, second = view.lines()
    assert first == "step 120 of 400  ━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  30%  answers  2 min 05 s left"
    assert second == "loss 3.213  validation 3.402 (best 3.39)  1,234 tokens/s  812 MB"
    assert max(len(first), len(second)) <= 80


def test_a_pause_is_seen_until_the_next_step() -> None:
    view = View()
    view.tell(LINE)
    view.tell(PAUSED)
    assert view.lines()[0].endswith("paused: only 0.21 GB of memory are available")
    view.tell({"event": "resumed", "at_step": 120, "reason": "memory", "seconds": 3.0})
    assert view.lines()[0].endswith("2 min 05 s left")
    view.tell({"event": "reference", "done": 8, "total": 40})
    assert "asking the base about pairs: 8 of 40" in view.lines()[0]


def test_text_of_a_run_cannot_steer_the_terminal() -> None:
    view = View()
    view.tell({**LINE, "phase": "\x1b[2J[bold]"})
    assert "\x1b" not in "".join(view.lines())


def test_a_terminal_shows_it_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    out, screen = Output(), io.StringIO()
    out.errors = Console(file=screen, force_terminal=True, width=80, markup=False)
    with live(out) as tell:
        tell(LINE)
    assert "step 120 of 400" in screen.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("as_json", "lines", "printed"), [(False, True, 3), (True, True, 0), (False, False, 0)])
def test_a_pipe_gets_a_line_per_report_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str], as_json: bool, lines: bool, printed: int
) -> None:
    with live(Output(as_json=as_json), lines=lines) as tell:
        tell(LINE)
        tell({"event": "reference", "done": 8, "total": 40})
        tell(PAUSED)
        tell({**LINE, "step": 121})
    said = capsys.readouterr()
    assert (len(said.out.splitlines()), said.err) == (printed, "")
    if printed:
        assert said.out.splitlines()[:2] == [
            "step 120 of 400  loss 3.213  1,234 tokens/s  812 MB  2 min 05 s left",
            "step 120  paused: only 0.21 GB of memory are available",
        ]
