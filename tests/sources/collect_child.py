"""Collects one source in a process of its own, and stands still in the middle, to be killed there.

python collect_child.py HOME KIND LOCATION OPTIONS BATCHES
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from samloop.home import Home
from samloop.loop.collect import collect
from samloop.loop.context import Context
from samloop.recipe import Recipe
from samloop.settings import SourceSettings
from samloop.store import Store


def main(home: str, kind: str, location: str, options: str, batches: str) -> None:
    stored = 0

    def wait_there(_: dict[str, Any]) -> None:
        nonlocal stored
        stored += 1
        if stored == int(batches):
            print("stored", flush=True)
            sys.stdin.read()

    recipe = Recipe.parse({"collect": {"batch_examples": 1, "workers": 0}})
    settings = SourceSettings(kind=kind, location=location, **json.loads(options))
    with Store.open(Home(Path(home))) as store:
        collect(Context(Home(Path(home)), recipe, store, Path.cwd()), [settings], on_progress=wait_there)


if __name__ == "__main__":
    main(*sys.argv[1:])
