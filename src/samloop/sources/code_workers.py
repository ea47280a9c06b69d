"""Processes that read code beside this one, each with all it must know of one tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from samloop.beside import serve
from samloop.example import Example
from samloop.protocols import Reject
from samloop.sources.code_records import Files, Job
from samloop.sources.in_order import InOrder

_MODULE: Final = "samloop.sources.code_workers"


class CodeWorkers(InOrder[Job, list[Example | Reject]]):
    """Some workers, which read as `files` does. Use it as a context, so that they are gone at its end."""

    def __init__(self, files: Files, count: int) -> None:
        about = (files.tree, files.entries, files.limits, files.tests)
        super().__init__(_MODULE, about, count, files.read, what="reads code", threads="samloop-code")


def _begin(about: Any) -> Callable[[list[Job]], list[list[Example | Reject]]]:
    files = Files(*about)
    return lambda batch: [files.read(job) for job in batch]


if __name__ == "__main__":
    serve(_begin)
