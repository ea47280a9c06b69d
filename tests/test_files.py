"""Files that are whole or not there."""

import errno
import os
import stat

import pytest

from samloop.errors import StoreError
from samloop.files import private_folder, sha256_file, storing, whole_folder, write_atomic, write_json


def test_write_is_private_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": 1})
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert sha256_file(path) == "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_atomic(path, b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="free some space"), storing("the thing", path):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(ValueError, match="stop"), whole_folder(tmp_path / "x") as folder:
        (folder / "part").write_text("1")
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []
    with whole_folder(tmp_path / "x") as folder:
        (folder / "part").write_text("1")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x" / "part").read_text() == "1"


def test_a_folder_that_exists_is_kept(tmp_path):
    for text in ("first", "second"):
        with whole_folder(tmp_path / "x") as folder:
            (folder / "part").write_text(text)
    assert (tmp_path / "x" / "part").read_text() == "first"


def test_a_private_folder_is_private_all_the_way_down(tmp_path):
    made = private_folder(tmp_path / "a" / "b" / "c")
    assert [folder.stat().st_mode & 0o777 for folder in (made, *made.parents[:2])] == [0o700] * 3
    assert private_folder(made) == made
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        private_folder(tmp_path / "file")
