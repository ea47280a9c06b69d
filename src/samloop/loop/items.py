"""What evaluation asks, for curation: no example may contain it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from samloop.curate.decontaminate import item_text
from samloop.errors import RecipeError
from samloop.evaluate import instruction_items, retention
from samloop.files import absolute, readable
from samloop.loop.items_files import PACKAGED, Item, code_item, context_item, read_file
from samloop.sources.routing import held_out

if TYPE_CHECKING:
    from samloop.loop.context import Context  # with the store, which curation in bulk has no use for

BRINGING: Final = ("retention", "routing", "code", "instructions", "hallucination")
"""Suites that bring items of their own. Those of the others are a dataset's test split, which its split keeps out."""


def evaluation_items(context: Context) -> dict[str, tuple[str, ...]]:
    """The questions of the suites and files that ``curate.decontaminate`` names, by name.

    Raises:
        RecipeError: a name is neither such a suite nor a file, or a line of the file asks nothing.
    """
    return items_named(context.recipe.curate.decontaminate, context.folder)


def items_named(names: Sequence[str], start: Path | None = None) -> dict[str, tuple[str, ...]]:
    """The questions of the suites and files of these names; relative paths begin at `start`, else where one stands.

    Raises:
        RecipeError: as `evaluation_items`.
    """
    return {name: _packaged(name) if name in BRINGING else _of_file(name, absolute(name, start)) for name in names}


@cache
def _packaged(suite: str) -> tuple[str, ...]:
    """What the packaged items of a suite ask."""
    if suite in ("routing", "retention"):
        return tuple(item_text(item) for item in (held_out() if suite == "routing" else retention.packaged()))
    if suite == "instructions":
        return tuple(item_text({"messages": item["messages"]}) for item in instruction_items.packaged())
    become = {"code": code_item, "hallucination": context_item}[suite]
    return tuple(map(_question, read_file(PACKAGED / f"{suite}.jsonl", become)))


def _question(item: Item) -> str:
    """What an item asks, without the words that every one of its suite is asked with."""
    return str(item.get("prompt") or item["context"])


def _of_file(name: str, path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise RecipeError(
            f"expected curate.decontaminate to name a suite that brings items ({', '.join(BRINGING)}) or a JSONL "
            f"file, got '{name}', and there is no file {readable(str(path))}"
        )
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if line.strip():
            found.append(_asked(line, f"{readable(str(path))}, line {number}"))
    return tuple(found)


def _asked(line: bytes, where: str) -> str:
    try:
        item: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        item = None
    text = item_text(item) if isinstance(item, dict) else ""
    if not text:
        raise RecipeError(
            f"expected a JSON object with a question, prompt, turns or messages at {where}; mend the file"
        )
    return text
