"""What asking may cost in a day, kept in a file of the home, so that all processes share it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock

from samloop.errors import TeacherBudgetError
from samloop.files import storing, write_json

CHARACTERS_PER_TOKEN = 4.0
"""The usual rule of thumb, for endpoints that do not count."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The requests and tokens of one day (UTC); 0 is no bound.

    Attributes:
        path: the file that holds what was spent; its lock lies beside it.
    """

    path: Path
    requests: int
    tokens: int

    def take_request(self) -> None:
        """Count a request, before it is made: one that dies has been made all the same.

        Raises:
            TeacherBudgetError: today's are used up.
            StoreError: the file cannot be written.
        """
        with self._locked() as spent:
            for name, most in (("requests", self.requests), ("tokens", self.tokens)):
                if most and spent[name] >= most:
                    raise TeacherBudgetError(
                        f"today's budget for the teacher is used up ({spent[name]:,} of {most:,} {name}); it begins "
                        f"anew at midnight UTC, or raise teacher.{name}_per_day"
                    )
            spent["requests"] += 1
            self._keep(spent)

    def add_tokens(self, tokens: int) -> None:
        """Count what a request used, once it is known."""
        with self._locked() as spent:
            spent["tokens"] += tokens
            self._keep(spent)

    def spent(self) -> dict[str, Any]:
        """Today's {"day", "requests", "tokens"}."""
        with self._locked() as spent:
            return spent

    def _locked(self) -> _Spent:
        return _Spent(self.path)

    def _keep(self, spent: dict[str, Any]) -> None:
        with storing("the teacher's budget", self.path):
            write_json(self.path, spent)


class _Spent:
    """Today's figures, while nobody else changes them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path.with_suffix(".lock"), mode=0o600)

    def __enter__(self) -> dict[str, Any]:
        with storing("the teacher's budget", self._path):
            self._lock.acquire()
        today = time.strftime("%Y-%m-%d", time.gmtime())
        fresh = {"day": today, "requests": 0, "tokens": 0}
        try:
            kept = orjson.loads(self._path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return fresh
        whole = isinstance(kept, dict) and all(isinstance(kept.get(name), type(fresh[name])) for name in fresh)
        return kept if whole and kept["day"] == today else fresh

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def tokens_of(text: str, count: int | None) -> int:
    """The tokens that an endpoint counted, else what `text` may have."""
    return count if count is not None else max(1, round(len(text) / CHARACTERS_PER_TOKEN))
