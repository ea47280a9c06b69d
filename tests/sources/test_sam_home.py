"""An older installation moves in: every table and file, whatever state its databases are in, and only once."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cases.sam_home import TABLES, insert, make, write_database, write_lines

from samloop.errors import SourceError
from samloop.example import Example
from samloop.protocols import SHALL_LOOK, Mark, Reject
from samloop.sources.sam_home import read
from samloop.sources.sqlite_files import Unreadable, opened

PAIR = {"id": 1, "question": "What does a valve do?", "answer": "It lets water pass, or holds it back."}


def collect(location: Path, since: dict | None = None, **options: Any) -> tuple[list[Example], list[Reject], dict]:
    found = list(read(str(location), since, **options))
    assert isinstance(found[-1], Mark)
    state = json.loads(json.dumps(found[-1].value))
    return [r for r in found if isinstance(r, Example)], [r for r in found if isinstance(r, Reject)], state


def one_table(folder: Path, name: str, *rows: dict[str, Any], file: str = "distillation.db", **how: str) -> Path:
    write_database(folder / file, {name: list(rows)}, **how)
    return folder


@pytest.fixture
def older(tmp_path: Path) -> Path:
    return make(tmp_path)


def test_every_row_is_an_example_or_has_a_reason(older: Path) -> None:
    examples, rejects, _ = collect(older)
    by_table = Counter(example.metadata["dataset"] for example in examples)
    for reject in rejects:
        by_table[reject.location.removeprefix(f"{older}/")] += 1
    for database, tables in TABLES.items():
        for table, rows in tables.items():
            expected = 3 if table == "corrections" else len(rows)
            assert by_table[f"{database}:{table}"] == expected, table


def test_examples_keep_the_source_they_had(older: Path) -> None:
    examples, _, _ = collect(older)
    source = {example.source_id: example.source for example in examples}
    assert [source[f"made-up-{n}"] for n in (1, 2, 3, 4)] == [
        "git_commits",
        "manual",
        "sam_home",
        "conversation_capture",
    ]
    assert source["distillation.db:corrections#1#pair"] == "distillation"
    assert source["feedback-1#preference"] == "user_correction"
    assert source["feedback_derived/preferences.jsonl:1"] == "user_preference"
    (unknown,) = [example for example in examples if example.source_id == "made-up-3"]
    assert unknown.metadata["origin"] == "an older source"


def test_what_the_older_system_thought_is_kept_and_not_believed(older: Path) -> None:
    first = next(example for example in collect(older)[0] if example.source_id == "made-up-1")
    assert first.metadata["before"] == {"quality_score": 0.9, "quality_tier": "gold"}
    assert first.metadata["session_id"] == "s1"
    assert first.metadata["shift"] == "night"
    assert (first.quality_tier, first.created_at) == ("unverified", 1709287200.0)


def test_a_row_cannot_review_itself(tmp_path: Path) -> None:
    claim = {"human_reviewed": 1, "validated": 1, "state": "accepted", "metadata": '{"human_reviewed": true}'}
    row = {"id": 1, "source": "manual", "input_text": "What is it?", "output_text": "It is a valve.", **claim}
    ((example,), _, _) = collect(one_table(tmp_path, "training_examples", row))
    assert not {"human_reviewed", "validated", "state"} & set(example.metadata)
    assert example.metadata["before"] == {"human_reviewed": 1, "validated": 1}


def test_a_correction_becomes_three_examples_with_one_parent(older: Path) -> None:
    examples, _, _ = collect(older, variables={"name": "ADA"})
    preference, pair, dialogue = [e for e in examples if (e.source_id or "").startswith("feedback-1")]
    assert preference.parent_id == pair.parent_id == dialogue.parent_id == preference.group_key
    assert (preference.format, preference.rejected_output) == ("dpo", "You do.")
    assert preference.preference_reason == "the warranty forbids it"
    assert (pair.format, pair.input_text) == ("instruction", "Who repairs the pump?")
    assert dialogue.system_prompt == "You are ADA. The user will show you an error and correction."
    assert dialogue.input_text == "ADA said: You do. This was wrong because: the warranty forbids it"
    assert dialogue.output_text.startswith("I understand. The correct answer is: The plumber from the village does")


def test_a_correction_without_its_question_is_told_as_the_dialogue_alone(tmp_path: Path) -> None:
    ((example,), _, _) = collect(one_table(tmp_path, "corrections", {"incorrect": "Two.", "correct": "Three."}))
    assert (example.format, example.input_text) == ("chat", "SAM said: Two. This was wrong.")


def test_code_in_a_correction_dialogue_stands_on_lines_of_its_own(tmp_path: Path) -> None:
    code = "for x in y:\n    print(x)"
    row = {"incorrect": code, "correct": code.replace("print", "show"), "why": "show is meant"}
    ((example,), _, _) = collect(one_table(tmp_path, "corrections", row))
    assert example.input_text == f"SAM said:\n\n{code}\n\nThis was wrong because: show is meant"
    assert example.output_text.endswith("is:\n\nfor x in y:\n    show(x)\n\nI'll remember this.")


def test_text_that_looks_like_json_is_text(tmp_path: Path) -> None:
    row = {"id": 1, "input_text": "Sort this list.", "context": "[3, 1, 2]", "output_text": "[1, 2, 3]", "note": "[]"}
    ((example,), _, _) = collect(one_table(tmp_path, "training_examples", row))
    assert (example.context, example.output_text, example.metadata["note"]) == ("[3, 1, 2]", "[1, 2, 3]", "[]")


@pytest.mark.parametrize(
    ("steps", "answer", "output"),
    [
        (
            ["20 a day.", "That is 60 in three days."],
            "60",
            "1. 20 a day.\n2. That is 60 in three days.\n\nAnswer: 60",
        ),
        (["20 a day.", "In three days: 60"], "60", "1. 20 a day.\n2. In three days: 60"),
        ([{"step": 1, "thought": "20 a day."}], "It is sixty.", "1. 20 a day.\n\nIt is sixty."),
        ("20 a day, so 60.", "Sixty of them.", "20 a day, so 60.\n\nSixty of them."),
        ([], "Sixty of them.", "Sixty of them."),
    ],
)
def test_a_chain_of_thought_ends_with_its_answer(tmp_path: Path, steps: Any, answer: str, output: str) -> None:
    told = steps if isinstance(steps, str) else json.dumps(steps)
    row = {"id": 1, "question": "How many in three days?", "reasoning_steps": told, "answer": answer}
    ((example,), _, _) = collect(one_table(tmp_path, "chain_of_thought", row))
    assert example.output_text == output


def test_reasoning_comes_with_its_example_and_a_pending_review_waits_for_a_person(older: Path) -> None:
    examples = {example.source_id: example for example in collect(older)[0]}
    reasoned = examples["distillation.db:examples#1"]
    assert reasoned.metadata["reasoning_patterns"] == [
        {"pattern_type": "multi_step", "steps": '["Find the leak", "Say why"]'}
    ]
    waiting = examples["distillation.db:examples#2"]
    assert waiting.state == "review"
    assert (waiting.reason or "").startswith(SHALL_LOOK)
    assert "distillation.db:examples#3" not in examples


def test_a_queue_that_holds_its_examples_itself(tmp_path: Path) -> None:
    content = json.dumps({"prompt": "What is a tap?", "response": "What opens and shuts a pipe."})
    rows = [
        {"example_id": "gone", "example_data": content, "status": status}
        for status in ("pending", "approved", "rejected")
    ]
    examples, rejects, _ = collect(one_table(tmp_path, "review_queue", *rows))
    assert [example.state == "review" and (example.reason or "").startswith(SHALL_LOOK) for example in examples] == [
        True,
        False,
    ]
    assert [reject.reason for reject in rejects] == ["turned away by the older system"]


def test_nothing_is_written_beside_a_database(older: Path) -> None:
    def listing() -> dict[str, tuple[int, int]]:
        return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(older.rglob("*"))}

    with closing(sqlite3.connect(older / "training_data.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
    before = listing()
    collect(older)
    assert listing() == before


def test_a_second_run_reads_nothing_and_a_new_row_alone_is_read(tmp_path: Path) -> None:
    folder = one_table(tmp_path, "knowledge", PAIR)
    _, _, state = collect(folder)
    assert collect(folder, state)[:2] == ([], [])
    with closing(sqlite3.connect(folder / "distillation.db")) as database, database:
        insert(database, "knowledge", [{"id": 2, "question": "What does a tap do?", "answer": "It opens a pipe."}])
    examples, rejects, state = collect(folder, state)
    assert ([example.input_text for example in examples], rejects) == (["What does a tap do?"], [])
    # A row that was changed since makes the table another one: it is read again, and equal examples are known.
    with closing(sqlite3.connect(folder / "distillation.db")) as database, database:
        database.execute("UPDATE knowledge SET answer = 'It lets water pass, or does not.' WHERE id = 1")
    assert len(collect(folder, state)[0]) == 2


@pytest.mark.parametrize("left_open", [True, False])
def test_what_stands_in_the_log_alone_is_read(tmp_path: Path, left_open: bool) -> None:
    folder = one_table(tmp_path, "knowledge", PAIR, journal="WAL")
    script = (
        "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('PRAGMA wal_autocheckpoint = 0');"
        "d.execute(\"INSERT INTO knowledge VALUES (2, 'What does a tap do?', 'It opens a pipe, or shuts it.')\");"
        "d.commit(); print('ready', flush=True); sys.stdin.read(); os._exit(1)"
    )
    command = [sys.executable, "-c", script, str(folder / "distillation.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdin is not None
        assert writer.stdout.readline() == b"ready\n"
        if left_open:
            examples = collect(folder)[0]
        writer.stdin.close()
        writer.wait()
    if not left_open:  # it died: the log is there, and nobody to close it
        assert (folder / "distillation.db-wal").stat().st_size
        (folder / "distillation.db-shm").unlink()
        names = sorted(path.name for path in folder.iterdir())
        examples = collect(folder)[0]
        assert sorted(path.name for path in folder.iterdir()) == names
    assert len(examples) == 2


def test_a_locked_database_is_one_line_and_comes_in_later(tmp_path: Path) -> None:
    folder = one_table(tmp_path, "knowledge", PAIR)
    write_lines(folder / "training_data/a.jsonl", [{"instruction": "What is it?", "output": "It is a file."}])
    with closing(sqlite3.connect(folder / "distillation.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        examples, (reject,), state = collect(folder)
        writer.execute("ROLLBACK")
    assert [example.input_text for example in examples] == ["What is it?"]
    assert (reject.reason, reject.location) == ("database is locked", str(folder / "distillation.db"))
    assert len(collect(folder, state)[0]) == 1


def test_a_damaged_database_is_one_line_and_what_came_before_is_in(tmp_path: Path) -> None:
    rows = [{"id": n, "question": f"What is {n}?", "answer": f"It is the number {n}. " * 40} for n in range(300)]
    folder = one_table(tmp_path, "knowledge", *rows)
    path = folder / "distillation.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = b"\xff" * 8192
    path.write_bytes(content)
    examples, (reject,), state = collect(folder)
    assert reject.reason == "damaged database"
    assert 0 < len(examples) < 300
    assert collect(folder, state)[:2] == ([], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a database"),
        (b"no database at all" * 20, "not a database"),
        (b"SQLite format 3\0", "not a database"),
    ],
)
def test_what_is_no_database_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "training_data.db").write_bytes(content)
    examples, (reject,), state = collect(tmp_path)
    assert (examples, reject.reason) == ([], reason)
    assert collect(tmp_path, state)[1] == []


def test_a_database_of_another_schema_is_one_line(tmp_path: Path) -> None:
    write_database(tmp_path / "memory.db", {"facts": [{"k": 1, "v": 2}], "notes": [{"body": "x"}]})
    examples, (reject,), state = collect(tmp_path)
    assert (examples, reject.reason, reject.detail) == ([], "no table with training data", "its tables: facts, notes")
    assert collect(tmp_path, state)[1] == []


def test_odd_tables_are_read_too(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as database, database:
        database.execute('CREATE TABLE "odd ""name" (question TEXT PRIMARY KEY, answer, blob) WITHOUT ROWID')
        database.execute('INSERT INTO "odd ""name" VALUES (?, ?, ?)', ["What is odd?", "This table's name.", b"\xff"])
        database.execute("CREATE VIRTUAL TABLE found USING fts5(question, answer)")
        database.execute("INSERT INTO found VALUES ('What is this?', 'An index, which holds nothing of its own.')")
        database.execute("CREATE VIEW seen AS SELECT * FROM found")
        database.execute("CREATE TABLE bad (id, question, answer)")
        database.execute("INSERT INTO bad VALUES (1, CAST(x'ff41' AS TEXT), 'Text that is not UTF-8.')")
        database.execute("INSERT INTO bad VALUES (2, NULL, 'Nothing was asked.')")
    examples, rejects, _ = collect(tmp_path)
    assert sorted(example.input_text for example in examples) == ["What is odd?", "\ufffdA"]
    assert [(reject.reason, reject.id) for reject in rejects] == [("missing field", "2")]


def test_a_job_comes_in_when_it_has_ended(older: Path) -> None:
    _, rejects, state = collect(older)
    assert [r.location for r in rejects if r.reason == "unfinished job"] == [
        str(older / "jobs/8/made_up_answers.jsonl")
    ]
    assert collect(older, state)[:2] == ([], [])
    (older / "jobs/8/status.json").write_text('{"status": "completed"}')
    examples, rejects, state = collect(older, state)
    assert ([example.input_text for example in examples], rejects) == (["How deep is the well?"], [])
    assert collect(older, state)[:2] == ([], [])


def test_one_file_or_one_folder_of_it_can_be_named(older: Path) -> None:
    examples, _, _ = collect(older / "knowledge_distillation.db")
    assert [example.source_id for example in examples] == ["knowledge_distillation.db:knowledge#1"]
    examples, _, _ = collect(older / "feedback_derived")
    assert len(examples) == 4


def test_links_that_lead_in_a_circle_are_not_followed(tmp_path: Path) -> None:
    folder = one_table(tmp_path, "knowledge", PAIR)
    (folder / "training_data").mkdir()
    (folder / "training_data" / "again").symlink_to(folder, target_is_directory=True)
    (folder / "training_data" / "gone.jsonl").symlink_to(folder / "nowhere")
    assert len(collect(folder)[0]) == 1


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_place_without_training_data_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(SourceError, match="older installation"):
        read(str(tmp_path / name), None)


def test_an_unreadable_database_is_one_line(tmp_path: Path, unprivileged: Any) -> None:
    folder = tmp_path
    for above in (folder, *list(folder.parents)[:3]):
        above.chmod(above.stat().st_mode | 0o055)
    path = one_table(folder, "knowledge", PAIR) / "distillation.db"
    path.chmod(0)
    with unprivileged(), pytest.raises(Unreadable) as caught, opened(path):
        pass
    assert caught.value.reason == "cannot be read"
    os.chmod(path, 0o600)  # noqa: PTH101
