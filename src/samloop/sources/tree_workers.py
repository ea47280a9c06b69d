"""Processes that read documents beside this one, each with one `Tree`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from samloop.beside import serve
from samloop.example import Example
from samloop.protocols import Reject
from samloop.sources.in_order import InOrder
from samloop.sources.tree import Entry, Job, Tree

_MODULE: Final = "samloop.sources.tree_workers"

Answer = tuple[list[Example | Reject], Entry | None]


class TreeWorkers(InOrder[Job, Answer]):
    """Some workers, which read as `tree` does. Use it as a context, so that they are gone at its end."""

    def __init__(self, tree: Tree, count: int) -> None:
        about = (tree.root, tree.project, tree.max_answer_characters)
        super().__init__(_MODULE, about, count, tree.read, what="reads documents", threads="samloop-docs")


def _begin(about: Any) -> Callable[[list[Job]], list[Answer]]:
    tree = Tree(*about)
    return lambda batch: [tree.read(job) for job in batch]


if __name__ == "__main__":
    serve(_begin)
