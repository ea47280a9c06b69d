"""Instruction data to measure on: sentences of the standard library's docstrings, drawn with a fixed seed.

About 1,200 bytes per line with a log-normal spread; one in twenty holds an e-mail address, one in ten a code block,
one in fifty is the same as an earlier one.
"""

from __future__ import annotations

import ast
import random
import re
import sysconfig
from pathlib import Path

import orjson


def sentences() -> list[str]:
    """Sentences of the standard library's docstrings, 30 to 200 characters each."""
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and (text := ast.get_docstring(node)):
                found += re.findall(r"[A-Z][^.\n]{30,200}\.", " ".join(text.split()))
    return [s for s in found if all(s.count(a) == s.count(b) for a, b in ("()", "[]", "{}"))]


def write_lines(path: Path, megabytes: float, seed: int = 0) -> int:
    """Write JSON lines of that size in all (10⁶ bytes); how many."""
    rng, pool, size, count, last = random.Random(seed), sentences(), 0, 0, b""
    with path.open("wb") as file:
        while size < megabytes * 1e6:
            line = last if count % 50 == 49 else _line(rng, pool, count)
            file.write(line)
            size, count, last = size + len(line), count + 1, line
    return count


def _line(rng: random.Random, pool: list[str], number: int) -> bytes:
    parts, length, wanted = [], 0, rng.lognormvariate(6.7, 0.7)
    if number % 20 == 0:
        parts.append(f"Write to someone{number}@mail{number % 7}.org.\n")
    if number % 10 == 0:
        parts.append("```python\nprint(sum(range(10)))\n```\n")
    while length < wanted:
        parts += (rng.choice(pool), rng.choice(("\n\n", " ", " ")))
        length += len(parts[-2])
    asked = rng.choice(pool)
    return orjson.dumps({"instruction": asked, "input": "", "output": "".join(parts).strip()}) + b"\n"
