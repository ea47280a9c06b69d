"""Out of service in an instant: the store locked, damaged or away, the disk full, the newest adapter damaged."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from registry_world import add_run, write_weights

from samloop.adapters.registry import Registry, slot_of_champion
from samloop.adapters.service import HISTORY, Service, succession
from samloop.errors import GateError, NotFoundError, StoreBusyError, StoreError
from samloop.home import Home
from samloop.loop.rollback import rollback
from samloop.settings import StoreSettings
from samloop.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


@pytest.fixture
def ids(home: Home) -> list[str]:
    """Three adapters, each promoted after the other."""
    with Store.open(home) as store:
        registry = Registry(home, store)
        names = []
        for number in (1, 2, 3):
            add_run(home, store, f"run-{number}", number)
            names.append(registry.register(f"run-{number}", "main"))
            registry.promote("main", names[-1], reason=f"better {number}")
        return names


def states(home: Home) -> dict[str, str]:
    with Store.open(home) as store:
        Registry(home, store)
        return {row["adapter_id"]: row["state"] for row in store.list_adapters()}


def test_the_history_tells_who_served_and_why(home: Home, ids: list[str]) -> None:
    service = Service(home)
    assert [(one.adapter_id, one.reason) for one in service.served("main")] == [
        (name, f"better {n}") for n, name in enumerate(ids, 1)
    ]
    path = home.adapters / "main" / HISTORY
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    service.rollback("main", "worse")
    assert path.read_bytes().startswith(before), "lines are appended, never changed"
    assert service.predecessor("main") == (ids[0], ())


def test_going_back_cuts_off_what_came_after() -> None:
    assert succession(["a", "b", "a", "c"]) == [None, "a", "c"]
    assert succession(["a", None, "b"]) == [None, "b"]
    assert succession([]) == [None]


def test_rollback_while_another_process_holds_the_stores_write_lock(home: Home, ids: list[str]) -> None:
    holder = sqlite3.connect(home.database, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        done = rollback(home, None, slot="main", reason="now")
        assert (done["champion"], done["taken_out"], done["store"]) == (ids[1], ids[2], "the store is busy")
        assert rollback(home, None, slot="main", reason="and again")["champion"] == ids[0]
        holder.execute("ROLLBACK")
    finally:
        holder.close()
    assert states(home) == {ids[0]: "champion", ids[1]: "retired", ids[2]: "retired"}
    with Store.open(home) as store:
        served = [(row["adapter_id"], row["reason"]) for row in store.champion_history("main")]
    assert served[:2] == [(ids[0], "and again"), (ids[1], "now")], "both changes became rows"


def test_an_open_registry_goes_back_too_while_the_store_is_locked(home: Home, ids: list[str]) -> None:
    with Store.open(home, StoreSettings(busy_timeout_seconds=60)) as store:
        registry = Registry(home, store)
        holder = sqlite3.connect(home.database, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        # The lock is never let go of in here: it would wait for a minute if it waited as long as others do.
        assert registry.rollback("main") == ids[1]
        registry.promote("main", ids[2])
        assert registry.champion("main") == ids[2]
        assert store.champion("main")["adapter_id"] == ids[2]
        holder.close()
        registry.reconcile()
        assert [row["adapter_id"] for row in store.champion_history("main")[:2]] == [ids[2], ids[1]]


@pytest.mark.parametrize("damage", ["no database", "torn", "a folder", "newer"])
def test_rollback_while_the_store_is_damaged_or_away(home: Home, ids: list[str], damage: str) -> None:
    kept = home.database.read_bytes()
    for path in home.path.glob("samloop.db-*"):
        path.unlink()
    if damage == "no database":
        home.database.write_bytes(b"not a database at all" * 500)
    elif damage == "torn":
        home.database.write_bytes(kept[: len(kept) // 3])
    elif damage == "a folder":
        home.database.unlink()
        home.database.mkdir()
    else:
        with sqlite3.connect(home.database) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.close()
    done = rollback(home, None, slot="main", reason="now")
    assert done["champion"] == ids[1]
    assert done["store"] != "told"
    assert Service(home).champion("main") == ids[1]
    if damage == "a folder":
        home.database.rmdir()
    home.database.write_bytes(kept)
    assert states(home) == {ids[0]: "retired", ids[1]: "champion", ids[2]: "retired"}


def test_rollback_with_a_broken_recipe(home: Home, ids: list[str]) -> None:
    home.recipe.write_text("[train\n")
    done = rollback(home, None, slot="main", reason="now")
    assert done["champion"] == ids[1]
    assert "samloop.toml" in done["store"]


@pytest.mark.parametrize("damage", ["changed", "cut off", "gone", "no manifest"])
def test_rollback_from_a_damaged_newest_adapter(home: Home, ids: list[str], damage: str) -> None:
    folder = home.adapters / "main" / ids[2]
    weights = folder / "adapter_model.safetensors"
    if damage == "changed":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    elif damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:20])
    elif damage == "gone":
        folder.rename(home.path / "elsewhere")
    else:
        (folder / "manifest.json").unlink()
    assert rollback(home, None, slot="main", reason="damaged")["champion"] == ids[1]


def test_a_predecessor_whose_folder_is_away_is_passed_over_and_not_barred(home: Home, ids: list[str]) -> None:
    (home.adapters / "main" / ids[1]).rename(home.path / "elsewhere")
    done = rollback(home, None, slot="main", reason="now")
    assert done["champion"] == ids[0]
    assert [one["adapter"] for one in done["passed_over"]] == [ids[1]]
    assert Service(home).barred("main") == {}
    (home.path / "elsewhere").rename(home.adapters / "main" / ids[1])
    with Store.open(home) as store:
        Registry(home, store).promote("main", ids[1])


def test_a_home_of_before_gets_its_history_from_the_store(home: Home, ids: list[str]) -> None:
    with Store.open(home) as store:
        Registry(home, store).reject(ids[1])
    (home.adapters / "main" / HISTORY).unlink()
    assert rollback(home, None, slot="main", reason="now")["champion"] == ids[0]
    assert Service(home).barred("main") == {ids[1]: "rejected"}


def test_a_torn_line_is_left_out_and_the_next_one_is_whole(home: Home, ids: list[str]) -> None:
    path = home.adapters / "main" / HISTORY
    with path.open("ab") as file:
        file.write(b'{"at": 12, "ser')
    service = Service(home)
    assert service.rollback("main", "now").now == ids[1]
    assert service.served("main")[-1].adapter_id == ids[1]
    assert service.predecessor("main")[0] == ids[0]


def test_a_history_that_could_not_be_written_is_caught_up(home: Home, ids: list[str], monkeypatch) -> None:
    service = Service(home)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: None)
        patched.setattr(Service, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert service.rollback("main", "disk full").now == ids[1], "the link holds"
    assert service.champion("main") == ids[1]
    assert service.predecessor("main")[0] == ids[0]
    with service.locked("main"):
        service.serve("main", None, "to the base")
    told = [json.loads(line) for line in (home.adapters / "main" / HISTORY).read_text().splitlines()]
    assert [line["serve"] for line in told] == [*ids, ids[1], None]


def test_a_full_disk_leaves_who_serves_and_says_so(home: Home, ids: list[str], monkeypatch) -> None:
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(StoreError, match=r"No space left.*free some space"):
        Service(home).rollback("main", "now")
    assert Service(home).champion("main") == ids[2]


def test_a_read_only_home_says_so_and_a_damaged_champion_still_gives_way(home, ids, caplog, monkeypatch) -> None:
    weights = home.adapters / "main" / ids[2] / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    with Store.open(home) as store:
        registry = Registry(home, store)
        monkeypatch.setattr("samloop.adapters.service.private_folder", refuse)
        with pytest.raises(StoreError, match=r"Read-only file system.*make the folder writable"):
            registry.rollback("main")
        with pytest.raises(StoreError, match="Read-only file system"):
            registry.promote("main", ids[1])
        assert registry.serving("main") == ids[1]
    assert f"{ids[1]} answers instead" in caplog.text
    assert Service(home).champion("main") == ids[2], "nothing could be written"


def test_two_at_once_wait_and_the_second_says_who_is_at_it(home: Home, ids: list[str], monkeypatch) -> None:
    monkeypatch.setattr("samloop.adapters.service.LOCK_SECONDS", 0.05)
    service = Service(home)
    with service.locked("main"), pytest.raises(StoreBusyError, match="slot 'main'; try again"):
        Service(home).rollback("main", "now")
    assert service.rollback("main", "now").now == ids[1]


def test_nothing_to_roll_back(home: Home, ids: list[str]) -> None:
    for _ in ids:
        rollback(home, None, slot="main", reason="back")
    assert Service(home).champion("main") is None
    with pytest.raises(GateError, match="the base is in service"):
        rollback(home, None, slot="main", reason="back")


# --- a champion that is damaged when it is to answer ---------------------------------------------------------------


def spoil(home: Home, name: str, how: str) -> None:
    folder = home.adapters / "main" / name
    weights = folder / "adapter_model.safetensors"
    if how == "gone":
        folder.rename(home.path / "elsewhere")
    elif how == "changed":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    else:
        write_weights(weights, 9, value=float("nan"))
        manifest = json.loads((folder / "manifest.json").read_bytes())
        from samloop.files import sha256_file

        manifest["files"][weights.name]["sha256"] = sha256_file(weights)
        (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("how", ["changed", "NaN", "gone"])
def test_a_damaged_champion_is_noticed_and_the_one_before_answers(home, ids, caplog, how) -> None:
    spoil(home, ids[2], how)
    with Store.open(home) as store:
        registry = Registry(home, store)
        assert registry.serving("main") == ids[1]
        assert registry.champion("main") == ids[1]
        assert store.champion("main")["adapter_id"] == ids[1]
        assert ids[2] in store.champion_history("main")[0]["reason"]
        assert registry.state(ids[2]) == ("retired" if how == "gone" else "rejected")
        assert registry.serving("main") == ids[1]
    assert f"adapter {ids[2]} is damaged" in caplog.text
    assert f"{ids[1]} is in service in slot main instead" in caplog.text
    assert {"changed": "was changed", "NaN": "holds NaN", "gone": "is gone"}[how] in caplog.text


def test_several_damaged_ones_in_a_row_end_at_the_base(home: Home, ids: list[str]) -> None:
    for name in ids:
        spoil(home, name, "NaN")
    with Store.open(home) as store:
        registry = Registry(home, store)
        assert registry.serving("main") is None
        assert registry.champion("main") is None
        assert set(states(home).values()) == {"rejected"}


def test_an_adapter_with_nan_is_not_promoted(home: Home, ids: list[str]) -> None:
    with Store.open(home) as store:
        registry = Registry(home, store)
        registry.rollback("main")
        spoil(home, ids[2], "NaN")
        with pytest.raises(GateError, match=r"cannot serve.*adapter_model.safetensors holds NaN or infinity in a;"):
            registry.promote("main", ids[2])
        assert registry.verify(ids[2]) == ["adapter_model.safetensors holds NaN or infinity in a"]
        assert registry.champion("main") == ids[1]


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_nan_is_found_in_every_kind_of_number(tmp_path: Path, kind: str) -> None:
    from samloop.adapters.finite import not_finite
    from samloop.adapters.tensors import Made, encode, write_tensors

    for value, found in ((1.5, 0), (np.nan, 1), (-np.inf, 1)):
        numbers = encode(np.array([0.25, value, 3.0], dtype=np.float32), kind)
        path = tmp_path / "adapter_model.safetensors"
        path.unlink(missing_ok=True)
        write_tensors(path, {"w": Made(kind, (3,), lambda numbers=numbers: numbers)})
        assert len(not_finite(tmp_path)) == found


# --- names that stand for adapters ---------------------------------------------------------------------------------


def test_champion_and_challenger_stand_for_adapters_in_any_slot(home: Home, ids: list[str]) -> None:
    with Store.open(home) as store:
        registry = Registry(home, store)
        assert registry.find("champion") == registry.find("champion@main") == ids[2]
        with pytest.raises(NotFoundError, match="no adapter waits in slot main"):
            registry.find("challenger")
        add_run(home, store, "run-7", 7)
        add_run(home, store, "run-8", 8)
        waits, other = registry.register("run-7", "main"), registry.register("run-8", "complex")
        assert registry.find("challenger") == registry.find("challenger@main") == waits
        assert registry.find("challenger@complex") == other
        with pytest.raises(NotFoundError, match="no adapter, in slot complex"):
            registry.find("champion@complex")
        registry.promote("complex", other)
        assert registry.find("champion@complex") == other
    assert (slot_of_champion("champion"), slot_of_champion("champion@complex")) == ("main", "complex")
    assert slot_of_champion("champions") == slot_of_champion(ids[0]) == ""


# --- barred for good -----------------------------------------------------------------------------------------------


def test_what_is_withdrawn_leaves_at_once_and_never_comes_back(home: Home, ids: list[str]) -> None:
    with Store.open(home) as store:
        registry = Registry(home, store)
        assert registry.withdraw([ids[2], ids[1]], "erased") == {"main": ids[0]}
        assert registry.champion("main") == ids[0]
        assert states(home) == {ids[0]: "champion", ids[1]: "withdrawn", ids[2]: "withdrawn"}
        with pytest.raises(GateError, match="was withdrawn"):
            registry.promote("main", ids[1])
        assert not list((home.adapters / "main" / ids[2]).glob("*.safetensors"))
        registry.reject(ids[2])
        assert registry.state(ids[2]) == "withdrawn"
    # Also where the store is lost, and with it all that it knew.
    home.database.unlink()
    with Store.open(home) as store:
        registry = Registry(home, store)
        assert registry.rollback("main") is None
        assert Service(home).barred("main") == {ids[1]: "withdrawn", ids[2]: "withdrawn"}


def test_a_store_that_alone_knows_of_a_rejection_is_believed(home: Home, ids: list[str]) -> None:
    with Store.open(home) as store:
        store.update_adapter(ids[1], state="rejected")
        assert Registry(home, store).rollback("main") == ids[0]
    assert Service(home).barred("main") == {ids[1]: "rejected"}


def test_registering_does_not_wait_for_who_changes_the_service(home: Home, ids: list[str]) -> None:
    with Store.open(home) as store:
        add_run(home, store, "run-9", 9)
        registry = Registry(home, store)
        with registry.service.locked("main"):
            name = registry.register("run-9", "main")
        assert registry.state(name) == "candidate"
