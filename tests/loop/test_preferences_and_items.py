"""Through the whole loop: contradictory preferences meet in the store; evaluation items stay out of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samloop.curate.preference import OPPOSITE
from samloop.errors import RecipeError
from samloop.evaluate.retention import packaged
from samloop.home import Home
from samloop.loop.collect import collect
from samloop.loop.context import Context
from samloop.loop.curate import curate
from samloop.loop.explain import explained
from samloop.loop.items import evaluation_items
from samloop.loop.validate import validate
from samloop.recipe import Recipe
from samloop.settings import SourceSettings
from samloop.sources.routing import held_out
from samloop.store import Store

ASKED = "Should a worker that waits for a file hold the lock while it waits?"
YES = "Yes: hold the lock while you wait, so that no other worker takes the file in between, and say so in the log."
NO = "No: a lock is held only while something changes. Wait first, then take the lock and look at the file again."


@pytest.fixture
def opened(home: Path) -> Iterator[Any]:
    with Store.open(Home(home)) as store:
        yield lambda **curate: Context(Home(home), Recipe.parse({"curate": curate}), store, home)


def read(context: Context, path: Path, *records: dict[str, Any]) -> dict[str, Any]:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    (report,) = collect(context, [SourceSettings(kind="dataset", location=str(path))]).sources
    return report.to_dict()


def judged(chosen: str, rejected: str) -> dict[str, Any]:
    return {"prompt": ASKED, "chosen": chosen, "rejected": rejected}


def states(context: Context) -> dict[str, tuple[str, str | None]]:
    return {e.output_text: (e.state, e.reason) for e in context.store.select()}


def test_both_sides_of_a_contradiction_go_whichever_came_first(opened: Any, tmp_path: Path) -> None:
    context = opened()
    assert read(context, tmp_path / "a.jsonl", judged(YES, NO))["added"] == 1
    report = read(context, tmp_path / "b.jsonl", judged(NO, YES))
    assert (report["rejected"], report["reasons"]) == (1, {OPPOSITE: 1})
    assert states(context) == {YES: ("rejected", OPPOSITE), NO: ("rejected", OPPOSITE)}
    validate(context)
    assert {state for state, _ in states(context).values()} == {"rejected"}
    (new,) = [e for e in context.store.select() if e.output_text == NO]
    assert context.store.validation_log(new.id)[-1]["rule"] == "contradictory_pair"
    assert explained(context, new)["changed"] == ["state"]


def test_what_a_person_reviewed_stays(opened: Any, tmp_path: Path) -> None:
    context = opened()
    read(context, tmp_path / "a.jsonl", judged(YES, NO))
    (stored,) = context.store.select()
    context.store.update_example(stored.id, metadata={"human_reviewed": True})
    read(context, tmp_path / "b.jsonl", judged(NO, YES))
    assert states(context) == {YES: ("accepted", None), NO: ("rejected", OPPOSITE)}


def test_an_item_of_a_named_file_stays_out_and_is_listed(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text(json.dumps({"question": ASKED}) + "\n\n")
    context = opened(decontaminate=[str(tmp_path / "items.jsonl")])
    data, rejects = tmp_path / "data.jsonl", tmp_path / "rejects.jsonl"
    data.write_text(json.dumps({"instruction": f"Question: {ASKED}", "output": NO}) + "\n")
    (report,) = collect(context, [SourceSettings(kind="dataset", location=str(data))], rejects=rejects).sources
    assert report.reasons == {"contains an evaluation item": 1}
    assert json.loads(rejects.read_text())["reason"] == "contains an evaluation item"
    (example,) = context.store.select()
    why = explained(context, example)
    assert why["state_reason"] == "contains an evaluation item"
    assert why["changed"] == []
    assert [f["rule"] for f in why["flags"]] == ["decontaminate"]


def test_the_routing_suite_brings_items_that_its_own_source_keeps_back_itself(opened: Any, tmp_path: Path) -> None:
    items = evaluation_items(opened())
    assert set(items) == {"retention", "routing"}
    assert items["retention"] == tuple(item["messages"][0]["content"] for item in packaged())
    assert set(items["routing"]) == {item["task"] for item in held_out()}
    (report,) = collect(opened(), [SourceSettings(kind="routing", location="")]).sources
    assert "contains an evaluation item" not in report.reasons


@pytest.mark.parametrize("content", [None, '{"answer": "4"}\n', "not JSON\n"])
def test_a_name_that_brings_no_items_is_refused_in_words(opened: Any, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "items.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecipeError, match=r"items\.jsonl"):
        evaluation_items(opened(decontaminate=[str(path)]))


def test_bulk_curation_keeps_items_out_as_well(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text(json.dumps({"question": ASKED}) + "\n")
    data = tmp_path / "data.jsonl"
    records = [{"instruction": f"Question: {ASKED}", "output": NO}, {"instruction": "What is a lock?", "output": YES}]
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    recipe = Recipe.parse({"curate": {"decontaminate": [str(tmp_path / "items.jsonl")]}})
    report = curate(recipe, [str(data)], tmp_path / "out", workers=1)
    assert report["sources"][0]["reasons"] == {"contains an evaluation item": 1}
    assert report["totals"]["added"] == 1
