"""What the sandbox costs: one trial (two sandboxes) beside running the same code with no protection at all.

    python benchmarks/evaluation/sandbox.py

The code is the packaged problems' own solutions, in place of model-written code. The floor is one fresh interpreter
that runs answer and test together, which nobody may do with a model's code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import alternate, machine, median, publish, table
from samloop.evaluate.code import trial_of
from samloop.evaluate.trials import cores, run_trials
from samloop.loop.items_files import PACKAGED


def main() -> None:
    """Print the table and keep it."""
    problems = [json.loads(line) for line in (PACKAGED / "code.jsonl").read_text().splitlines()]
    trials = [trial_of(problem, problem["canonical_solution"].strip()) for problem in problems]

    def sandboxed(at_once: int) -> Callable[[], float]:
        def run() -> float:
            started = time.perf_counter()
            assert all(one.passed for one in run_trials(trials, at_once=at_once))
            return (time.perf_counter() - started) / len(trials)

        return run

    def bare() -> float:
        started = time.perf_counter()
        for problem in problems:
            program = "\n".join((problem["prompt"] + problem["canonical_solution"], problem["test"]))
            program += f"\ncheck({problem['entry_point']})\n"
            subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)
        return (time.perf_counter() - started) / len(problems)

    run_trials(trials[:1])  # looks once whether the sandbox works
    found = alternate(
        {"one after the other": sandboxed(1), f"{cores()} at once": sandboxed(cores()), "no sandbox": bare}, rounds=3
    )
    floor = median(found["no sandbox"])
    lines: list[tuple[object, ...]] = [("", "ms per answer, median of 3", "ratio")]
    lines += [
        (name, f"{median(values) * 1000:.0f}", f"{median(values) / floor:.1f}") for name, values in found.items()
    ]
    version = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    publish(
        "sandbox",
        f"{machine()}, {version}\n{len(trials)} answers\n\n{table(lines)}",
        Path(__file__).parent / "results",
    )


if __name__ == "__main__":
    main()
