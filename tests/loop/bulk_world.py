"""Records, files and recipes for curation in bulk, and what to look at when it is done."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from samloop.recipe import Recipe

RECIPE = Recipe.parse({})


def record(number: int) -> dict[str, str]:
    """A plain, acceptable record, unlike any other."""
    return {
        "instruction": f"Which number comes after {number} when counting upwards by one?",
        "input": "",
        "output": f"After {number} comes {number + 1}; to count upwards by one, one is added to {number}.",
    }


def story(seed: int, edits: int = 0) -> dict[str, str]:
    """A record of sixty words that no other seed shares; with as many words of the answer changed."""
    rng = random.Random(seed)
    words = [f"{rng.choice(STEMS)}{rng.choice(ENDINGS)}" for _ in range(60)]
    for at in range(edits):
        words[25 + 9 * at] = f"changed{rng.choice(ENDINGS)}"
    return {
        "instruction": f"What is told of the {' '.join(words[:12])}?",
        "input": "",
        "output": f"It is told that the {' '.join(words[12:])}.",
    }


STEMS = "river stone lamp harbour copper meadow signal winter orchard velvet anchor thunder paper candle".split()
ENDINGS = "ly ed ing er est man house yard field side wood ward light work shop stone land keeper".split()


def write_lines(path: Path, records: Sequence[Any]) -> Path:
    """`records` as JSON lines."""
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def ids(out: Path, state: str = "accepted") -> list[str]:
    """The ids in the shards of a state, in order."""
    return [i for path in sorted((out / state).glob("*.parquet")) for i in pq.read_table(path)["id"].to_pylist()]


def balanced(data: dict[str, Any]) -> None:
    """Nothing is lost: not in a file, not in the totals, not in the pictures."""
    for entry in [data["totals"], *data["sources"]]:
        assert entry["read"] == entry["added"] + entry["duplicate"] + entry["rejected"] + entry["review"]
    totals, histograms = data["totals"], data["histograms"]
    assert sum(shard["rows"] for shard in data["shards"]) == totals["added"] + totals["review"]
    for name in ("score", "characters"):
        assert sum(histograms[name]["accepted"]) == totals["added"]
        assert sum(histograms[name]["review"]) == totals["review"]
        assert len(histograms[name]["edges"]) == len(histograms[name]["accepted"]) + 1


def world(folder: Path, count: int = 600) -> list[str]:
    """Some files with duplicates and near-duplicates in and across them, refusals, broken lines; their places."""
    rng = random.Random(0)
    folder.mkdir(parents=True)
    for name in "abc":
        lines = []
        for _ in range(count):
            kind = rng.random()
            one: Any = record(rng.randrange(2 * count))
            if kind > 0.75:
                one = story(rng.randrange(count // 3), rng.randrange(3))
            if kind < 0.05:
                one["output"] = "I'm sorry, but as an AI language model I cannot help with that request at all."
            elif kind < 0.1:
                one["output"] = ""
            lines.append("{broken" if kind > 0.97 else json.dumps(one))
        (folder / f"{name}.jsonl").write_text("\n".join(lines))  # the last line has no end
    return [str(folder / f"{name}.jsonl") for name in "abc"]


SCRIPT = """
import sys
from pathlib import Path
from samloop.loop import curate as stage
from samloop import cluster
from samloop.loop.bulk import engines, plan
from samloop.recipe import Recipe
plan.UNIT_BYTES, engines.SMALL_BYTES = 16_384, 0
cluster.RAY_SECONDS = 15.0
try:
    stage.curate(Recipe.parse({}), sys.argv[3:], Path(sys.argv[2]), engine=sys.argv[1], workers=2)
except stage.SamloopError as error:
    sys.exit(str(error))
"""
