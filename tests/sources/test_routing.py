from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samloop.errors import SourceError
from samloop.example import Example
from samloop.protocols import Mark, Reject, Withdrawal
from samloop.sources.routing import LABELS, UNSEEN_FILLING, UNSEEN_WORDING, held_out, question, read
from samloop.sources.routing_templates import fillings, slots, wordings


def examples_of(*arguments, **options) -> list[Example]:
    return [record for record in read(*arguments, **options) if isinstance(record, Example)]


def last_mark(records) -> dict:
    assert isinstance(records[-1], Mark)
    return dict(records[-1].value)


@pytest.fixture(scope="module")
def bundled() -> list[Example]:
    return examples_of("", None)


@pytest.mark.parametrize("label", LABELS)
def test_each_label_has_many_wordings_and_enough_of_them_held_out(label):
    trained, kept = wordings(label, held_out=False), wordings(label, held_out=True)
    assert len(trained) >= 60
    assert len(kept) >= 15
    assert not {w.text for w in trained} & {w.text for w in kept}
    for wording in (*trained, *kept):
        assert set(wording.slots) <= set(slots())


def test_every_slot_holds_out_some_fillings_and_keeps_most():
    for slot in slots():
        trained, kept = fillings(slot, held_out=False), fillings(slot, held_out=True)
        assert len(kept) >= 2, slot
        assert len(trained) > len(kept), slot
        assert len({text.casefold() for text in (*trained, *kept)}) == len(trained) + len(kept), slot


def test_no_wording_stands_twice_or_under_two_labels():
    texts = [w.text.casefold() for label in LABELS for part in (True, False) for w in wordings(label, held_out=part)]
    assert len(texts) == len(set(texts))


def test_the_bundled_set_is_balanced_distinct_and_complete(bundled):
    assert Counter(e.output_text for e in bundled) == dict.fromkeys(LABELS, 400)
    assert len({e.sealed().input_hash for e in bundled}) == len(bundled)
    for example in bundled:
        assert example.input_text == question(example.metadata["task"])
        assert example.source == "routing"
        assert example.format == "instruction"
        assert example.group_key.startswith("routing:")
        assert example.licence == "Apache-2.0"
        assert not re.search(r"[{}]", example.input_text)


def test_all_tasks_of_one_wording_are_one_group(bundled):
    groups = {(e.metadata["wording"], e.group_key) for e in bundled}
    assert len(groups) == len({w for w, _ in groups}) == len({g for _, g in groups})


def test_reading_again_gives_the_same_and_after_the_mark_nothing(bundled):
    records = list(read("", None))
    assert [e.to_dict() for e in records[:-1]] == [e.to_dict() for e in bundled]
    assert list(read("", last_mark(records))) == []


def test_other_options_are_another_set():
    mark = last_mark(list(read("", None, examples=40)))
    assert examples_of("", mark, examples=40) == []
    assert len(examples_of("", mark, examples=80)) == 80
    assert examples_of("", None, examples=40, seed=1) != examples_of("", None, examples=40)


@settings(max_examples=20)
@given(st.integers(0, 500))
def test_any_number_is_met_exactly_and_shared_evenly(examples):
    counts = Counter(e.output_text for e in examples_of("", None, examples=examples))
    assert counts.total() == examples
    assert max(counts[label] for label in LABELS) - min(counts[label] for label in LABELS) <= 1


def test_no_example_equals_an_item_of_the_suite(bundled):
    many = examples_of("", None, examples=8000, seed=3)
    items = held_out()
    asked = {item["messages"][0]["content"].casefold() for item in items}
    assert len(asked) == len(items)
    assert not asked & {e.input_text.casefold() for e in (*bundled, *many)}
    seen = {e.metadata["wording"] for e in (*bundled, *many)}
    assert not seen & {item["wording"] for item in items if item["slice"] == UNSEEN_WORDING}
    assert {item["wording"] for item in items if item["slice"] == UNSEEN_FILLING} <= seen


def test_suite_items_are_complete_balanced_and_enough():
    items = held_out()
    assert Counter((item["slice"], item["answer"]) for item in items) == {
        (name, label): 50 for name in (UNSEEN_FILLING, UNSEEN_WORDING) for label in LABELS
    }
    assert len({item["id"] for item in items}) == len(items)
    assert items == held_out()
    for item in items:
        assert item["messages"] == [{"role": "user", "content": question(item["task"])}]
        assert item["labels"] == list(LABELS)
    unseen = [item for item in items if item["slice"] == UNSEEN_WORDING]
    for label in LABELS:
        assert len({item["wording"] for item in unseen if item["answer"] == label}) >= 15


def test_unseen_fillings_use_held_out_fillings_in_every_slot():
    items = [item for item in held_out() if item["slice"] == UNSEEN_FILLING]
    texts = {w.id: w for label in LABELS for w in wordings(label, held_out=False)}
    for item in items:
        for slot in texts[item["wording"]].slots:
            assert any(
                text.casefold().rstrip(".?") in item["task"].casefold() for text in fillings(slot, held_out=True)
            )


def test_known_wordings_can_be_cut_down_to_those_that_trained():
    trained = {w.group_key for label in LABELS for w in wordings(label, held_out=False)[:30]}
    items = held_out(trained=trained)
    assert {item["group_key"] for item in items if item["slice"] == UNSEEN_FILLING} <= trained
    assert Counter(item["slice"] for item in items) == {UNSEEN_FILLING: 200, UNSEEN_WORDING: 200}


def test_the_question_is_short_and_names_the_labels():
    asked = question("Set a timer", ("a", "b", "c"))
    assert asked == "Route this task to a, b or c: Set a timer"
    assert len(question("").split()) < 20


def write_decisions(path: Path, *decisions) -> None:
    path.write_text("".join(d if isinstance(d, str) else json.dumps(d) + "\n" for d in decisions))


def test_real_decisions_come_first_and_templates_fill_up(tmp_path):
    path = tmp_path / "decisions.jsonl"
    write_decisions(
        path,
        {"task": "Mend the porch light", "route": "local", "id": "d1", "timestamp": 1700000000},
        {"task": "Ask what a quasar is", "route": "chatgpt"},
    )
    found = examples_of(str(path), None, examples=40)
    assert [e.output_text for e in found[:2]] == ["local", "chatgpt"]
    assert found[0].input_text == question("Mend the porch light")
    assert (found[0].source_id, found[0].created_at) == ("d1", 1700000000)
    assert found[1].source_id == "decisions.jsonl:2"
    assert Counter(e.output_text for e in found) == dict.fromkeys(LABELS, 10)
    assert {e.metadata["origin"] for e in found[2:]} == {"template"}


def test_a_folder_is_read_file_by_file_and_only_what_is_new_next_time(tmp_path):
    write_decisions(tmp_path / "a.jsonl", {"task": "one", "route": "local"})
    write_decisions(tmp_path / "b.jsonl", {"task": "two", "route": "ollama"})
    records = list(read(str(tmp_path), None, examples=8))
    mark = last_mark(records)
    assert list(read(str(tmp_path), mark, examples=8)) == []
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(json.dumps({"task": "three", "route": "local"}) + "\n")
    again = list(read(str(tmp_path), mark, examples=8))
    assert [e.metadata["task"] for e in again[:-1]] == ["three"]
    assert again[0].source_id == "a.jsonl:2"
    assert list(read(str(tmp_path), last_mark(again), examples=8)) == []


def test_a_rewritten_file_is_read_from_its_start(tmp_path):
    path = tmp_path / "a.jsonl"
    write_decisions(path, {"task": "one", "route": "local"}, {"task": "two", "route": "local"})
    mark = last_mark(list(read(str(path), None, examples=8)))
    write_decisions(path, {"task": "uno", "route": "local"})
    assert [e.metadata["task"] for e in examples_of(str(path), mark, examples=8)] == ["uno"]


def test_bad_decisions_are_turned_away_with_line_and_reason_and_never_quoted(tmp_path):
    path = tmp_path / "d.jsonl"
    item = held_out()[0]
    write_decisions(
        path,
        "{broken\n",
        {"task": "", "route": "local"},
        {"task": "a private matter", "route": "fax"},
        ["a list"],
        "\n",
        {"task": item["task"], "route": item["answer"]},
        {"task": "x" * 300, "route": "local"},
        {"task": "kept", "route": "local"},
    )
    records = list(read(str(path), None, examples=0, max_line_bytes=200))
    rejects = [r for r in records if isinstance(r, Reject)]
    assert [(r.line, r.reason) for r in rejects] == [
        (1, "not valid JSON"),
        (2, "no task"),
        (3, "route is not one of the labels"),
        (4, "no task"),
        (6, "held out for evaluation"),
        (7, "line too long"),
    ]
    assert [e.metadata["task"] for e in records if isinstance(e, Example)] == ["kept"]
    assert "private" not in str([dataclasses.asdict(r) for r in rejects])


@given(st.lists(st.integers(1, 60), max_size=8), st.integers(20, 60), st.booleans())
def test_line_numbers_hold_for_any_lengths(tmp_path_factory, lengths, bound, newline):
    path = tmp_path_factory.mktemp("lines") / "d.jsonl"
    text = "\n".join("y" * length for length in lengths) + ("\n" if newline and lengths else "")
    path.write_text(text)
    records = list(read(str(path), None, examples=0, max_line_bytes=bound))
    rejects = [r for r in records if isinstance(r, Reject)]
    assert [r.line for r in rejects] == list(range(1, len(lengths) + 1))
    assert [r.reason == "line too long" for r in rejects] == [length > bound for length in lengths]


def test_a_location_without_decisions_is_an_error_before_anything_is_read(tmp_path):
    for location in (tmp_path, tmp_path / "missing.jsonl"):
        with pytest.raises(SourceError, match="expected a JSONL file of routing decisions"):
            next(read(str(location), None))


def test_labels_of_ones_own_take_decisions_and_no_templates(tmp_path):
    path = tmp_path / "d.jsonl"
    write_decisions(path, {"task": "go left", "route": "left"})
    found = examples_of(str(path), None, labels=("left", "right"))
    assert [(e.input_text, e.output_text) for e in found] == [("Route this task to left or right: go left", "left")]
    assert held_out(("left", "right")) == []


# --- live decisions ----------------------------------------------------------------------------------------------

ROW = {"kind": "escalation", "trigger": "asked", "teacher": "gpt-9", "metadata": {}, "created_at": 1.7e9}


def escalated(number: int, task: str | list[str], **changes: object) -> dict[str, object]:
    said = [task] if isinstance(task, str) else task
    messages = [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(said)]
    return ROW | {"number": number, "capture_id": f"escalation-{number}", "messages": messages} | changes


def corrected_route(number: int, task: str, route: str, wrong: str | None = None) -> dict[str, object]:
    row = {"number": number, "feedback_id": f"routing-{number}", "kind": "routing", "created_at": 1.7e9}
    return row | {"input_text": task, "better_text": route, "output_text": wrong}


def reader(captures=(), feedback=()):
    tables = {"captures": captures, "feedback": feedback}
    return lambda table, after=0: iter([row for row in tables[table] if row["number"] > after])


def routes(records) -> list[tuple[str, str]]:
    return [(r.metadata["task"], r.output_text) for r in records if isinstance(r, Example)]


def reasons(records) -> list[str]:
    return [record.reason for record in records if isinstance(record, Reject)]


def test_what_people_corrected_comes_first_then_what_went_to_a_teacher_then_templates():
    rows = reader(
        [escalated(1, "Write a poem on the weir"), escalated(2, "Wake me at six")],
        [corrected_route(1, "Wake me at six!", "local", "chatgpt")],
    )
    records = list(read("", None, rows=rows, examples=8))
    assert routes(records)[:2] == [("Wake me at six!", "local"), ("Write a poem on the weir", "chatgpt")]
    assert reasons(records) == ["route was corrected"]
    assert Counter(route for _, route in routes(records)) == dict.fromkeys(LABELS, 2)
    (gone,) = [record for record in records if isinstance(record, Withdrawal)]
    assert (gone.input_text, gone.output_text) == (question("Wake me at six!"), "chatgpt")
    assert [r.metadata["origin"] for r in records if isinstance(r, Example)][:2] == ["correction", "escalation"]


def test_rows_are_read_once_and_count_for_the_balance_after_a_kill():
    rows = reader([escalated(n, f"Explain part {n} of the pump") for n in range(1, 7)])
    records = list(read("", None, rows=rows, examples=16))
    assert list(read("", last_mark(records), rows=rows, examples=16)) == []
    whole = Counter(route for _, route in routes(records))
    assert whole["chatgpt"] == 6  # never cut
    (third,) = [at for at, r in enumerate(records) if isinstance(r, Mark) and r.value["live"]["captures"]["row"] == 3]
    rest = list(read("", dict(records[third].value), rows=rows, examples=16))
    assert routes(records[:third]) + routes(rest) == routes(records)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (escalated(1, "Explain the pump", trigger="error"), "the local model failed"),
        (escalated(1, ["My pump is loud", "Is it old?", "Yes"]), "task hangs on earlier turns"),
        (escalated(1, "pump " * 300), "task is too long to be routed"),
        (escalated(1, "Explain the pump", teacher="somebody"), "teacher stands for no route"),
        (escalated(1, held_out()[0]["task"].upper()), "held out for evaluation"),
    ],
)
def test_what_is_no_decision_is_turned_away(row, reason):
    records = list(read("", None, rows=reader([row]), examples=0))
    assert reasons(records) == [reason]
    assert routes(records) == []


def test_a_teacher_stands_for_the_route_that_the_recipe_says():
    rows = reader(
        [
            escalated(1, "Rename the class Pump", teacher="somebody-large"),
            escalated(2, "Translate this", teacher="Ollama/small"),
            escalated(3, "Summarise this", teacher="x", metadata={"route": "ollama"}),
            ROW | {"number": 4, "kind": "exchange", "messages": [{"role": "user", "content": "Hello"}]},
        ]
    )
    found = list(read("", None, rows=rows, examples=0, teachers={"somebody": "claude-code"}))
    assert [route for _, route in routes(found)] == ["claude-code", "ollama", "ollama"]
    assert reasons(found) == []
    assert reasons(list(read("", None, rows=reader((), [corrected_route(1, "Do it", "moon")]), examples=0)))


def test_a_decision_from_the_future_is_as_old_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    write_decisions(
        path,
        {"task": "Set an alarm", "route": "local", "timestamp": 99_999_999_999},
        {"task": "Set a timer", "route": "local", "timestamp": 1_700_000_000},
    )
    ahead, known = (e for e in read(str(path), None, examples=0) if isinstance(e, Example))
    assert ahead.created_at == path.stat().st_mtime
    assert known.created_at == 1_700_000_000
