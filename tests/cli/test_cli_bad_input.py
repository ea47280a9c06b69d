"""Whatever is wrong with what samloop is given: one sentence, the right exit code, and a store as it was before."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

COUNTS = ("added", "duplicate", "rejected", "review")


def line(subject: str, **more: Any) -> bytes:
    """A record that every rule accepts."""
    answer = f"A {subject} lets only one thread at a time enter a critical section of a program."
    return json.dumps({"instruction": f"Explain a {subject} in one sentence.", "output": answer, **more}).encode()


GOOD = line("mutex")
OTHER = line("semaphore")
DEEP = b'{"instruction": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
NESTED = line("latch", metadata=json.loads('{"a":' * 500 + "1" + "}" * 500))


def balanced(document: dict[str, Any]) -> dict[str, Any]:
    """The totals of a collection, checked: everything read is in exactly one count."""
    for entry in (document["totals"], *document["sources"]):
        assert entry["read"] == sum(entry[name] for name in COUNTS)
    return document["totals"]


# --- files that hold no data --------------------------------------------------------------------------------------

NO_DATA: dict[str, tuple[bytes, str]] = {
    "picture.jsonl": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), "it looks like a PNG image"),
    "text.jsonl.gz": (b"This is plain text.\nIt is not gzip.\n", "it looks like plain text"),
    "table.parquet": (b"a,b,c\n1,2,3\n", "not JSON Lines, JSON, Parquet, or CSV with a header of known columns"),
    "broken.parquet": (b"PAR1" + b"junk" * 100 + b"PAR1", "begins like Parquet and cannot be read"),
    "database.jsonl": (b"SQLite format 3\0" + b"\0" * 100, "it looks like an SQLite database"),
    "page.json": (b"<!DOCTYPE html><html></html>", "it looks like HTML or XML"),
    "zeros.jsonl": (b"\0" * 5000, "it looks like binary data"),
    "cut.jsonl.gz": (b"\x1f\x8b\x08\0\0\0\0\0", "begins like gzip and cannot be decompressed; fetch it again"),
    "empty.jsonl": (b"", "the file is empty"),
    "blank.jsonl": (b"\n\n  \n\r\n\n", "nothing but blanks"),
    "utf16.jsonl": (GOOD.decode().encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
    "foreign.jsonl": (
        b'{"foo": 1, "bar": 2}\n{"foo": 3, "bar": 4}\n',
        "known format, they have 'foo', 'bar'; rename",
    ),
    "number.json": (b"42\n", "it looks like plain text"),
}


@pytest.mark.parametrize("name", NO_DATA)
def test_a_file_that_is_not_what_it_says(refused: Any, tmp_path: Path, name: str) -> None:
    content, part = NO_DATA[name]
    path = tmp_path / name
    path.write_bytes(content)
    message = refused("collect", "dataset", path)
    assert message.startswith(f"expected a data file, got {path}: ")
    assert part in message
    assert ";" in message  # the remedy


def _nothing(path: Path) -> None:
    """Leave the place empty."""


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


PLACES: list[tuple[str, Callable[[Path], None], str]] = [
    ("dataset", _nothing, "expected a data file or a folder, found nothing at {path}; check the path"),
    ("dataset", os.mkfifo, "got {path}, which is neither; name another"),
    ("dataset", _loop, "got {path}, which is neither; name another"),
    ("dataset", Path.mkdir, "expected data files in {path}, found none that can be read"),
    ("git", _nothing, "expected a git repository at {path}, found nothing"),
    ("git", Path.touch, "expected a git repository at {path}, found a file"),
    ("git", Path.mkdir, "expected a git repository at {path}, found a folder without one; name a repository or run"),
    ("git", _loop, "expected a git repository at {path}, found nothing"),
    ("docs", _nothing, "expected a folder, a Markdown or a reStructuredText file at {path}, found nothing"),
    ("docs", Path.touch, "got ''; name a Markdown file or a folder with some"),
    ("routing", _nothing, "decisions, or a folder with some, at {path}, got nothing; leave the location out"),
]


@pytest.mark.parametrize(("kind", "make", "part"), PLACES)
def test_a_place_that_is_not_what_it_should_be(
    refused: Any, run: Any, tmp_path: Path, kind: str, make: Callable[[Path], None], part: str
) -> None:
    path = tmp_path / "place\x1b\nof mine"
    make(path)
    assert part.format(path=path) in refused("collect", kind, path)
    shown = run("collect", kind, path)
    assert (shown.code, shown.out, shown.err.count("\n")) == (1, "", 1)
    assert "\x1b" not in shown.err


def test_an_empty_repository(refused: Any, run: Any, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path / "new"], check=True)
    assert "has no commits; commit something first" in refused("collect", "git", tmp_path / "new")


def test_repositories_of_every_make_are_read(run: Any, tmp_path: Path) -> None:
    def git(*arguments: object) -> None:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        subprocess.run(["git", *who, *map(str, arguments)], check=True, capture_output=True)

    for name, options in (("plain", ()), ("sha256", ("--object-format=sha256",))):
        git("init", "-q", *options, tmp_path / name)
        (tmp_path / name / "add.py").write_text("def add(x):\n    return x + 1\n")
        git("-C", tmp_path / name, "add", ".")
        git("-C", tmp_path / name, "commit", "-qm", "Add a function that adds one to its argument")
    git("clone", "-q", "--bare", tmp_path / "plain", tmp_path / "bare")
    git("-C", tmp_path / "plain", "worktree", "add", "-q", "-b", "other", tmp_path / "worktree")
    for name in ("sha256", "bare", "worktree", "plain/.git"):
        assert balanced(run("--json", "collect", "git", tmp_path / name).data)["read"] == 1


@pytest.mark.parametrize("kind", ["git", "docs", "dataset"])
def test_a_kind_without_a_location(refused: Any, kind: str) -> None:
    message = refused("collect", kind, code=2)
    assert f"the source '{kind}' needs a location, got none" in message
    assert f"samloop collect {kind} LOCATION" in message


def test_names_that_do_not_exist(refused: Any) -> None:
    assert "no source called 'gti'; did you mean 'git'?" in refused("collect", "gti", ".")
    assert "--format to be one of auto" in refused("examples", "export", "-o", "x", "-f", "no", code=2)
    assert "found none; write it out" in refused("collect", "git", "~no-such-user/x", code=2)


# --- single bad records: counted and listed, and the rest goes in --------------------------------------------------

RECORDS: dict[str, tuple[bytes, dict[str, int], int]] = {
    "broken JSON": (GOOD + b'\n{"instruction": "half\n' + OTHER, {"broken JSON": 2}, 2),
    "invalid UTF-8": (GOOD + b"\n" + line("#").replace(b"#", b"\xff\xfe") + b"\n" + OTHER, {"not valid UTF-8": 2}, 2),
    "NUL byte": (GOOD + b"\n" + line("#").replace(b"#", b"l\0ck") + b"\n" + OTHER, {"NUL byte": 2}, 2),
    "nested too deeply to read": (GOOD + b"\n" + DEEP + b"\n" + OTHER, {"nested too deeply": 2}, 2),
    "metadata nested deeply": (GOOD + b"\n" + NESTED + b"\n" + OTHER, {}, 3),
    "endless number": (GOOD + b'\n{"instruction": ' + b"9" * 6000 + b"}\n" + OTHER, {"number out of range": 2}, 2),
    "unknown format": (GOOD + b'\n{"foo": 1}\n' + OTHER, {"unknown format": 2}, 2),
    "plain values": (GOOD + b'\n"text"\n' + OTHER, {"not an object": 2}, 2),
    "an array on the first line": (b"[1, 2]\n" + GOOD + b"\n" + OTHER, {"not an object": 1}, 2),
    "blank lines, BOM, CRLF": (b"\xef\xbb\xbf" + GOOD + b"\r\n\r\n  \n" + OTHER + b"\r\n", {}, 2),
    "brackets without end": (b"[" + GOOD + b"," + OTHER + b"," + b"[" * 20_000, {"nested too deeply": 3}, 2),
    "array that breaks off": (b"[" + GOOD + b"," + OTHER + b',{"instr', {"truncated file": 3}, 2),
    "columns": (b"instruction,output\nWhat is a cat?,A beast that purrs.\none\n", {"wrong number of columns": 3}, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_a_bad_record_is_listed_and_the_rest_goes_in(run: Any, tmp_path: Path, name: str) -> None:
    content, reasons, stored = RECORDS[name]
    path, rejects = tmp_path / "data.jsonl", tmp_path / "rejects.jsonl"
    path.write_bytes(content)
    totals = balanced(run("--json", "collect", "dataset", path, "--rejects", rejects).data)
    assert totals["added"] + totals["review"] == stored
    assert totals["rejected"] == len(reasons)
    listed = [json.loads(entry) for entry in rejects.read_bytes().splitlines()]
    found = {entry["reason"]: entry["line"] for entry in listed if entry["detail"] != "review"}
    assert found == reasons
    assert all(entry["location"].startswith(str(path)) for entry in listed)


@pytest.mark.parametrize("cut", ["cut off", "damaged"])
def test_what_lies_before_the_damage_of_a_compressed_file_goes_in(run: Any, tmp_path: Path, cut: str) -> None:
    whole = gzip.compress(b"\n".join(line(f"device number {i}") for i in range(3000)))
    half = whole[: len(whole) // 2]
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(half if cut == "cut off" else half + b"\xff" * 200 + whole[len(half) + 200 :])
    totals = balanced(run("--json", "collect", "dataset", path).data)
    assert totals["added"] > 1000
    assert totals["rejected"] >= 1


def test_a_bomb_is_not_unpacked(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(GOOD + b"\n")
    bomb = gzip.compress(b" " * 2**24)
    with path.open("ab") as file:
        for _ in range(24):  # 384 MiB in members of 16 KiB each
            file.write(bomb)
    data = run("--json", "collect", "dataset", path).data
    assert balanced(data) | {"redacted": {}, "seconds": 0} == dict.fromkeys(("duplicate", "review"), 0) | {
        "read": 2,
        "added": 1,
        "rejected": 1,
        "redacted": {},
        "seconds": 0,
    }
    assert data["sources"][0]["reasons"] == {"unpacks to too much": 1}


@pytest.mark.slow
def test_a_line_of_200_mb_takes_no_more_memory_than_is_allowed_for_one(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(GOOD + b'\n{"instruction": "')
        for _ in range(200):
            file.write(b"x" * 2**20)
        file.write(b'"}\n' + OTHER + b"\n")
    tracemalloc.start()
    try:
        totals = balanced(run("--json", "collect", "dataset", path).data)
        assert tracemalloc.get_traced_memory()[1] < 150 * 2**20
    finally:
        tracemalloc.stop()
    assert (totals["added"], totals["rejected"]) == (2, 1)


def test_file_names_that_are_no_text(refused: Any, run: Any, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    names = (b"bad\xff\xfe", b"new\nline", b"red\x1b[31m", "\u202eright".encode())
    for name in names:
        (folder / os.fsdecode(name + b".jsonl")).write_bytes(line(name[:3].hex()) + b"\nbroken {\n")
        (folder / os.fsdecode(name + b".md")).write_bytes(b"# Guide to " + name[:3].hex().encode() + b"\n\n#\n")
    rejects = tmp_path / "rejects.jsonl"
    totals = balanced(run("--json", "collect", "dataset", folder, "--rejects", rejects).data)
    assert (totals["added"], totals["rejected"]) == (4, 4)
    told = {json.loads(entry)["location"] for entry in rejects.read_bytes().splitlines()}
    assert f"{folder}/bad\\xff\\xfe.jsonl" in told
    assert balanced(run("--json", "collect", "dataset", folder).data)["read"] == 0
    assert run("collect", "docs", folder).code == 0
    shown = run("examples", "list")
    assert (shown.code, "\x1b" in shown.out) == (0, False)
    missing = os.fsdecode(bytes(folder) + b"/none\xff")
    assert f"at {folder}/none\\xff, found nothing" in refused("collect", "git", missing)


# --- a home and a store that cannot be used -----------------------------------------------------------------------


def _not_a_database(file: Path) -> None:
    file.write_bytes(b"this is a letter and no database at all, however you look at it")


def _overwritten(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(bytes(range(256)) * 400)


def _newer(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def _foreign(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("DROP TABLE alembic_version")


def _without_a_table(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("DROP TABLE training_examples")


@pytest.mark.parametrize(
    ("harm", "part"),
    [
        (_not_a_database, "got a file that is no database; move it away"),
        (_overwritten, "is damaged; restore it from a backup"),
        (_newer, "was written by a newer samloop (schema 9999"),
        (_foreign, "got the database of another program; choose another home"),
        (_without_a_table, "has lost a part (no such table: training_examples); restore it from a backup"),
    ],
)
def test_a_store_that_is_none(run: Any, home: Path, harm: Callable[[Path], None], part: str) -> None:
    assert run("stats", "summary").code == 0
    harm(home / "samloop.db")
    before = (home / "samloop.db").read_bytes()
    ran = run("--json", "examples", "list")
    assert (ran.code, ran.err) == (1, "")
    assert part in ran.error["message"]
    assert str(home / "samloop.db") in ran.error["message"]
    assert (home / "samloop.db").read_bytes() == before


def test_a_home_that_is_a_file(run: Any, home: Path) -> None:
    home.write_text("mine")
    message = run("--json", "stats", "summary").error["message"]
    assert message.startswith(f"expected a folder as samloop home at {home}, found a file; choose another")
    assert home.read_text() == "mine"


def test_a_home_that_has_no_name_in_text(program: Any, tmp_path: Path) -> None:
    ran = program("--json", "--home", os.fsdecode(bytes(tmp_path) + b"/\xff"), "stats", "summary")
    assert ran.code == 1
    assert "whose path is UTF-8" in ran.error["message"]


def test_a_store_that_another_process_holds(run: Any, home: Path, tmp_path: Path) -> None:
    recipe, data = tmp_path / "recipe.toml", tmp_path / "data.jsonl"
    recipe.write_text("[store]\nbusy_timeout_seconds = 0.2\n")
    data.write_bytes(GOOD + b"\n")
    assert run("stats", "summary").code == 0
    other = sqlite3.connect(home / "samloop.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ran = run("--json", "--config", recipe, "collect", "dataset", data)
    assert (ran.code, ran.error["code"]) == (1, "store_busy")
    assert "is being written by another process; tried for 0.2 s: try again" in ran.error["message"]
    other.execute("ROLLBACK")
    other.close()
    assert balanced(run("--json", "--config", recipe, "collect", "dataset", data).data)["added"] == 1


def obeying(arguments: list[str]) -> list[str]:
    """The command for a user who is bound by permissions; root gives its privileges away for it."""
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *arguments] if os.geteuid() == 0 else arguments


def test_a_home_that_is_read_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o500)
    for place, part in ((home, f"{home} is read-only; make it writable"), (home / "new", "cannot be created")):
        done = subprocess.run(
            obeying([sys.executable, "-m", "samloop", "--home", str(place), "stats", "summary"]),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert part in done.stderr
    assert list(home.iterdir()) == []
    home.chmod(0o700)


def test_a_file_and_a_folder_that_may_not_be_read(run: Any, home: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "closed").mkdir(parents=True)
    for name in ("a.jsonl", "b.jsonl", "closed/c.jsonl"):
        (tree / name).write_bytes(line(name[:-6]) + b"\n")
    (tree / "b.jsonl").chmod(0)
    (tree / "closed").chmod(0)

    def collect(place: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "samloop", "--home", str(home), "--json", "collect", "dataset", str(place)]
        return subprocess.run(obeying(command), capture_output=True, text=True, check=False)

    alone = collect(tree / "b.jsonl")
    assert alone.returncode == 1
    assert "b.jsonl cannot be read (Permission denied); check its permissions" in alone.stdout
    totals = balanced(json.loads(collect(tree).stdout)["data"])
    assert (totals["added"], totals["rejected"]) == (1, 2)
    (tree / "b.jsonl").chmod(0o600)
    (tree / "closed").chmod(0o700)
    assert balanced(run("--json", "collect", "dataset", tree).data)["added"] == 2


def test_a_full_disk_leaves_whole_batches_and_goes_on_after(home: Path, run: Any, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_bytes(b"\n".join(line(f"device number {i}", metadata={"n": i}) for i in range(3000)))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[collect]\nbatch_examples = 256\n")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))

    command = [sys.executable, "-m", "samloop", "--home", home, "--config", recipe, "--json", "collect", "dataset"]
    done = subprocess.run([*command, data], capture_output=True, text=True, check=False, preexec_fn=limited)
    assert done.returncode == 1, done.stdout
    message = json.loads(done.stdout)["error"]["message"]
    assert str(home / "samloop.db") in message
    assert "nothing of this write was kept" in message
    kept = run("--json", "stats", "summary").data["overall"]["total_examples"]
    assert kept % 256 == 0
    again = balanced(run("--json", "--config", recipe, "collect", "dataset", data).data)
    assert run("--json", "stats", "summary").data["overall"]["total_examples"] == 3000
    assert (again["read"], again["duplicate"]) == (3000, kept)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_where_output_goes(refused: Any, run: Any, program: Any, home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_bytes(GOOD + b"\nbroken {\n")
    message = refused("collect", "dataset", data, "--rejects", "/dev/full")
    assert "the list of rejects could not be written to /dev/full (No space left on device); free some" in message
    assert run("collect", "dataset", data).code == 0
    message = refused("examples", "export", "-o", "/dev/full")
    assert "the export /dev/full cannot be written (No space left on device)" in message
    assert Path("/dev/full").is_char_device()  # a device is written to and never replaced
    for flags in ([], ["--json"]):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "samloop", "--home", home, *flags, "examples", "list"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        assert done.stderr.startswith("samloop: standard output: No space left on device; free some space")
        assert done.stderr.count("\n") == 1


def test_streams_that_were_closed_before(home: Path) -> None:
    command = [sys.executable, "-m", "samloop", "--home", str(home), "--json", "examples", "list"]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], check=False)
    assert done.returncode == 0


# --- Ctrl-C -------------------------------------------------------------------------------------------------------


def interrupted(arguments: list[str], ready: Callable[[], bool]) -> subprocess.CompletedProcess[str]:
    """Run samloop, press Ctrl-C when it is `ready`, and wait for its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "samloop", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not ready():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def stored(home: Path) -> int:
    """How many examples another process has stored so far."""
    try:
        with closing(sqlite3.connect(f"file:{home / 'samloop.db'}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM training_examples").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_ctrl_c_while_collecting_loses_nothing(run: Any, home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_bytes(b"\n".join(line(f"device number {i}", metadata={"n": "x" * 400}) for i in range(8000)))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[collect]\nbatch_examples = 64\n")
    command = ["--home", str(home), "--config", str(recipe), "--json", "collect", "dataset", str(data)]
    ended = interrupted(command, lambda: stored(home) > 0)
    assert ended.returncode == 130
    assert json.loads(ended.stdout)["error"]["code"] == "interrupted"
    assert "Traceback" not in ended.stderr
    kept = stored(home)
    assert 0 < kept < 8000
    again = balanced(run("--json", "collect", "dataset", data).data)
    assert stored(home) == 8000
    assert kept + again["added"] == 8000


@pytest.fixture
def routed(run: Any, tmp_path: Path) -> None:
    """A store with enough to train on."""
    data = tmp_path / "data.jsonl"
    data.write_bytes(b"\n".join(line(f"device number {i}") for i in range(100)))
    assert run("collect", "dataset", data).code == 0


@pytest.mark.slow
def test_ctrl_c_while_training_keeps_the_steps_taken(run: Any, home: Path, tmp_path: Path, routed: None) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[train]\nmodel = "pocket"\nbackend = "torch"\nbatch_examples = 2\nreport_steps = 1\nmin_new_examples = 1\n'
    )
    command = ["--home", str(home), "--config", str(recipe), "--json", "train"]

    def steps() -> list[int]:
        files = list(home.glob("runs/*/metrics.jsonl"))
        return [json.loads(entry)["step"] for entry in files[0].read_bytes().splitlines()] if files else []

    ended = interrupted(command, lambda: len(steps()) >= 3)
    assert ended.returncode == 130
    assert "stopping: the worker ends its step and keeps what it has" in ended.stderr
    assert run("--json", "runs", "show").data["state"] == "stopped"
    before = steps()
    result = run("--json", "--config", recipe, "train").data
    assert (result["state"], result["steps"]) == ("completed", steps()[-1])
    assert steps()[len(before)] == before[-1] + 1  # it went on, and did not begin again
