"""A store in a temporary home, and examples to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from samloop.example import Example
from samloop.home import Home
from samloop.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a new store: made once, since making it runs the migrations."""
    made = Home(tmp_path_factory.mktemp("empty") / "home")
    Store.open(made).close()
    return made.database.read_bytes()


@pytest.fixture
def store(home: Home, empty_database: bytes) -> Iterator[Store]:
    home.create().database.write_bytes(empty_database)
    with Store.open(home) as opened:
        yield opened


@pytest.fixture
def make() -> Callable[..., Example]:
    """Makes a sealed example; the number makes its content its own."""

    def example(number: int = 0, **changes: Any) -> Example:
        values: dict[str, Any] = {
            "source": "manual",
            "format": "instruction",
            "input_text": f"question {number}",
            "output_text": f"answer {number}",
            "created_at": 1000.0 + number,
            "state": "accepted",
            "reason": None,
        }
        return Example(**{**values, **changes}).sealed()

    return example
