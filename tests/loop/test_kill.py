"""kill -9 within chosen stages of a turn, then the turn again; benchmarks/kill_turn.py does it at random over all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_turn.py"


@pytest.mark.slow
def test_a_turn_killed_in_a_stage_ends_as_an_undisturbed_one() -> None:
    command = [sys.executable, SCRIPT, "--tiny", "--print", "--stages", "preparing,loading,deciding"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 as if nothing had happened" in done.stdout
