from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from samloop import pocket
from samloop.errors import ModelError
from samloop.text import base
from samloop.text.base import base_digest, resolve_base


@pytest.fixture
def model(tmp_path):
    """A folder with the files of a model; what stands in them does not matter here."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text(name)
    return folder


def test_pocket_is_the_bundled_model():
    assert resolve_base("pocket") == pocket.path()
    assert (pocket.path() / "model.safetensors").is_file()


def test_a_folder_is_taken_as_it_is(model, monkeypatch):
    assert resolve_base(str(model)) == model
    monkeypatch.chdir(model.parent)
    assert resolve_base("model") == model
    monkeypatch.setenv("HOME", str(model.parent))
    assert resolve_base("~/model") == model


@pytest.mark.parametrize("name", ["", "/no/such/folder", "./none", "a/b/c", "../x", "~/none"])
def test_no_such_folder(name):
    with pytest.raises(ModelError, match=r"found none; check train\.model"):
        resolve_base(name)


def test_a_hub_name_that_was_never_downloaded_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"download it once with: hf download someone/something$"):
        resolve_base("someone/something")


def test_a_hub_name_in_the_cache_is_found_without_the_network(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    snapshot = cached(tmp_path, "someone/something", "c" * 40)
    real = hub.snapshot_download
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **options: real(name, cache_dir=tmp_path, **options))
    assert resolve_base("someone/something").samefile(snapshot)


@pytest.mark.parametrize(
    ("gone", "says"), [("config.json", "holds no config.json"), ("model.safetensors", "no weights as")]
)
def test_an_incomplete_folder(model, gone, says):
    (model / gone).unlink()
    (model / "pytorch_model.bin").write_text("a pickle is no substitute")
    with pytest.raises(ModelError, match=says):
        resolve_base(str(model))


def test_the_digest_depends_on_content_and_not_on_place(model, tmp_path):
    digest = base_digest(model)
    assert len(digest) == 64
    (model / "notes.txt").write_text("not part of the model")
    shutil.copytree(model, tmp_path / "elsewhere")
    assert base_digest(tmp_path / "elsewhere") == digest
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / "elsewhere" / name).write_text("changed")
        changed = base_digest(tmp_path / "elsewhere")
        assert changed != digest
        digest = changed


def test_files_are_read_once_with_a_cache(model, tmp_path, monkeypatch):
    cache = tmp_path / "digests.json"
    digest = base_digest(model, cache)
    monkeypatch.setattr(base.hashlib, "file_digest", None)
    assert base_digest(model, cache) == digest
    with pytest.raises(TypeError):
        base_digest(model)


def test_a_changed_file_is_read_again_in_spite_of_the_cache(model, tmp_path):
    cache = tmp_path / "digests.json"
    digest = base_digest(model, cache)
    (model / "config.json").write_text("something longer")
    assert base_digest(model, cache) == base_digest(model) != digest


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_broken_cache_is_made_anew(model, tmp_path, content):
    cache = tmp_path / "digests.json"
    cache.write_bytes(content)
    assert base_digest(model, cache) == base_digest(model)
    assert len(json.loads(cache.read_bytes())) == 3


def test_a_cache_that_cannot_be_written_does_not_hinder(model, tmp_path):
    assert base_digest(model, tmp_path / "no such folder" / "digests.json") == base_digest(model)


def test_large_files_of_the_hub_cache_are_known_by_their_name(tmp_path, monkeypatch):
    snapshot = cached(tmp_path, "someone/something", "c" * 40)
    whole = base_digest(snapshot)
    plain = tmp_path / "plain"
    shutil.copytree(snapshot, plain, symlinks=False)
    assert base_digest(plain) == whole


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_there_is_no_digest_of_nothing(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="found no model in it"):
        base_digest(tmp_path / folder)


def cached(root: Path, name: str, revision: str) -> Path:
    """A model in the layout of the Hugging Face cache: a snapshot of links into blobs named by their SHA-256."""
    repo = root / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(revision)
    for file, content in (("config.json", b"{}"), ("tokenizer.json", b"{}"), ("model.safetensors", b"weights")):
        blob = repo / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / file).symlink_to(blob)
    return snapshot
