"""What is erased is gone from every byte of the home, comes back from nowhere, and serves in no adapter."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from loop_world import ENVIRONMENT
from purge_world import (
    ADDRESS,
    CONVERSATION,
    PERSON,
    PLANTED,
    live_a_life,
    say,
    where_it_stands,
)

from samloop.adapters.registry import Registry
from samloop.errors import GateError, NotFoundError, StoreBusyError, TrainingError, UsageError
from samloop.home import Home
from samloop.loop.capture import capture_correction, record
from samloop.loop.carry import export_adapter, import_adapter
from samloop.loop.collect import collect
from samloop.loop.context import Context, open_context
from samloop.loop.prepare import prepare
from samloop.loop.purge import lift, plan, purge, resume, unfinished
from samloop.loop.purge_choice import Choice
from samloop.loop.purge_deed import digest_of
from samloop.loop.train import train
from samloop.loop.turn import turn
from samloop.prepare.dataset import Dataset
from samloop.store import Filters

TALK = Choice(conversation=CONVERSATION)


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one whole life, made once, also where several processes share the tests."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / "purge-life"
    with FileLock(root / "purge-life.lock"), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            live_a_life(folder)
            (folder / "done").touch()
    return folder


@pytest.fixture
def life(lived: Path, tmp_path: Path) -> Path:
    """A copy of it for one test, with all paths in it its own."""
    folder = tmp_path / "life"
    shutil.copytree(lived, folder, symlinks=True)
    for path in (folder / "home").rglob("*.json"):
        path.write_text(path.read_text().replace(str(lived), str(folder)))
    with sqlite3.connect(folder / "home" / "samloop.db") as database:
        for table, column in (
            *(("export_history", "path"), ("training_runs", "path"), ("training_runs", "dataset_path")),
            *(("adapters", "path"), ("evaluations", "path"), ("source_state", "location")),
        ):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(lived), str(folder)))
    database.close()
    return folder


@pytest.fixture
def opened(life: Path) -> Iterator[Context]:
    with open_context(Home(life / "home"), life / "recipe.toml") as context:
        yield context


def everything_about(context: Context) -> list[dict[str, Any]]:
    """Erase the person by name and address, and the conversation."""
    return [purge(context, one) for one in (Choice(person=PERSON), Choice(person=ADDRESS), TALK)]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("samloop.db") and path.suffix != ".lock"
    }


# --- gone --------------------------------------------------------------------------------------------------------


def test_the_planted_strings_stand_all_over_the_home_before(life: Path) -> None:
    found = where_it_stands(life / "home")
    assert found.keys() == set(PLANTED)
    kinds = {place.partition("/")[0] for places in found.values() for place in places}
    assert kinds >= {"datasets", "evaluations", "reports", "samloop.db"}
    assert "Vexbrook" in where_it_stands(life) and "out.jsonl" in where_it_stands(life)["Vexbrook"]


def test_a_dry_run_tells_what_would_go_and_changes_nothing(opened: Context, life: Path) -> None:
    before, examples = digests(life), opened.store.count()
    told = plan(opened, Choice(person=PERSON)).to_dict()
    assert told["dry_run"] and told["would_remove"]["examples"] == 12 and told["would_remove"]["datasets"] == 1
    assert [one["state"] for one in told["adapters"]] in (["champion"], ["candidate"], ["rejected"])
    assert [(one["lines"], one["state"]) for one in told["exports"]] == [(12, "written")]
    assert digests(life) == before and opened.store.count() == examples
    assert opened.store.list_purges() == []


def test_no_byte_of_it_stays_under_the_home_or_in_the_export(opened: Context, life: Path) -> None:
    (life / "mails.jsonl").unlink()  # it is the person's to keep or not
    (life / "home" / "cache").mkdir()
    (life / "home" / "cache" / "answers.sqlite").write_bytes(f"cached: {PERSON} put box 3".encode("utf-16-le"))
    everything_about(opened)
    assert where_it_stands(life) == {}
    opened.store.close()
    assert where_it_stands(life) == {}
    with open_context(Home(life / "home"), life / "recipe.toml") as again:
        left = [example.input_text for example in again.store.select()]
        assert len(left) == 29 and not [text for text in left if "pagoda" in text]
    exported = [json.loads(line) for line in (life / "out.jsonl").read_text().splitlines()]
    assert {line["metadata"]["id"] for line in exported} <= {e.id for e in opened.store.select(Filters())}
    assert len(exported) == 29


def test_all_that_was_made_of_one_row_goes_with_it(opened: Context) -> None:
    receipt = purge(opened, TALK)
    assert receipt["removed"]["feedback"] == 3 and receipt["removed"]["captures"] == 1
    assert receipt["removed"]["examples"] == 10
    assert [row["kind"] for row in opened.store.rows_of("feedback")] == ["preference"]


def test_one_example_of_a_correction_takes_its_siblings_along(opened: Context) -> None:
    one = next(e for e in opened.store.select() if e.source == "user_correction" and e.format == "dpo")
    receipt = purge(opened, Choice(source_id=one.source_id))
    assert receipt["removed"]["examples"] == 3 and receipt["removed"]["feedback"] == 1


def test_an_edited_example_takes_the_one_before_along(opened: Context) -> None:
    old = next(e for e in opened.store.select() if "ticket 5," in e.input_text)
    new = replace(old, output_text="The kobaltine lever is what to pull first, and then the test is written down.")
    new_id = opened.store.replace_example(old.id, new)
    assert purge(opened, Choice(text="kobaltine  LEVER"))["removed"]["examples"] == 2
    for gone in (old.id, new_id):
        with pytest.raises(NotFoundError):
            opened.store.get_example(gone)


def test_the_receipt_holds_counts_and_hashes_and_nothing_of_what_went(opened: Context) -> None:
    for receipt in everything_about(opened):
        text = json.dumps(receipt).lower()
        assert not [word for word in (*PLANTED, ADDRESS, CONVERSATION) if word.lower() in text]
        assert receipt["digest"] == digest_of(receipt)
        assert len(receipt["records"]["hashes"]) == receipt["records"]["count"] > 0
        kept = opened.store.get_purge(receipt["purge_id"])
        assert kept["state"] == "done" and kept["receipt"] == receipt and kept["journal"] == {}
        ids = {example.id for example in opened.store.select()}
        assert ids.isdisjoint(receipt["records"]["hashes"])
    assert len(opened.store.list_purges()) == 3


def test_the_rest_of_a_report_stays(opened: Context, life: Path) -> None:
    (report,) = (life / "home" / "reports").glob("*.md")
    figures = [line for line in report.read_text().splitlines() if line.startswith(("perplexity", "bits per byte"))]
    everything_about(opened)
    assert figures and [line for line in report.read_text().splitlines() if line in figures] == figures
    data = json.loads(report.with_suffix(".json").read_text())
    assert data["evaluation"]["suites"] and data["run"]["steps"]


# --- chosen by ---------------------------------------------------------------------------------------------------


def test_a_person_is_found_by_what_was_redacted(opened: Context) -> None:
    planned = plan(opened, Choice(person="Quillon.VEXBROOK@mail.co.uk"))
    (id,) = planned.ids
    assert "[REDACTED_EMAIL]" in opened.store.get_example(id).input_text


def test_a_text_is_found_as_it_is_and_as_it_was_redacted(opened: Context) -> None:
    assert len(plan(opened, Choice(text="shelf 4; ITS label")).ids) == 1
    assert len(plan(opened, Choice(text=f"Write to {ADDRESS} please")).ids) == 1
    assert len(plan(opened, Choice(text=ADDRESS)).ids) == 1
    assert plan(opened, Choice(text="Write to somebody.else@mail.co.uk please")).ids == []


def test_a_place_means_all_that_lies_in_it(opened: Context, life: Path) -> None:
    assert len(plan(opened, Choice(source_id="mails.jsonl")).ids) == 41
    assert len(plan(opened, Choice(source_id="mails.jsonl:3")).ids) == 1
    by_path = plan(opened, Choice(source_id=str(life / "mails.jsonl")))
    assert len(by_path.ids) == 41 and "mails.jsonl" in by_path.notes[0]


def test_a_time_bounds_on_both_sides_and_conditions_narrow_each_other(opened: Context) -> None:
    live = plan(opened, Choice(since=time.time() - 3600))  # lines of a file that bring no date are as old as can be
    assert len(live.ids) == 11 and len(live.keys["feedback"]) == 4 and len(live.keys["captures"]) == 1
    assert len(plan(opened, Choice(until=time.time() - 3600)).ids) == opened.store.count() - 11
    assert plan(opened, Choice(since=time.time() + 60)).empty
    assert len(plan(opened, Choice(person=PERSON, text="box 7 of")).ids) == 1
    assert plan(opened, Choice(person=PERSON, conversation=CONVERSATION)).ids == []


def test_what_cannot_be_meant_is_told(opened: Context) -> None:
    with pytest.raises(UsageError, match="something to choose by, got nothing"):
        purge(opened, Choice())
    with pytest.raises(UsageError, match=r"at least 4 characters, got 2, which stand in 5\d of 5\d examples"):
        purge(opened, Choice(text=" th "))
    with pytest.raises(UsageError, match="at least 3 characters that name a person, got 1"):
        purge(opened, Choice(person="X"))
    with pytest.raises(NotFoundError, match="nothing in this home is meant"):
        purge(opened, Choice(source_id="no-such-commit"))
    assert opened.store.list_purges() == []


# --- not again ---------------------------------------------------------------------------------------------------


def test_it_does_not_come_in_again_until_that_is_lifted(opened: Context) -> None:
    receipt = purge(opened, Choice(person=PERSON))
    source = opened.recipe.collect.sources[0]
    location = opened.store.locations()[0]
    opened.store.forget_watermark(*next(one for one in opened.store.locations() if one[0] == "dataset"))
    again = collect(opened, [source]).sources[0]
    assert (again.read, again.added, again.duplicate, again.rejected) == (41, 0, 29, 12), location
    assert again.reasons["erased before"] == 12
    assert not any(PERSON in example.input_text for example in opened.store.select())
    lifted = lift(opened, receipt["purge_id"])
    assert lifted["tombstones_lifted"] >= 12 and [one["kind"] for one in lifted["read_again"]] == ["dataset"]
    assert collect(opened, [source]).sources[0].added == 12


def test_what_is_said_live_does_not_come_in_again(opened: Context) -> None:
    before = opened.store.last_row("feedback")
    purge(opened, TALK)
    say(opened)
    assert opened.store.last_row("feedback") <= before
    # Nor anything else of that conversation, or about a person who was erased.
    told = {"right": "Ask at the desk on the ground floor.", "wrong": "Nobody knows."}
    capture_correction("Who?", told["wrong"], told["right"], conversation_id=CONVERSATION, context=opened)
    purge(opened, Choice(person=ADDRESS))
    capture_correction(f"Is {ADDRESS} in?", told["wrong"], told["right"], context=opened)
    assert [row["kind"] for row in opened.store.rows_of("feedback")] == ["preference"]
    values = {"kind": "rating", "input_text": "Is it late?", "output_text": "It is.", "rating": 1.0}
    assert record(opened, "feedback", [values])[0].new


def test_new_data_about_an_erased_person_is_turned_away(opened: Context, life: Path) -> None:
    purge(opened, Choice(person=ADDRESS))
    line = {
        "instruction": f"Which day suits {ADDRESS} best?",
        "output": "Any day but friday, when the office is shut.",
    }
    with (life / "mails.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    report = collect(opened, [opened.recipe.collect.sources[0]]).sources[0]
    assert (report.added, report.reasons["erased before"]) == (0, 1)


# --- files of others ---------------------------------------------------------------------------------------------


def test_an_export_that_was_changed_is_named_and_left(opened: Context, life: Path) -> None:
    text = (life / "out.jsonl").read_text() + "\n"
    (life / "out.jsonl").write_text(text)
    receipt = purge(opened, Choice(person=PERSON))
    assert (life / "out.jsonl").read_text() == text
    assert any("not as samloop wrote it" in one["remedy"] for one in receipt["cannot_reach"])
    (life / "out.jsonl").unlink()
    receipt = purge(opened, TALK)
    assert any("not there any more" in one["remedy"] for one in receipt["cannot_reach"])


def test_backups_are_named_and_deleted_on_demand(opened: Context, life: Path) -> None:
    folder = life / "home" / "backups"
    folder.mkdir()
    (folder / "monday.zip").write_bytes(PERSON.encode())
    receipt = purge(opened, Choice(person=PERSON))
    assert any("monday.zip" in one["what"] for one in receipt["cannot_reach"])
    receipt = purge(opened, TALK, delete_backups=True)
    assert receipt["files"]["backups"] == 1 and not (folder / "monday.zip").exists()


def test_a_file_of_the_users_own_in_the_home_is_named_and_left(opened: Context, life: Path) -> None:
    (life / "home" / "letter.bin").write_bytes(b"\xff\xfe" + f"Dear {PERSON}".encode("utf-16-le"))
    receipt = purge(opened, Choice(person=PERSON))
    assert any("letter.bin" in one["what"] for one in receipt["cannot_reach"])
    assert (life / "home" / "letter.bin").exists()


def test_a_copy_of_a_dataset_is_named_and_not_trained_on(opened: Context, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    dataset = prepare(opened, copy)
    assert [one["state"] for one in plan(opened, TALK).to_dict()["exports"]].count("copy") == 1
    receipt = purge(opened, TALK)
    assert any(str(copy) in one["what"] for one in receipt["cannot_reach"])
    assert not dataset.path.exists()
    with pytest.raises(TrainingError, match="10 examples that were erased since; prepare anew"):
        train(opened, Dataset.open(copy))


def test_a_run_that_did_not_end_loses_its_checkpoints(opened: Context, life: Path) -> None:
    (dataset,) = (life / "home" / "datasets").iterdir()
    folder = life / "home" / "runs" / "run-stopped"
    (folder / "checkpoints" / "step-1").mkdir(parents=True)
    (folder / "checkpoints" / "step-1" / "optimiser.safetensors").write_bytes(b"moments")
    shared = {"base": "pocket", "backend": "torch", "revision": 1, "state": "stopped"}
    opened.store.add_run("run-stopped", dataset_digest="d", dataset_path=str(dataset), path=str(folder), **shared)
    receipt = purge(opened, Choice(person=PERSON))
    assert "run-stopped" in receipt["runs"] and not list(folder.rglob("*.safetensors"))
    assert opened.store.get_run("run-stopped")["state"] == "failed"
    (finished,) = [run for run in receipt["runs"] if run != "run-stopped"]
    assert opened.store.get_run(finished)["state"] == "completed", "whose adapter is only named"


# --- at work -----------------------------------------------------------------------------------------------------


def test_it_is_refused_while_a_turn_or_a_training_is_at_work(opened: Context) -> None:
    with FileLock(opened.home.lock), pytest.raises(StoreBusyError, match="a turn, or another purge, is at work"):
        purge(opened, TALK)
    with FileLock(opened.home.training_lock), pytest.raises(TrainingError, match="wait for it to end"):
        purge(opened, TALK)
    assert opened.store.list_purges() == []


KILLED = """
import os, sys
from pathlib import Path
from samloop.home import Home
from samloop.loop.context import open_context
from samloop.loop.purge import purge
from samloop.loop.purge_choice import Choice

def die(stage):
    if stage == sys.argv[2]:
        os.kill(os.getpid(), 9)

with open_context(Home(Path(sys.argv[1]) / "home"), Path(sys.argv[1]) / "recipe.toml") as context:
    purge(context, Choice(text="Vexbrook"), on_progress=die)
"""


@pytest.mark.parametrize(
    ("stage", "rows_left"),
    [
        ("removing datasets, checkpoints and quotes", True),
        ("deleting rows", True),
        ("writing the database anew", False),
    ],
)
def test_one_that_was_killed_is_finished_by_the_next(life: Path, stage: str, rows_left: bool) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(life), stage], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    (life / "mails.jsonl").unlink()
    with open_context(Home(life / "home"), life / "recipe.toml") as context:
        (left,) = unfinished(context)
        assert left["state"] == ("begun" if rows_left else "erased")
        assert bool(plan(context, Choice(text="Vexbrook")).ids) is rows_left
        receipt = purge(context, Choice(text="Vexbrook"))
        assert receipt["purge_id"] == left["purge_id"] and receipt["finished_at"]
        assert receipt["removed"]["examples"] == 12
        assert unfinished(context) == []
        assert len(context.store.list_purges()) == 1
    assert "Vexbrook" not in where_it_stands(life)
    assert "murkwhistle" not in where_it_stands(life)


def test_a_turn_finishes_what_was_killed(life: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(life), "deleting rows"], check=False, capture_output=True
    )
    assert done.returncode == -9, done.stderr.decode()
    with open_context(Home(life / "home"), life / "recipe.toml") as context:
        few = context.recipe.changed(train={"min_new_examples": 1000})
        turn(Context(context.home, few, context.store, context.folder))
        assert unfinished(context) == [] and context.store.get_purge("latest")["state"] == "done"
        assert plan(context, Choice(text="Vexbrook")).empty


# --- adapters ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_learnt_from_it_is_withdrawn_and_replaced(opened: Context, life: Path, tmp_path: Path) -> None:
    registry = Registry(opened.home, opened.store)
    (old,) = [row["adapter_id"] for row in opened.store.list_adapters()]
    if registry.champion("main") is None:
        registry.promote("main", old)
    run = opened.store.get_adapter(old)["run_id"]
    digest = opened.store.get_run(run)["dataset_digest"]
    export_adapter(opened, old, out=str(tmp_path / "old.zip"))

    named = purge(opened, Choice(person=PERSON))
    assert [one["adapter_id"] for one in named["adapters"]] == [old] and "withdrawn" not in named
    assert registry.champion("main") == old, "without --retrain it is named and stays"

    receipt = resume(opened, named["purge_id"], retrain=True)
    assert receipt["withdrawn"] == [old] and registry.state(old) == "withdrawn"
    assert receipt["retrained"]["dataset"] != digest
    new = receipt["retrained"]["adapter_id"]
    assert new != old and registry.champion("main") in (None, new)
    assert not [path for path in (life / "home").rglob("*.safetensors") if old in str(path) or run in str(path)]
    ids = set(opened.store.run_example_ids(receipt["retrained"]["run_id"]))
    assert ids <= {example.id for example in opened.store.select()}

    with pytest.raises(GateError, match="withdrawn and cannot serve"):
        registry.promote("main", old)
    with pytest.raises(GateError, match="was withdrawn, because what it learnt from was erased"):
        import_adapter(opened, str(tmp_path / "old.zip"))
    if registry.champion("main") == new:
        assert registry.rollback("main") is None, "the one before was withdrawn: the base serves"
    # A store that does not know, as after a restore, learns it from the folder.
    opened.store.update_adapter(old, state="candidate")
    with pytest.raises(GateError, match="was withdrawn"):
        registry.promote("main", old)
    assert resume(opened, named["purge_id"])["retrained"] == receipt["retrained"]
