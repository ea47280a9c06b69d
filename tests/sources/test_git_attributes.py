"""What a repository says of its own files, and that the code and git sources heed it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from samloop.example import Example
from samloop.protocols import Record, Reject
from samloop.sources import code_patterns, git_commits
from samloop.sources.git_attributes import Attributes

GENERATED = " linguist-generated"


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("*.gen.ts", ["a.gen.ts", "deep/er/b.gen.ts"], ["a.ts", "a.gen.ts/b.ts"]),
        ("/schema.py", ["schema.py"], ["deep/schema.py", "schema.pyi"]),
        ("api/*.py", ["api/a.py"], ["api/v1/a.py", "other/api/a.py"]),
        ("api/**", ["api/a.py", "api/v1/a.py"], ["api", "apis/a.py"]),
        ("**/mocks/*", ["mocks/a.py", "x/y/mocks/a.py"], ["x/mocks/y/a.py"]),
        ("a/**/z.py", ["a/z.py", "a/b/c/z.py"], ["a/b/z.pyc"]),
        ("v?[0-9].js", ["v11.js", "deep/vx3.js"], ["v1.js", "v1x.js"]),
        ("[!a-c].js", ["d.js"], ["a.js"]),
        ('"with blank.py"', ["with blank.py"], ["with"]),
        ("*a*b*.js", ["xaybz.js", "ab.js.js"], ["ba.js"]),
        (r"\*.js", ["*.js"], ["a.js"]),
        ("folder/", [], ["folder/a.py", "folder"]),
        ("*" + "a*" * 60, ["a" * 61], ["b" * 200]),
        ("**/" * 40 + "b", [], ["a/" * 60 + "c"]),
        ("[z-a].js", [], ["b.js"]),
    ],
)
def test_patterns_match_as_git_matches_them(pattern: str, inside: list[str], outside: list[str]) -> None:
    attributes = Attributes()
    attributes.add("", pattern + GENERATED)
    assert [path for path in inside + outside if attributes.leave_out(path)] == inside


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("a.py linguist-generated", True), ("a.py linguist-generated=true", True), ("a.py linguist-vendored", True),
        ("a.py -linguist-generated", False), ("a.py linguist-vendored=false", False), ("a.py text", False),
        ("a.py text linguist-generated=true diff=python", True), ("# a.py linguist-generated", False),
        ("a.py linguist-documentation", False), ("[attr]a.py linguist-generated", False),
        ("linguist-generated", False), ("!a.py linguist-generated", False),
    ],
)  # fmt: skip
def test_a_line_says_so_or_not(line: str, out: bool) -> None:
    attributes = Attributes()
    attributes.add("", line)
    assert attributes.leave_out("a.py") is out


def test_the_last_word_counts_and_a_folder_speaks_of_itself_alone() -> None:
    attributes = Attributes()
    attributes.add("", "*.py linguist-generated\nkept.py -linguist-generated")
    attributes.add("sub", "*.py !linguist-generated\n/own.py linguist-vendored")
    paths = ("a.py", "kept.py", "sub/a.py", "sub/own.py", "own.py", "subs/a.py")
    assert [path for path in paths if attributes.leave_out(path)] == ["a.py", "sub/own.py", "own.py", "subs/a.py"]


CODE = '''\
def {name}(levels):
    """Count how often the water in basin {name} was lower than on the day before."""
    pairs = zip(levels, levels[1:])
    return sum(after < before for before, after in pairs)
'''


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "waterworks"
    (root / "api").mkdir(parents=True)
    git(root, "init", "-q")
    (root / ".gitattributes").write_text("schema.py linguist-generated=true\n")
    (root / "api" / ".gitattributes").write_text("pad.py linguist-vendored\n")
    for name in ("schema", "own", "api/pad", "api/served"):
        (root / f"{name}.py").write_text(CODE.format(name=name.rpartition("/")[2]))
    commit(root, "Count the days on which the water fell")
    for name in ("own", "schema", "api/pad"):
        path = root / f"{name}.py"
        path.write_text(path.read_text().replace("after < before", "after <= before"))
        commit(root, f"Fix the count of days without rain in basin {name}")
    return root


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=A Person", "-c", "user.email=a.person@example.org", "commit", "-qm", message)


def told(records: list[Record]) -> set[tuple[str, str]]:
    return {
        (record.location.rpartition("/")[2].rpartition(":")[2], record.reason)
        for record in records
        if isinstance(record, Reject)
    }


@pytest.mark.parametrize("bare", [False, True])
def test_code_that_a_repository_calls_generated_is_left_out(repository: Path, bare: bool) -> None:
    place = repository
    if bare:
        git(repository, "clone", "-q", "--bare", ".", "../waterworks.git")
        place = repository.parent / "waterworks.git"
    records = list(code_patterns.read(str(place), None))
    paths = {record.metadata["path"] for record in records if isinstance(record, Example)}
    assert paths == {"own.py", "api/served.py"}
    reason = "file is generated or of others"
    assert told(records) >= {("schema.py", reason), ("pad.py", reason)}
    fixes = [r.metadata["path"] for r in records if isinstance(r, Example) and r.metadata["kind"] == "fix"]
    assert fixes == ["own.py"]


def test_a_folder_in_a_repository_heeds_the_attributes_above_it(repository: Path) -> None:
    (repository / ".gitattributes").write_text("api/served.py linguist-generated\n")
    records = list(code_patterns.read(str(repository / "api"), None))
    assert not [record for record in records if isinstance(record, Example)]
    assert {reason for _, reason in told(records)} == {"file is generated or of others"}


def test_commits_to_such_files_alone_are_turned_away(repository: Path) -> None:
    records = list(git_commits.read(str(repository), None))
    examples = [record for record in records if isinstance(record, Example)]
    assert [example.output_text for example in examples] == [
        "Count the days on which the water fell",
        "Fix the count of days without rain in basin own",
    ]
    assert "api/served.py" in examples[0].input_text and "@" not in examples[0].input_text.partition("schema")[2][:40]
    reasons = [record.reason for record in records if isinstance(record, Reject)]
    assert reasons == ["changes only lock, generated or binary files"] * 2
