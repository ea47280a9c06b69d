"""Trees of documents: what is left out, what goes wrong while reading, and processes beside this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from samloop.errors import SamloopError
from samloop.example import Example
from samloop.protocols import Mark, Record, Reject
from samloop.sources import knowledge, tree
from samloop.sources.english import translations
from samloop.sources.knowledge import read
from samloop.sources.project import project_of
from samloop.sources.tree import Tree
from samloop.sources.tree_workers import TreeWorkers

PROSE = "The pump moves water from the well to the house, and it needs a valve that is open on both of its sides."


def page(number: int) -> str:
    return f"# Page {number}\n\n" + "\n".join(
        f"## What does valve {number}-{part} do?\n\nIt is valve {number}-{part}. {PROSE}\n" for part in range(5)
    )


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def kept(records: list[Record]) -> list[Record]:
    return [record for record in records if not isinstance(record, Mark)]


def test_other_processes_read_the_same_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"part{number % 7}/{number}.md": page(number) for number in range(260)}
    root = write(tmp_path, {**files, "part3/changelog.md": page(1), "de/a.md": page(2), "en/a.md": page(3)})
    alone = list(read(str(root), None, workers=0))
    monkeypatch.setattr(knowledge, "ALONE_BYTES", 20_000)
    monkeypatch.setattr(
        TreeWorkers, "ready", property(lambda self: all(begun.result() is None for begun in self._begun))
    )
    beside = list(read(str(root), None, workers=2))
    assert kept(beside) == kept(alone)
    assert beside[-1] == alone[-1]
    assert list(read(str(root), beside[-1].value, workers=2)) == [beside[-1]]  # type: ignore[union-attr]


def test_a_process_that_dies_is_told_in_one_sentence(tmp_path: Path) -> None:
    root = write(tmp_path, {f"{number}.md": page(number) for number in range(3)})
    with TreeWorkers(Tree(root, project_of(root), 1600), 1) as workers:
        while not workers.ready:
            pass
        for process in workers._processes:
            process.kill()
            process.wait()
        with pytest.raises(SamloopError, match="ended before it answered") as caught:
            list(workers.read(iter([((str(root / "0.md"), "0.md", None), 100)])))
    assert "\n" not in str(caught.value)


def test_translations_are_told_once_and_left_out(tmp_path: Path) -> None:
    root = write(tmp_path, {"en/a.md": page(1), "de/a.md": page(2), "pt-BR/a.md": page(3)})
    records = list(read(str(root), None))
    assert {r.source_id.split("#")[0] for r in records if isinstance(r, Example)} == {"en/a.md"}
    assert [(r.id, r.reason) for r in records if isinstance(r, Reject) and r.id in ("de/", "pt-BR/")] == [
        ("de/", "folder holds a translation"),
        ("pt-BR/", "folder holds a translation"),
    ]
    assert isinstance(records[-1], Mark)
    assert list(read(str(root), records[-1].value)) == [records[-1]]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["en", "de"], {"de"}), (["de", "fr", "zh_CN", "src"], {"de", "fr", "zh_CN"}), (["de", "src"], set()),
        (["is", "en", "it-works"], {"is"}), ([], set()),
    ],
)  # fmt: skip
def test_folders_of_languages_are_told_by_their_company(names: list[str], found: set[str]) -> None:
    assert translations(names) == found


def test_a_file_that_grows_while_it_is_read_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, {"a.md": page(1)}) / "a.md"
    first_bytes = tree.first_bytes

    def growing(found: Path, count: int) -> bytes:
        with path.open("a") as file:
            file.write(f"\n## And at night?\n\n{PROSE}\n")
        return first_bytes(found, count)

    monkeypatch.setattr(tree, "first_bytes", growing)
    mark = list(read(str(tmp_path), None))[-1]
    monkeypatch.undo()
    assert isinstance(mark, Mark)
    assert mark.value["files"]["a.md"][0] == -1
    again = list(read(str(tmp_path), mark.value))
    assert kept(again) == []  # the same bytes: nothing doubles
    assert again[-1].value["files"]["a.md"][0] == path.stat().st_size  # type: ignore[union-attr]


def test_a_file_that_vanishes_is_named_and_the_rest_goes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path, {"a.md": page(1), "b.md": page(2)})
    first_bytes = tree.first_bytes

    def vanishing(found: Path, count: int) -> bytes:
        if found.name == "a.md":
            found.unlink()
        return first_bytes(found, count)

    monkeypatch.setattr(tree, "first_bytes", vanishing)
    records = list(read(str(root), None))
    assert [r.reason for r in records if isinstance(r, Reject) and r.location.endswith("a.md")] == [
        "file cannot be read"
    ]
    assert {r.metadata["path"] for r in records if isinstance(r, Example)} == {"b.md"}
    assert isinstance(records[-1], Mark)
    assert list(records[-1].value["files"]) == ["b.md"]


def test_links_are_not_followed_and_deep_folders_are_walked(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(300):
        deep = deep / "d"
    write(deep, {"a.md": page(1)})
    (deep / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "itself.md").symlink_to(tmp_path / "itself.md")
    os.mkfifo(tmp_path / "pipe.md")
    records = kept(list(read(str(tmp_path), None)))
    assert {Path(r.metadata["path"]).name for r in records if isinstance(r, Example)} == {"a.md"}


def test_the_project_is_named_by_readme_or_manifest(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(
        tmp_path,
        {
            "pyproject.toml": '[project]\nname = "pump-docs"\ndescription = "Moves water to the house."\n',
            "docs/a.md": "",
        },
    )
    found = project_of(tmp_path / "docs")
    assert (found.name, found.introduced) == ("pump", "pump: Moves water to the house.")
    write(tmp_path, {"README.md": "# What is a pump?\n\nIt is one.\n"})
    assert project_of(tmp_path).name == "pump"
