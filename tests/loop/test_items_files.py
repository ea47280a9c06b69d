"""Files of evaluation items: what a line becomes, and the sentence for each that cannot be used."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from samloop.errors import InputError
from samloop.loop.items_files import code_item, context_item, instruction_item, own_item, read_file

GOOD = {"prompt": "What is 2 + 2?", "checks": [{"check": "contains", "words": ["4"]}]}


def mine(line, number):
    return own_item(line, number, "mine")


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_lines_become_items_and_empty_lines_count_for_numbers_only(tmp_path):
    path = written(tmp_path / "mine.jsonl", GOOD, "", {**GOOD, "id": "sum", "expected": "4"})
    one, two = read_file(path, mine)
    assert (one["id"], two["id"]) == ("mine/1", "mine/sum")
    assert one["messages"] == [{"role": "user", "content": "What is 2 + 2?"}]
    assert (two["answer"], two["file"]) == ("4", "mine")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{broken", "expected JSON, got something else"),
        ("[1]", "expected a JSON object, got [1]"),
        ({"prompt": "x"}, "expected 'checks' to be a list of checks, got None"),
        ({"prompt": "x", "checks": []}, "expected 'checks' to be a list of checks, got []"),
        ({"checks": GOOD["checks"]}, "expected one of 'prompt' and 'messages', got neither"),
        ({**GOOD, "messages": []}, "expected one of 'prompt' and 'messages', got both"),
        ({**GOOD, "prompt": " "}, "expected 'prompt' to be text, got ' '"),
        ({**GOOD, "promt": "x"}, "got 'promt'"),
        ({"messages": [{"role": "user"}], "checks": GOOD["checks"]}, "expected a turn as"),
        ({"messages": [{"role": "assistant", "content": "x"}], "checks": GOOD["checks"]}, "got one of 'assistant'"),
        ({"prompt": "x", "checks": [{"check": "wrods"}]}, "got 'wrods'"),
        (
            {"prompt": "x", "checks": [{"check": "choice", "labels": ["a"], "right": "b"}]},
            "one of the labels, got 'b'",
        ),
        ({"prompt": "x", "checks": [{"check": "python", "code": "1"}]}, "take test, function, prompt, got 'code'"),
    ],
)
def test_a_bad_line_is_one_sentence_with_its_number_and_a_remedy(tmp_path, bad, said):
    path = written(tmp_path / "mine.jsonl", GOOD, bad)
    with pytest.raises(InputError) as caught:
        read_file(path, mine)
    text = str(caught.value)
    assert said in text
    assert f"on line 2 of {path}" in text
    assert "mend the line" in text
    assert "\n" not in text


def test_several_bad_lines_are_counted(tmp_path):
    with pytest.raises(InputError, match=r"on line 1 of .*\(2 more lines have faults\)"):
        read_file(written(tmp_path / "x.jsonl", "{", "{", "{"), mine)


def test_a_file_that_is_not_there_empty_doubled_or_broken_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_file(tmp_path / "none.jsonl", mine)
    with pytest.raises(InputError, match="got an empty file"):
        read_file(written(tmp_path / "empty.jsonl"), mine)
    with pytest.raises(InputError, match="got 'mine/a' twice"):
        read_file(written(tmp_path / "twice.jsonl", {**GOOD, "id": "a"}, {**GOOD, "id": "a"}), mine)
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"x" * 999)[:-9])
    with pytest.raises(InputError, match=r"no whole \.gz file"):
        read_file(tmp_path / "cut.jsonl.gz", mine)
    (tmp_path / "bomb.jsonl.gz").write_bytes(gzip.compress(bytes(65 * 2**20)))
    with pytest.raises(InputError, match="got more in"):
        read_file(tmp_path / "bomb.jsonl.gz", mine)


@pytest.mark.parametrize(
    ("become", "line", "said"),
    [
        (code_item, {"prompt": "def f():", "test": "x"}, "expected 'entry_point' to be text, got none"),
        (code_item, {"prompt": "def f():", "test": "x", "entry_point": "a b"}, "name a function, got 'a b'"),
        (instruction_item, {"prompt": "x"}, "'instruction_id_list' to be a list of ids, got None"),
        (instruction_item, {"prompt": "x", "instruction_id_list": ["a"], "kwargs": []}, "'kwargs' to be 1 objects"),
        (context_item, {"context": "x", "question": "y"}, "expected 'answer' to be text, or null"),
        (context_item, {"context": "", "question": "y", "answer": None}, "expected 'context' to be text, got ''"),
    ],
)
def test_lines_of_other_files_are_looked_at_as_well(become, line, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        become(line, 1)
