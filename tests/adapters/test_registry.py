from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from registry_world import add_run

from samloop.adapters import folders
from samloop.adapters.registry import Registry
from samloop.errors import GateError, ModelError, NotFoundError, StoreBusyError, UsageError
from samloop.home import Home
from samloop.store import Store


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home").create()


@pytest.fixture
def store(home):
    with Store.open(home) as opened:
        yield opened


@pytest.fixture
def registry(home, store) -> Registry:
    for n in (1, 2, 3):
        add_run(home, store, f"run-{n}", n)
    dataset = home.datasets / ("d" * 12)
    dataset.mkdir(parents=True)
    (dataset / "manifest.json").write_text(json.dumps({"counts": {"licence": {"MIT": 3, "Apache-2.0": 9}}}))
    return Registry(home, store)


@pytest.fixture
def ids(registry) -> list[str]:
    return [registry.register(f"run-{n}", "main") for n in (1, 2, 3)]


def test_an_adapter_is_named_by_its_weights_and_kept_with_its_lineage(registry, home, store):
    name = registry.register("run-1", "main")
    weights = home.runs / "run-1" / "adapter" / "adapter_model.safetensors"
    assert name == "ad-" + hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    folder = registry.path(name)
    assert folder == home.adapters / "main" / name
    assert (folder / weights.name).read_bytes() == weights.read_bytes()
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["adapter_id"] == name
    assert (manifest["run_id"], manifest["dataset_digest"], manifest["base"]) == ("run-1", "d" * 32, "pocket")
    assert (manifest["backend"], manifest["recipe"], manifest["licences"]) == (
        "torch",
        {"x": 1},
        ["Apache-2.0", "MIT"],
    )
    assert set(manifest["files"]) == {"adapter_config.json", "adapter_model.safetensors"}
    row = store.get_adapter(name)
    assert (row["state"], row["run_id"], row["licences"]) == ("candidate", "run-1", ["Apache-2.0", "MIT"])
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}
    assert registry.verify(name) == []


def test_registering_again_changes_nothing(registry, store):
    name = registry.register("run-1", "main")
    before = {p: p.stat().st_mtime_ns for p in registry.path(name).iterdir()}
    assert registry.register("run-1", "main") == name
    assert {p: p.stat().st_mtime_ns for p in registry.path(name).iterdir()} == before
    assert len(store.list_adapters()) == 1


def test_a_registration_that_died_before_its_row_is_completed(registry, store, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(type(store), "add_adapter", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.register("run-1", "main")
    assert store.list_adapters() == []
    name = registry.register("run-1", "main")
    assert registry.state(name) == "candidate"


def test_a_registration_that_died_while_copying_leaves_nothing_for_long(registry, home):
    left = home.adapters / "main" / ".ad-0.9999999.part"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    registry.register("run-1", "main")
    assert not left.exists()


@pytest.mark.parametrize("name", ["adapter_model.bin", "optimizer.pt", "weights.pkl", "run.py"])
def test_weights_that_can_run_code_are_refused(registry, home, name):
    (home.runs / "run-1" / "adapter" / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=f"got '{name}'"):
        registry.register("run-1", "main")
    assert not list((home.adapters).glob("main/ad-*"))


def test_weights_that_are_no_whole_safetensors_file_are_refused(registry, home):
    path = home.runs / "run-1" / "adapter" / "adapter_model.safetensors"
    whole = path.read_bytes()
    for broken in (b"", whole[:-1], whole + b"x", b"\xff" * 100, whole[:8] + b"[" + whole[9:]):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match="not a whole safetensors file"):
            registry.register("run-1", "main")
    path.unlink()
    with pytest.raises(ModelError, match=r"holds no \.safetensors"):
        registry.register("run-1", "main")


def test_a_run_without_adapter_and_no_run_are_named(registry, store):
    with pytest.raises(NotFoundError, match="run 'run-9'"):
        registry.register("run-9", "main")
    store.add_run("run-8", dataset_digest="d", backend="torch", base="b", revision=1)
    with pytest.raises(ModelError, match="expected an adapter folder"):
        registry.register("run-8", "main")


def test_the_base_serves_until_something_is_promoted(registry, ids, home, store):
    assert registry.champion("main") is None
    assert registry.current("main") is None
    registry.promote("main", ids[0], reason="better")
    link = home.adapters / "main" / "current"
    assert link.is_symlink()
    assert str(link.readlink()) == ids[0]
    assert registry.current("main") == registry.path(ids[0])
    assert (link / "adapter_model.safetensors").is_file()
    assert store.champion("main")["adapter_id"] == ids[0]
    assert store.champion_history("main")[0]["reason"] == "better"


def test_rollback_goes_back_step_by_step_to_the_base(registry, ids, store):
    for name in ids:
        registry.promote("main", name)
    assert registry.rollback("main") == ids[1]
    assert registry.champion("main") == ids[1]
    assert registry.state(ids[2]) == "retired"
    assert registry.rollback("main") == ids[0]
    assert registry.rollback("main", reason="enough") is None
    assert registry.current("main") is None
    assert store.champion("main") is None
    assert store.champion_history("main")[0]["reason"] == "enough"
    with pytest.raises(GateError, match="the base is in service"):
        registry.rollback("main")


def test_promoting_the_champion_again_changes_nothing(registry, ids, store):
    registry.promote("main", ids[0])
    registry.promote("main", ids[0])
    assert len(store.champion_history("main")) == 1


def test_slots_are_apart(registry, ids, home, store):
    add_run(home, store, "run-4", 4)
    other = registry.register("run-4", "complex")
    registry.promote("main", ids[0])
    registry.promote("complex", other)
    assert (registry.champion("main"), registry.champion("complex")) == (ids[0], other)
    with pytest.raises(GateError, match="made for slot 'complex', not 'main'"):
        registry.promote("main", other)
    assert registry.champion("main") == ids[0]


def test_rejected_and_unknown_adapters_do_not_serve(registry, ids):
    registry.reject(ids[0])
    with pytest.raises(GateError, match="was rejected"):
        registry.promote("main", ids[0])
    with pytest.raises(NotFoundError):
        registry.promote("main", "ad-unknown")
    registry.promote("main", ids[1])
    with pytest.raises(GateError, match="roll back first"):
        registry.reject(ids[1])
    assert registry.champion("main") == ids[1]


def test_damage_is_found_and_keeps_an_adapter_out_of_service(registry, ids):
    folder = registry.path(ids[0])
    weights = folder / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    (folder / "adapter_config.json").unlink()
    (folder / "notes.txt").write_text("?")
    found = registry.verify(ids[0])
    assert len(found) == 3
    assert "adapter_config.json is missing" in found[0]
    assert "notes.txt" in found[1]
    assert "was changed" in found[2]
    with pytest.raises(GateError, match="files are damaged"):
        registry.promote("main", ids[0])
    (folder / "manifest.json").write_text("{")
    assert "no manifest" in registry.verify(ids[0])[0]


def test_rollback_passes_over_a_damaged_predecessor(registry, ids):
    for name in ids:
        registry.promote("main", name)
    (registry.path(ids[1]) / "adapter_model.safetensors").write_bytes(b"gone")
    assert registry.rollback("main") == ids[0]
    assert registry.state(ids[1]) == "rejected"


def test_rollback_works_when_the_champions_own_folder_is_gone(registry, ids, home, store):
    registry.promote("main", ids[0])
    registry.promote("main", ids[1])
    for path in registry.path(ids[1]).iterdir():
        path.unlink()
    registry.path(ids[1]).rmdir()
    again = Registry(home, store)
    with pytest.raises(NotFoundError, match="rollback"):
        again.current("main")
    assert again.rollback("main") == ids[0]
    assert again.current("main") == again.path(ids[0])


def test_names_may_be_cut_short(registry, ids):
    assert registry.find(ids[0][:8]) == ids[0]
    with pytest.raises(UsageError, match="beginning of several"):
        registry.find("ad-")


def test_scores_are_kept_in_row_and_manifest_and_do_not_count_as_damage(registry, ids, store):
    registry.record_scores(ids[0], [{"name": "m", "mean": 1.5}])
    assert store.get_adapter(ids[0])["scores"] == {"suites": [{"name": "m", "mean": 1.5}]}
    assert folders.read_manifest(registry.path(ids[0]))["scores"] == [{"name": "m", "mean": 1.5}]
    assert registry.verify(ids[0]) == []


@pytest.mark.parametrize("step", ["before the link", "after the link"])
def test_a_promotion_killed_half_way_is_one_or_the_other_never_both(registry, ids, home, store, monkeypatch, step):
    registry.promote("main", ids[0])
    target = (Path, "replace") if step == "before the link" else (type(store), "follow_service")
    with monkeypatch.context() as patched:
        patched.setattr(*target, lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.promote("main", ids[1])
    expected = ids[0] if step == "before the link" else ids[1]
    again = Registry(home, store)
    assert again.current("main") == again.path(expected)
    assert store.champion("main")["adapter_id"] == expected
    assert again.state(expected) == "champion"
    again.promote("main", ids[2])
    assert again.rollback("main") == expected
    assert not list((home.adapters / "main").glob(".current*")) or step == "before the link"
    again.register("run-1", "main")
    assert not list((home.adapters / "main").glob(".current*"))


def test_a_rollback_to_the_base_killed_half_way_is_completed(registry, ids, home, store, monkeypatch):
    registry.promote("main", ids[0])
    with monkeypatch.context() as patched:
        patched.setattr(type(store), "follow_service", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.rollback("main")
    Registry(home, store)
    assert store.champion("main") is None


def test_a_store_that_knows_less_than_the_folders_learns_who_serves(registry, ids, home, tmp_path):
    registry.promote("main", ids[0])
    older = Home(tmp_path / "older").create()
    with Store.open(older) as empty:
        (older.path / "adapters").symlink_to(home.adapters)
        assert Registry(older, empty).champion("main") == ids[0]
        assert empty.champion("main")["adapter_id"] == ids[0]
        assert empty.get_adapter(ids[0])["run_id"] is None


PROMOTE_FOR_EVER = """
import itertools, sys
from samloop.adapters.registry import Registry
from samloop.home import Home
from samloop.store import Store

home, names = Home.find(sys.argv[1]), sys.argv[2:]
with Store.open(home) as store:
    registry = Registry(home, store)
    print("ready", flush=True)
    for name in itertools.cycle(names):
        registry.promote("main", name)
        registry.rollback("main")
"""


def test_kill_at_any_moment_leaves_a_whole_adapter_and_rows_that_agree(registry, ids, home, store):
    registry.promote("main", ids[0])
    for wait in (0.0, 0.011, 0.037, 0.06, 0.093):
        process = subprocess.Popen(
            [sys.executable, "-c", PROMOTE_FOR_EVER, str(home.path), ids[1], ids[2]], stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"ready\n"
        threading.Event().wait(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        link = home.adapters / "main" / "current"
        assert (link / "adapter_model.safetensors").is_file()
        again = Registry(home, store)
        assert store.champion("main")["adapter_id"] == again.champion("main")
        assert again.verify(again.champion("main")) == []


def test_readers_always_find_a_whole_adapter_while_it_is_swapped(registry, ids, home):
    registry.promote("main", ids[0])
    whole = {(registry.path(name) / "adapter_model.safetensors").read_bytes() for name in ids}
    link, stop, seen, wrong = home.adapters / "main" / "current", threading.Event(), set(), []

    def read():
        while not stop.is_set():
            try:
                data = (link / "adapter_model.safetensors").read_bytes()
            except OSError as error:
                wrong.append(error)
                return
            seen.add(data)
            if data not in whole:
                wrong.append(data)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(60):
        registry.promote("main", ids[n % 3])
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(seen) >= 2


def test_two_promotions_at_once_wait_for_each_other_and_agree(registry, ids, home, store, monkeypatch):
    errors = []

    def promote(name):
        try:
            for _ in range(5):
                registry.promote("main", name)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=promote, args=(name,)) for name in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.champion("main")["adapter_id"] == registry.champion("main")


def test_while_another_holds_the_slot_promotion_says_so_and_opening_goes_on(registry, ids, home, store, monkeypatch):
    registry.promote("main", ids[0])
    monkeypatch.setattr("samloop.adapters.service.LOCK_SECONDS", 0.05)
    with Registry(home, store).service.locked("main"):
        with pytest.raises(StoreBusyError, match="slot 'main'"):
            registry.promote("main", ids[1])
        assert Registry(home, store).champion("main") == ids[0]
