from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapter_world import add_adapter, build
from safetensors.numpy import load_file, save_file

from samloop import pocket
from samloop.adapters import archive as archives
from samloop.adapters.registry import Registry
from samloop.errors import InputError, ModelError, NotFoundError, UsageError
from samloop.home import Home
from samloop.loop.carry import export_adapter, import_adapter
from samloop.loop.context import Context, open_context
from samloop.recipe import Recipe

WEIGHTS, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "manifest.json"


def opened(folder: Path) -> Any:
    home = Home(folder)
    home.create()
    home.recipe.write_text('[train]\nmodel = "pocket"\n')
    return open_context(home)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Context]:
    with opened(tmp_path / "there") as context:
        yield context


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Context]:
    with opened(tmp_path / "here") as context:
        yield context


SECRET_URL = "postgresql://user:" + "pass" + "word@db/sam"


@pytest.fixture
def name(there: Context) -> str:
    """A trained adapter in the registry of the first home, with a recipe that says more than others should know."""
    recipe = Recipe.parse(
        {
            "store": {"url": SECRET_URL},
            "collect": {"sources": [{"kind": "docs", "location": "/home/alice/notes"}]},
            "curate": {"redact": {"names": ["Project Hush"]}},
            "train": {"model": "/home/alice/models/tiny", "rank": 4},
        }
    )
    there.store.add_run(
        "run-1", dataset_digest="d" * 32, backend="torch", base="pocket", revision=1, recipe=recipe.to_dict(full=True)
    )
    (there.home.runs / "run-1").mkdir(parents=True)
    add_adapter(pocket.path(), there.home.runs / "run-1" / "adapter", name="pocket")
    registry = Registry(there.home, there.store)
    found = registry.register("run-1", "main")
    registry.record_scores(found, [{"name": "perplexity", "mean": 2.0}])
    return found


@pytest.fixture
def carried(there: Context, name: str, tmp_path: Path) -> Path:
    export_adapter(there, name, out=str(tmp_path / "sam.zip"))
    return tmp_path / "sam.zip"


def test_an_adapter_goes_from_one_home_to_another(there: Context, here: Context, name: str, tmp_path: Path) -> None:
    result = export_adapter(there, name[:8], out=str(tmp_path / "sam.zip"))
    assert (result["adapter"], result["files"]) == (name, [MANIFEST, CONFIG, WEIGHTS])
    assert oct((tmp_path / "sam.zip").stat().st_mode & 0o777) == "0o600"
    taken = import_adapter(here, str(tmp_path / "sam.zip"))
    assert (taken["adapter"], taken["known"], taken["verified"], taken["base"]) == (name, False, True, "pocket")
    registry = Registry(here.home, here.store)
    row = here.store.get_adapter(name)
    assert (row["state"], row["run_id"], row["dataset_digest"]) == ("candidate", None, "d" * 32)
    assert row["lineage"]["lineage"] == "imported"
    assert row["lineage"]["origin"]["run_id"] == "run-1"
    assert row["lineage"]["origin"]["recipe"]["train"]["rank"] == 4
    assert not row["scores"].get("suites")
    assert registry.verify(name) == []
    theirs = Registry(there.home, there.store).path(name)
    assert (registry.path(name) / WEIGHTS).read_bytes() == (theirs / WEIGHTS).read_bytes()
    assert import_adapter(here, str(tmp_path / "sam.zip"))["known"] is True
    registry.promote("main", name)
    assert not list(here.home.path.glob(".import*"))


def test_an_archive_says_nothing_of_the_house_it_comes_from(carried: Path) -> None:
    with zipfile.ZipFile(carried) as packed:
        said = packed.read(MANIFEST).decode() + packed.read(CONFIG).decode()
    for private in ("alice", "Hush", "postgresql", "notes", "redact"):
        assert private not in said
    assert json.loads(packed_manifest(carried))["recipe"]["train"]["model"] == "tiny"


def packed_manifest(path: Path) -> bytes:
    with zipfile.ZipFile(path) as packed:
        return packed.read(MANIFEST)


def test_equal_adapters_are_equal_archives(there: Context, name: str, tmp_path: Path) -> None:
    for out in ("one.zip", "two.zip"):
        export_adapter(there, name, out=str(tmp_path / out))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.mark.parametrize("layout", ["peft", "mlx"])
def test_a_folder_of_another_program_is_taken(here: Context, tmp_path: Path, layout: str) -> None:
    from dataclasses import replace

    from samloop.train.adapter import Adapter

    folder = add_adapter(pocket.path(), tmp_path / "theirs")
    adapter = replace(Adapter.read(folder), base_fingerprint="")
    shutil.rmtree(folder)
    folder.mkdir()
    adapter.write(folder, (layout,))
    (folder / "optimizer.pt").write_bytes(b"left behind")
    taken = import_adapter(here, str(folder))
    assert (taken["verified"], taken["rank"]) == (False, 4)
    registry = Registry(here.home, here.store)
    assert "optimizer.pt" not in {path.name for path in registry.path(taken["adapter"]).iterdir()}
    assert here.store.get_adapter(taken["adapter"])["licences"] == ["unknown"]


def test_an_adapter_for_another_base_is_one_sentence(here: Context, carried: Path, tmp_path: Path) -> None:
    other = build(tmp_path / "other")
    with pytest.raises(ModelError, match=r"was trained on pocket, which .*/other is not; name its own with --base"):
        import_adapter(here, str(carried), base=str(other))
    from dataclasses import replace

    from samloop.train.adapter import Adapter

    folder = add_adapter(other, tmp_path / "theirs")
    replace(Adapter.read(folder), base_fingerprint="").write(folder)
    with pytest.raises(ModelError, match="it belongs to another base"):
        import_adapter(here, str(folder))
    assert here.store.list_adapters() == []


def repack(path: Path, change: Callable[[dict[str, bytes]], Any]) -> Path:
    with zipfile.ZipFile(path) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def _poison(files: dict[str, bytes]) -> None:
    """NaN weights, with a manifest that fits them."""
    import hashlib

    from safetensors.numpy import load, save

    arrays = load(files[WEIGHTS])
    first = next(iter(arrays))
    files[WEIGHTS] = save({**arrays, first: arrays[first] * np.nan})
    manifest = json.loads(files[MANIFEST])
    manifest["files"][WEIGHTS]["sha256"] = hashlib.sha256(files[WEIGHTS]).hexdigest()
    files[MANIFEST] = json.dumps(manifest).encode()


def _rename(old: str, new: str) -> Callable[[dict[str, bytes]], Any]:
    return lambda files: files.update({new: files.pop(old)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.update({WEIGHTS: f[WEIGHTS][:-1] + b"\0"}), "is not what the manifest's hash says"),
        (lambda f: f.pop(WEIGHTS), f"{WEIGHTS} of the manifest is missing"),
        (lambda f: f.update({MANIFEST: b"{"}), "has no manifest that can be read"),
        (_poison, "hold NaN or infinity"),
        (_rename(WEIGHTS, "../" + WEIGHTS), "the files of one folder"),
        (lambda f: [_rename(n, f"../{n}")(f) for n in list(f)], "which leads elsewhere; it is not unpacked"),
        (lambda f: [_rename(n, f"/{n}")(f) for n in list(f)], "which leads elsewhere"),
        (lambda f: [_rename(n, f"a\\..\\{n}")(f) for n in list(f)], "which leads elsewhere"),
        (lambda f: f.update({"C:evil.json": b"{}"}), "which leads elsewhere"),
        (lambda f: f.update({".bashrc": b""}), "which leads elsewhere"),
        (lambda f: f.update({"optimizer.pt": b"\x80"}), "got 'optimizer.pt'; weights in other formats can run code"),
        (lambda f: f.update({"model.pkl": b"\x80"}), r"got 'model\.pkl'"),
        (lambda f: f.update({"run.py": b""}), r"got 'run\.py'"),
        (lambda f: f.update({CONFIG.upper().replace("JSON", "json"): b""}), "holds a file twice"),
        (lambda f: f.update({f"{n}.json": b"{}" for n in range(40)}), "expected 1 to 32 files"),
        (lambda f: f.clear(), "expected 1 to 32 files"),
    ],
)
def test_an_unsafe_or_damaged_archive_leaves_nothing(
    here: Context, carried: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], Any], message: str
) -> None:
    repack(carried, change)
    before = {path for path in tmp_path.rglob("*") if "samloop.db" not in path.name}
    with pytest.raises(ModelError, match=message):
        import_adapter(here, str(carried))
    assert here.store.list_adapters() == []
    assert {path for path in tmp_path.rglob("*") if "samloop.db" not in path.name} == before


def test_an_archive_of_a_whole_folder_is_taken(here: Context, carried: Path) -> None:
    repack(carried, lambda files: [_rename(name, f"sam/{name}")(files) for name in list(files)])
    assert import_adapter(here, str(carried))["verified"] is True


def test_a_bomb_is_not_unpacked(here: Context, carried: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 1000)
    with pytest.raises(ModelError, match="unpacks to over 0 GiB; no adapter does"):
        import_adapter(here, str(carried))


def test_what_unpacks_to_a_thousand_times_its_size_is_not_unpacked(here: Context, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed, packed.open(WEIGHTS, "w") as weights:
        for _ in range(80):
            weights.write(bytes(2**20))
    with pytest.raises(ModelError, match="unpacks to over 100 times its size"):
        import_adapter(here, str(path))
    assert not list(here.home.path.glob(".import*"))


def test_an_archive_that_tells_a_smaller_size_than_it_has_is_not_trusted(here: Context, carried: Path) -> None:
    with zipfile.ZipFile(carried) as packed:
        told = packed.getinfo(WEIGHTS).file_size
    content = carried.read_bytes()
    carried.write_bytes(content.replace(told.to_bytes(4, "little"), (told // 2).to_bytes(4, "little")))
    with pytest.raises((ModelError, InputError)):
        import_adapter(here, str(carried))
    assert here.store.list_adapters() == []


def test_a_link_in_an_archive_leads_nowhere(here: Context, carried: Path, tmp_path: Path) -> None:
    aim = tmp_path / "aim.json"
    aim.write_text("{}")

    def link(files: dict[str, bytes]) -> None:
        files["notes.json"] = str(aim).encode()

    repack(carried, link)
    with zipfile.ZipFile(carried, "a") as packed:
        entry = zipfile.ZipInfo("more.json")
        entry.external_attr = 0o120777 << 16
        packed.writestr(entry, str(aim))
    name = import_adapter(here, str(carried))["adapter"]
    folder = here.home.adapters / "main" / name
    assert not [path for path in folder.iterdir() if path.is_symlink()]
    assert not (folder / "more.json").exists()
    assert aim.read_text() == "{}"


def test_what_is_no_archive_is_told(here: Context, carried: Path, tmp_path: Path) -> None:
    carried.write_bytes(carried.read_bytes()[:-30])
    with pytest.raises(InputError, match="expected an archive of 'samloop adapters export' or a folder"):
        import_adapter(here, str(carried))
    with pytest.raises(InputError, match="found none; check the path"):
        import_adapter(here, str(tmp_path / "nothing.zip"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="found not both"):
        import_adapter(here, str(tmp_path / "empty"))
    with pytest.raises(UsageError, match=r"expected the name of a slot .*, got '\.\./x'"):
        import_adapter(here, str(carried), slot="../x")


def test_a_damaged_entry_is_told(here: Context, carried: Path) -> None:
    content = bytearray(carried.read_bytes())
    at = content.index(b"lora_A") + 2000
    content[at] ^= 0xFF
    carried.write_bytes(bytes(content))
    with pytest.raises(ModelError, match="cannot be unpacked"):
        import_adapter(here, str(carried))


def test_only_what_is_registered_and_whole_is_exported(there: Context, name: str, tmp_path: Path) -> None:
    folder = add_adapter(pocket.path(), tmp_path / "loose")
    with pytest.raises(UsageError, match="expected the id of a registered adapter, got the folder"):
        export_adapter(there, str(folder), out=str(tmp_path / "x.zip"))
    with pytest.raises(NotFoundError):
        export_adapter(there, "ad-nobody", out=str(tmp_path / "x.zip"))
    weights = Registry(there.home, there.store).path(name) / WEIGHTS
    arrays = load_file(weights)
    save_file(arrays, weights)  # the same numbers, but not the same file
    with pytest.raises(ModelError, match=f"adapter {name} is damaged"):
        export_adapter(there, name, out=str(tmp_path / "x.zip"))
    assert not (tmp_path / "x.zip").exists()
