"""The items of the suites that bring their own: packaged with samloop, or in a user's file that the recipe names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import xxhash

from samloop.errors import InputError
from samloop.evaluate import instruction_items
from samloop.evaluate.grounding import ground
from samloop.evaluate.hallucination import abstains
from samloop.files import absolute, readable, sha256_file
from samloop.loop.context import Context
from samloop.loop.items_files import PACKAGED, Item, code_item, context_item, instruction_item, own_item, read_file
from samloop.prepare.dataset import Dataset
from samloop.store.filters import MAX_IDS, Filters

GROUNDED_CHARACTERS: Final = 200
"""A held-out example is one of answering from a context where that is at least so long: headings are shorter."""

log = logging.getLogger(__name__)


def code_items(context: Context, _dataset: Dataset) -> list[Item]:
    """The problems of ``evaluate.code_file``, or the packaged ones."""
    named = context.recipe.evaluate.code_file
    return read_file(absolute(named, context.folder) if named else PACKAGED / "code.jsonl", code_item)


def instruction_prompts(context: Context, _dataset: Dataset) -> list[Item]:
    """The prompts of ``evaluate.instructions_file``, or the packaged ones.

    Prompts with an instruction that we do not know are left out, and the log says how many and which those are.
    """
    named = context.recipe.evaluate.instructions_file
    if not named:
        return instruction_items.packaged()
    path = absolute(named, context.folder)
    items = read_file(path, instruction_item)
    known = [item for item in items if not item.pop("unknown")]
    if len(known) < len(items):
        strange = sorted({one["id"] for item in items for one in item["instructions"] if one["checks"] is None})
        log.warning(
            "%d of %d prompts in %s are left out, for instructions that samloop does not know: %s",
            *(len(items) - len(known), len(items), readable(str(path)), ", ".join(strange)),
        )
    if not known:
        raise InputError(f"expected a prompt with instructions that samloop knows in {readable(str(path))}, got none")
    return known


def own_items(context: Context, _dataset: Dataset) -> list[Item]:
    """The questions of all files of ``evaluate.own``."""
    paths = [absolute(named, context.folder) for named in context.recipe.evaluate.own]
    names = [stem(path) for path in paths]
    if not paths or len(set(names)) < len(names):
        got = "none" if not paths else f"two called '{next(n for n in names if names.count(n) > 1)}'"
        raise InputError(
            f"expected evaluate.own to name JSONL files for the suite 'own', each of another name, got {got}; name "
            "them, or take 'own' out of evaluate.suites"
        )
    return [
        item
        for path, name in zip(paths, names, strict=True)
        for item in read_file(path, lambda line, number, name=name: own_item(line, number, name))  # type: ignore[misc]
    ]


def stem(path: Path) -> str:
    """The name of a suite's file without its endings."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def context_items(context: Context, dataset: Dataset) -> list[Item]:
    """The questions of ``evaluate.hallucination_file`` or the packaged ones, and held-out examples with a context.

    Of the test split come those whose own answer rests on their context, by the same measure: they teach to answer
    from it, others only mention it.
    """
    named = context.recipe.evaluate.hallucination_file
    path = absolute(named, context.folder) if named else PACKAGED / "hallucination.jsonl"
    return [*read_file(path, context_item), *_held_out(context, dataset)]


def _held_out(context: Context, dataset: Dataset) -> list[Item]:
    lines = [orjson.loads(line) for line in (dataset.path / "test.jsonl").read_bytes().splitlines()]
    asked = {line["metadata"]["id"]: _asked(line) for line in lines if line["messages"][-1]["role"] == "assistant"}
    ids = [id for id, text in asked.items() if len(text) >= GROUNDED_CHARACTERS][:MAX_IDS]
    contexts = {found.id: found.context or "" for found in context.store.select(Filters(ids=ids))}
    items = []
    for line in lines:
        id, given = line["metadata"]["id"], line["messages"][-1]["content"]
        held = contexts.get(id, "")
        if len(held) < GROUNDED_CHARACTERS or held not in asked[id] or abstains(given):
            continue
        if ground(given, asked[id]).share() == 0.0:
            item = {"id": id, "messages": line["messages"][:-1], "context": held, "answerable": None}
            items.append({**item, "answer": given, "metadata": line["metadata"]})
    return items


def _asked(line: Mapping[str, Any]) -> str:
    return "\n".join(turn["content"] for turn in line["messages"] if turn["role"] == "user")


def public_tasks(context: Context, _dataset: Dataset) -> list[Item]:
    """The tasks of ``evaluate.lm_eval_tasks``; the harness reads their documents itself."""
    settings = context.recipe.evaluate
    folder = absolute(settings.lm_eval_folder, context.folder) if settings.lm_eval_folder else None
    if not settings.lm_eval_tasks or (folder and not folder.is_dir()):
        got = f"no folder {readable(str(folder))}" if settings.lm_eval_tasks else "none"
        raise InputError(
            "expected evaluate.lm_eval_tasks to name tasks, and evaluate.lm_eval_folder their folder, for the suite "
            f"'lm-eval', got {got}; name them, or take 'lm-eval' out of evaluate.suites"
        )
    where = str(folder) if folder else ""
    # What is in the folder counts as part of the item: other tasks make another evaluation.
    digest = _digest(folder) if folder else ""
    return [
        {"id": name, "task": name, "folder": where, "documents": settings.max_items, "digest": digest}
        for name in settings.lm_eval_tasks
    ]


def _digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = [f"{path.relative_to(folder)} {sha256_file(path)}" for path in files]
    return xxhash.xxh3_128_hexdigest("\n".join(told).encode())
