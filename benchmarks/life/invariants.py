"""What has to hold in a home after every turn, whatever happened that day."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

STATES = {"accepted", "rejected", "review", "approved"}


def check(home: Path, erased: Sequence[str]) -> None:
    """Raise AssertionError with a sentence for the first thing that does not hold.

    Args:
        erased: strings that must be nowhere under the home.
    """
    store = sqlite3.connect(home / "samloop.db")
    try:
        rows = _rows(store)
        _whole(store)
    finally:
        store.close()
    _in_service(home, rows)
    _apart(home)
    for text in erased:
        _gone(home, text)


def _rows(store: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    """State and slot of each adapter."""
    return {
        name: (state, slot) for name, state, slot in store.execute("SELECT adapter_id, state, slot FROM adapters")
    }


def _whole(store: sqlite3.Connection) -> None:
    assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the database is not whole"
    assert not store.execute("PRAGMA foreign_key_check").fetchall(), "a row points to one that is not there"
    doubled = store.execute(
        "SELECT count(*) - count(DISTINCT content_hash) FROM training_examples WHERE state = 'accepted'"
    ).fetchone()[0]
    assert doubled == 0, f"{doubled} accepted examples are there twice"
    lost = store.execute(
        "SELECT count(*) FROM adapters WHERE run_id IS NOT NULL AND run_id NOT IN (SELECT run_id FROM training_runs)"
    ).fetchone()[0]
    assert lost == 0, f"{lost} adapters have lost their run"
    unlearnt = store.execute(
        "SELECT count(*) FROM adapters WHERE run_id NOT IN (SELECT run_id FROM run_examples)"
    ).fetchone()[0]
    assert unlearnt == 0, f"{unlearnt} adapters do not say what they learnt from"


def _in_service(home: Path, rows: dict[str, tuple[str, str]]) -> None:
    link = home / "adapters" / "main" / "current"
    served = link.readlink().name if link.is_symlink() else None
    champions = [name for name, (state, slot) in rows.items() if state == "champion" and slot == "main"]
    assert champions == ([served] if served else []), f"the link says {served}, the store {champions}"
    if served:
        assert (link / "manifest.json").is_file(), f"{served} serves and is not whole"
    for name, (state, slot) in rows.items():
        weights = list((home / "adapters" / slot / name).glob("*.safetensors"))
        assert state != "withdrawn" or not weights, f"{name} was withdrawn and still has its weights"


def _apart(home: Path) -> None:
    """No example, and no text of one, is on both sides of a split."""
    for dataset in (home / "datasets").iterdir():
        sides = {}
        for split in ("train", "valid", "test"):
            lines = (dataset / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
            sides[split] = {json.dumps(json.loads(line)["messages"]) for line in lines if '"messages"' in line}
        for one, other in (("train", "test"), ("train", "valid"), ("valid", "test")):
            both = sides[one] & sides[other]
            assert not both, f"{len(both)} texts of {dataset.name} are in {one} and {other}"


def _gone(home: Path, text: str) -> None:
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert text.encode() not in path.read_bytes(), f"what was erased is still in {path.relative_to(home)}"
