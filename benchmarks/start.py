"""How long the first word takes: `samloop --help`, beside a bare Python start. Goal: under 0.3 s."""

import sys

from common import SAMLOOP, alternate, machine, median, publish, seconds, table

found = alternate(
    {
        "python -c pass": lambda: seconds([sys.executable, "-c", "pass"]),
        "samloop --help": lambda: seconds([*SAMLOOP, "--help"]),
        "samloop turn --help": lambda: seconds([*SAMLOOP, "turn", "--help"]),
    },
    rounds=9,
)
rows = [["command", "median s", "min s", "max s"]]
rows += [[name, f"{median(v):.3f}", f"{min(v):.3f}", f"{max(v):.3f}"] for name, v in found.items()]
publish("start", f"{machine('typer')}\n9 alternating runs, whole processes\n\n{table(rows)}")
