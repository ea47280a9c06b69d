"""The datasets source on real files: containers, defects, and going on where it stopped."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samloop.errors import SourceError
from samloop.example import Example
from samloop.protocols import Mark, Reject
from samloop.sources.datasets import read

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def record(n: int) -> dict[str, str]:
    return {"instruction": f"Say the number {n}.", "input": "", "output": f"It is {n}, of course."}


def jsonl(*records: object) -> str:
    return "".join(json.dumps(item) + "\n" for item in records)


def collect(location: Path, since: dict | None = None, **options: object) -> tuple[list[Example], list[Reject], dict]:
    found = list(read(str(location), since, **options))
    assert isinstance(found[-1], Mark)
    return (
        [item for item in found if isinstance(item, Example)],
        [item for item in found if isinstance(item, Reject)],
        json.loads(json.dumps(found[-1].value)),
    )


def numbers(examples: list[Example]) -> list[int]:
    return [int(example.input_text.split()[3].rstrip(".")) for example in examples]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


FIVE = [record(n) for n in range(5)]
TABLE = "instruction,input,output\n" + "".join(f'"{r["instruction"]}",,"{r["output"]}"\n' for r in FIVE)


@pytest.mark.parametrize(
    "content",
    [
        jsonl(*FIVE),
        jsonl(*FIVE).rstrip(),
        jsonl(*FIVE).replace("\n", "\r\n"),
        "\ufeff" + jsonl(*FIVE),
        jsonl(*FIVE).replace("\n", "\n\n"),
        json.dumps(FIVE),
        json.dumps(FIVE, indent=2),
        "[\n" + ",\n".join(map(json.dumps, FIVE)) + "\n]\n",
        ",\n".join(map(json.dumps, FIVE)),
        json.dumps({"data": FIVE}),
        json.dumps({"data": FIVE}, indent=2),
        '{"version": "1", "examples": [\n' + ",\n".join(map(json.dumps, FIVE)) + '\n], "count": 5}',
        "\n".join(json.dumps(item, indent=2) for item in FIVE),
        TABLE,
        "\ufeff" + TABLE,
        TABLE.replace(",", "\t"),
    ],
    ids=range(16),
)
@pytest.mark.parametrize("packed", ["plain", "gzip", "zstd"])
def test_every_container_gives_the_same_records(tmp_path: Path, content: str, packed: str) -> None:
    data = content.replace("It is 0\t", "It is 0,").encode() if "\t" in content else content.encode()
    if packed == "gzip":
        data = gzip.compress(data)
    elif packed == "zstd":
        data = pa.Codec("zstd").compress(data).to_pybytes()
    path = write(tmp_path / "misleading.txt", data)
    examples, rejects, mark = collect(path)
    assert rejects == []
    assert numbers(examples) == [0, 1, 2, 3, 4]
    assert collect(path, mark)[:2] == ([], [])


def test_parquet_is_read_and_remembered(tmp_path: Path) -> None:
    path = tmp_path / "table"
    talk = [[{"from": "human", "value": f"Say the number {n}."}, {"from": "gpt", "value": "Here."}] for n in range(3)]
    pq.write_table(pa.table({"conversations": talk, "id": ["a", "b", "c"], "note": [None, None, None]}), path)
    examples, rejects, mark = collect(path)
    assert (numbers(examples), rejects) == ([0, 1, 2], [])
    assert examples[1].source_id == "b"
    assert collect(path, mark)[0] == []


def test_one_record_alone_is_a_file_of_one(tmp_path: Path) -> None:
    for text in (json.dumps(record(1)), json.dumps(record(1), indent=1), json.dumps([record(1)])):
        assert numbers(collect(write(tmp_path / "one", text))[0]) == [1]


def test_bad_lines_are_named_and_the_rest_goes_in(tmp_path: Path) -> None:
    bad = [
        b'{"instruction": "cut',
        b'{"instruction": "\xff\xfe", "output": "bytes"}',
        b'{"instruction": "nul\0", "output": "byte"}',
        b"[1, 2]",
        b"17",
        b'{"what": "ever"}',
        b'{"instruction": "", "output": "something"}',
        b'{"instruction": "Something", "output": {"a": 1}}',
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"instruction": "' + b"x" * 3_000_000 + b'", "output": "long"}',
    ]
    good = [json.dumps(item).encode() for item in FIVE]
    path = write(tmp_path / "mixed.jsonl", b"\n".join([good[0], *bad, *good[1:]]) + b"\n")
    examples, rejects, _ = collect(path, max_line_bytes=2_000_000)
    assert numbers(examples) == [0, 1, 2, 3, 4]
    assert [(reject.line, reject.reason) for reject in rejects] == [
        (2, "broken JSON"),
        (3, "not valid UTF-8"),
        (4, "NUL byte"),
        (5, "not an object"),
        (6, "not an object"),
        (7, "unknown format"),
        (8, "empty text"),
        (9, "wrong type"),
        (10, "nested too deeply"),
        (11, "line too long"),
    ]
    assert all(reject.location == str(path) for reject in rejects)


def test_a_broken_first_line_does_not_hide_the_others(tmp_path: Path) -> None:
    for first in ("oops", '{"instruction": "cut', '{"a": }', "{"):
        examples, rejects, _ = collect(write(tmp_path / "file", first + "\n" + jsonl(*FIVE)))
        assert numbers(examples) == [0, 1, 2, 3, 4], first
        assert [reject.line for reject in rejects] == [1]


def test_a_broken_element_of_an_array_does_not_hide_the_others(tmp_path: Path) -> None:
    text = f'[{json.dumps(record(0))}, {{"instruction": nonsense}}, {json.dumps(record(1))}, 5]'
    examples, rejects, _ = collect(write(tmp_path / "file", text))
    assert numbers(examples) == [0, 1]
    assert [(reject.line, reject.reason) for reject in rejects] == [(2, "broken JSON"), (4, "not an object")]


def test_a_cut_gzip_gives_what_it_still_holds(tmp_path: Path) -> None:
    import random

    noise = random.Random(1)
    many = [{**record(n), "output": "".join(noise.choices("abcdefgh ", k=500))} for n in range(20_000)]
    packed = gzip.compress(jsonl(*many).encode(), 1)
    examples, rejects, mark = collect(write(tmp_path / "cut.jsonl.gz", packed[: len(packed) // 2]))
    assert len(examples) > 5_000
    assert [reject.reason for reject in rejects][-1] == "truncated file"
    assert collect(tmp_path / "cut.jsonl.gz", mark)[:2] == ([], [])


def test_rows_with_other_columns_are_turned_away(tmp_path: Path) -> None:
    table = "question,answer\nSay the number 1.,Here it is.\nonly one\nSay the number 2.,a,b\n"
    table += 'Say the number 3.,"Two\nlines."\n'
    examples, rejects, _ = collect(write(tmp_path / "t.csv", table))
    assert numbers(examples) == [1, 3]
    assert examples[1].output_text == "Two\nlines."
    assert [(reject.line, reject.reason) for reject in rejects] == [
        (3, "wrong number of columns"),
        (4, "wrong number of columns"),
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b" \n\n", "blanks"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not JSON Lines"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "not JSON Lines"),
        (b"Just a letter.\n", "not JSON Lines"),
        ("{}".encode("utf-16"), "UTF-16"),
        (b"PAR1nonsense", "Parquet"),
        (b"\x1f\x8bnonsense", "gzip"),
        (b"\x28\xb5\x2f\xfdnonsense", "zstd"),
        (b'[{"title": "t", "mapping": {}, "current_node": "n"}]', "collect it as 'chatgpt'"),
        (b'{"uuid": "u", "name": "n", "chat_messages": []}', "collect it as 'claude-ai'"),
        (b'{"type": "user", "sessionId": "s", "uuid": "u", "message": {}}\n', "collect it as 'claude-code'"),
    ],
)
def test_a_file_that_is_no_data_is_one_clear_error(tmp_path: Path, content: bytes, told: str) -> None:
    path = write(tmp_path / "data.jsonl", content)
    with pytest.raises(SourceError) as caught:
        read(str(path), None)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_places_where_nothing_is_are_errors(tmp_path: Path) -> None:
    for location in ("missing.jsonl", "*.jsonl", "."):
        with pytest.raises(SourceError, match="found no"):
            read(str(tmp_path / location), None)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="neither"):
        read(str(tmp_path / "pipe"), None)


def test_a_file_that_may_not_be_read_is_an_error(public_folder: Path, unprivileged) -> None:
    path = write(public_folder / "secret.jsonl", jsonl(record(1)))
    assert len(list(read(str(path), None))) == 2  # the example and the mark
    path.chmod(0)
    with unprivileged(), pytest.raises(SourceError, match="permissions"):
        read(str(path), None)


def test_a_folder_gives_all_its_data_in_order_and_names_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    write(tmp_path / "b.jsonl", jsonl(record(2)))
    write(tmp_path / "a.json", json.dumps([record(1)]))
    write(tmp_path / "deep" / "c.csv", "question,answer\nSay the number 3.,Here it is.\n")
    write(tmp_path / ".hidden" / "d.jsonl", jsonl(record(4)))
    write(tmp_path / "README.md", "# Words\n")
    write(tmp_path / "empty.jsonl", "")
    (tmp_path / "loop").symlink_to(tmp_path)
    examples, rejects, mark = collect(tmp_path)
    assert numbers(examples) == [1, 2, 3]
    assert [example.metadata["dataset"] for example in examples] == ["a.json", "b.jsonl", "deep/c.csv"]
    assert [Path(reject.location).name for reject in rejects] == ["empty.jsonl"]
    assert collect(tmp_path, mark)[:2] == ([], [])
    assert numbers(collect(tmp_path / "*.json*")[0]) == [1, 2]


def test_a_grown_file_gives_its_new_lines_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", jsonl(record(0), record(1)))
    _, _, mark = collect(path)
    with path.open("a") as file:
        file.write(jsonl(record(2)) + '{"instruction": "half')
    examples, rejects, mark = collect(path, mark)
    assert numbers(examples) == [2]
    assert examples[0].source_id == "log.jsonl:3"
    assert [(reject.line, reject.reason) for reject in rejects] == [(4, "broken JSON")]
    with path.open("a") as file:
        file.write(' of it", "output": "Now it is whole."}\n' + jsonl(record(3)))
    examples, rejects, mark = collect(path, mark)
    assert [example.source_id for example in examples] == ["log.jsonl:4", "log.jsonl:5"]
    assert rejects == []
    assert collect(path, mark)[0] == []


def test_a_changed_file_is_read_anew_and_a_touched_one_is_not(tmp_path: Path) -> None:
    for name, text in (("a.jsonl", jsonl(*FIVE)), ("a.json", json.dumps(FIVE))):
        path = write(tmp_path / name, text)
        _, _, mark = collect(path)
        os.utime(path, (1, 1))
        examples, _, mark = collect(path, mark)
        assert examples == []
        write(path, text.replace("number 0", "number 9"))
        assert numbers(collect(path, mark)[0]) == [9, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a.csv", "a.parquet"])
def test_a_killed_import_goes_on_at_its_last_mark(tmp_path: Path, name: str) -> None:
    many = [{**record(n), "output": f"It is {n}." + " Truly." * 150} for n in range(5_000)]
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(many), path)
    elif name.endswith("csv"):
        write(path, "question,answer\n" + "".join(f"{m['instruction']},{m['output']}\n" for m in many))
    else:
        text = json.dumps(many) if name.endswith("json") else jsonl(*many)
        write(path, gzip.compress(text.encode()) if name.endswith("gz") else text)
    seen: list[int] = []
    mark = None
    for item in read(str(path), None):
        if isinstance(item, Mark):
            mark = json.loads(json.dumps(item.value))
            break
        seen += numbers([item])
    assert mark is not None
    assert 0 < len(seen) < 5_000
    rest, rejects, _ = collect(path, mark)
    assert rejects == []
    assert seen + numbers(rest) == list(range(5_000))
    assert rest[0].source_id == f"{name}:{len(seen) + (2 if name.endswith('csv') else 1)}"


def test_two_readings_are_equal(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", jsonl(*FIVE))
    assert collect(path)[0] == collect(path)[0]


@pytest.mark.parametrize(
    ("name", "text", "licence"),
    [
        ("a.jsonl.license", "SPDX-License-Identifier: CC-BY-4.0\n", "CC-BY-4.0"),
        ("README.md", "---\nlicense: apache-2.0\ntags: [x]\n---\n# Card\n", "Apache-2.0"),
        ("README.md", "---\nlicense:\n- cc-by-nc-4.0\n---\n", "CC-BY-NC-4.0"),
        ("README.md", "---\nlicense:\n- mit\n- cc-by-4.0  # the texts\ntags:\n- x\n---\n", "MIT AND CC-BY-4.0"),
        ("README.md", "---\nlicense: [mit, apache-2.0]\n---\n", "MIT AND Apache-2.0"),
        ("README.md", "---\nlicense: llama3\n---\n", "LicenseRef-llama3"),
        ("README.md", "---\nlicense: other\nlicense_name: made up 1.0\n---\n", "LicenseRef-made-up-1.0"),
        ("README.md", "---\nlicense: unknown\n---\n", None),
        ("LICENSE", "Permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
        ("LICENSE", "All rights reserved.", None),
        ("README.md", "# Words without a card\n", None),
    ],
)
def test_the_licence_is_what_lies_beside_the_file(tmp_path: Path, name: str, text: str, licence: str | None) -> None:
    write(tmp_path / "a.jsonl", jsonl(record(1)))
    write(tmp_path / name, text)
    assert collect(tmp_path / "a.jsonl")[0][0].licence == licence
    assert collect(tmp_path / "a.jsonl", licence="MPL-2.0")[0][0].licence == "MPL-2.0"


def test_template_variables_are_filled_or_named_and_code_is_left_alone(tmp_path: Path) -> None:
    identity = [{"instruction": f"Who are you, {n}?", "output": "I am {{name}} by {{ author }}."} for n in range(4)]
    path = write(tmp_path / "identity.json", json.dumps(identity))
    examples, rejects, _ = collect(path, variables={"name": "SAM", "author": "us"})
    assert [example.output_text for example in examples] == ["I am SAM by us."] * 4
    examples, rejects, _ = collect(path)
    assert (examples, Counter(reject.reason for reject in rejects)) == ([], {"template variable": 4})
    vue = {"instruction": "Show the name in Vue.", "output": "<p>{{name}}</p>"}
    path = write(tmp_path / "code.jsonl", jsonl(*FIVE, *FIVE, *FIVE, vue))
    assert collect(path)[0][-1].output_text == "<p>{{name}}</p>"


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside the checkout")
@pytest.mark.parametrize(
    ("location", "examples", "turned_away"),
    [
        ("instruct/gpteacher_codegen.json", 4535, 0),
        ("instruct/self_instruct_seed_tasks.jsonl", 175, 0),
        ("instruct/glaive_toolcall_sharegpt.json", 300, 0),
        ("instruct/t0", 6131, 0),
        ("conversations/oasst_trees.jsonl", 241, 0),
        ("conversations/sharegpt_identity.json", 500, 0),
        ("preferences/llmbar_neighbor.json", 134, 0),
        ("preferences/pandalm_testset.json", 835, 164),
        ("evaluate/gsm8k_test.jsonl", 1319, 0),
        ("evaluate/HumanEval.jsonl.gz", 0, 164),
    ],
)
def test_real_sets_come_in_whole(location: str, examples: int, turned_away: int) -> None:
    found, rejects, mark = collect(SHARED / location)
    assert (len(found), len(rejects)) == (examples, turned_away)
    assert all(example.source_id for example in found)
    assert collect(SHARED / location, mark)[:2] == ([], [])


def test_the_card_above_counts_up_to_the_folder_that_was_named(tmp_path: Path) -> None:
    card = "---\nlicense: cc-by-4.0\n---\n"
    (tmp_path / "LICENSE").write_text("SPDX-License-Identifier: MIT\n")
    deep = tmp_path / "set" / "data" / "en"
    deep.mkdir(parents=True)
    write(tmp_path / "set" / "README.md", card)
    write(deep / "a.jsonl", jsonl(record(1)))
    write(deep.parent / "b.jsonl", jsonl(record(2)))
    write(deep.parent / "c.jsonl", jsonl(record(3)))
    write(deep.parent / "c.jsonl.license", "CC0-1.0")
    licences = {example.input_text: example.licence for example in collect(tmp_path / "set")[0]}
    assert list(licences.values()) == ["CC-BY-4.0", "CC0-1.0", "CC-BY-4.0"]
    assert collect(deep)[0][0].licence is None  # nothing above what was named is looked at
    assert collect(deep.parent / "b.jsonl")[0][0].licence == "CC-BY-4.0"  # but for the folder above "data"
