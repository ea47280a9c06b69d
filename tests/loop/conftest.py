"""Homes before, after and in the middle of a turn; the one whole turn is shared."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from loop_world import ENVIRONMENT, Finished, Open, make_world

from samloop.home import Home
from samloop.loop.bulk import engines, plan
from samloop.loop.context import Context, open_context
from samloop.loop.turn import turn


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Made once, also where several processes share the tests."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / "loop"
    with FileLock(root / "loop.lock"), pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SAMLOOP_")]:
            patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        if not (folder / "stages.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            recipe, stages = make_world(folder), []
            with open_context(Home(folder / "home"), recipe) as context:
                turn(context, on_progress=lambda stage, _news: stages.append(stage))
            (folder / "stages.json").write_text(json.dumps(list(dict.fromkeys(stages))))
    (report,) = (folder / "home" / "reports").glob("*.json")
    return Finished(
        home=Home(folder / "home"),
        recipe=folder / "recipe.toml",
        stages=json.loads((folder / "stages.json").read_text()),
        report=json.loads(report.read_bytes()),
        text=report.with_suffix(".md").read_text(),
    )


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """The recipe of a world of the test's own, with nothing done in it yet."""
    return make_world(tmp_path / "world")


@pytest.fixture
def begin(home: Path, world: Path) -> Open:
    """Open a home where nothing happened yet."""
    return lambda: open_context(Home(home), world)


@pytest.fixture
def after(finished: Finished, home: Path) -> Open:
    """Open a copy of the finished home, with settings changed: ``after(gate={"min_items": 5})``."""
    shutil.copytree(finished.home.path, home, symlinks=True)

    @contextmanager
    def open_copy(**sections: dict[str, Any]) -> Iterator[Context]:
        with open_context(Home(home), finished.recipe) as context:
            recipe = context.recipe.changed(**sections)
            yield Context(context.home, recipe, context.store, finished.recipe.parent)

    return open_copy


@pytest.fixture
def undecided(after: Open, home: Path) -> Open:
    """The same, as if the turn had been killed before the gate decided: evaluated, and no word on it."""
    with sqlite3.connect(home / "samloop.db") as database:
        for table in ("decisions", "champions"):
            database.execute(f"DELETE FROM {table}")
        database.execute("UPDATE adapters SET state = 'candidate'")
    database.close()
    for name in ("current", "history.jsonl"):
        (home / "adapters" / "main" / name).unlink()
    shutil.rmtree(home / "reports")
    return after


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of 16 KiB, and processes for the smallest input."""
    monkeypatch.setattr(plan, "UNIT_BYTES", 16_384)
    monkeypatch.setattr(engines, "SMALL_BYTES", 0)
