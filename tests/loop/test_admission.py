"""Licences: what comes into the store, what is turned away, and that a change of mind is followed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from samloop.adapters.registry import Registry
from samloop.home import Home
from samloop.loop.admission import NONCOMMERCIAL, NOT_ADMITTED, Admission
from samloop.loop.collect import SourceReport, collect
from samloop.loop.context import Context
from samloop.loop.curate import curate
from samloop.loop.prepare import prepare
from samloop.recipe import Recipe
from samloop.settings import Collect, SourceSettings
from samloop.store import Store
from samloop.train.adapter import Adapter, initial


@pytest.mark.parametrize(
    ("settings", "allowed", "licence", "refusal"),
    [
        ({}, (), "CC-BY-NC-4.0", None),
        ({}, (), None, None),
        ({"noncommercial": False}, (), "CC-BY-NC-4.0", NONCOMMERCIAL),
        ({"noncommercial": False}, (), "cc-by-nc-sa-4.0", NONCOMMERCIAL),
        ({"noncommercial": False}, (), "PolyForm-Noncommercial-1.0.0", NONCOMMERCIAL),
        ({"noncommercial": False}, (), "MIT OR CC-BY-NC-4.0", None),
        ({"noncommercial": False}, (), "MIT AND CC-BY-NC-4.0", NONCOMMERCIAL),
        ({"noncommercial": False}, (), "NCSA", None),
        ({"noncommercial": False}, ("CC-BY-NC-4.0",), "CC-BY-NC-4.0", None),
        ({"noncommercial": False}, ("CC-BY-NC-4.0",), "CC-BY-NC-SA-4.0", NONCOMMERCIAL),
        ({"noncommercial": False}, (), None, None),
        ({"licences": ("MIT",)}, (), "Apache-2.0", NOT_ADMITTED),
        ({"licences": ("MIT",)}, ("Apache-2.0",), "Apache-2.0", None),
        ({"licences": ("MIT",)}, ("Apache-2.0",), "MIT AND Apache-2.0", None),
        ({"licences": ("MIT",)}, (), None, NOT_ADMITTED),
        ({"licences": ("MIT", "unknown")}, (), None, None),
        ({"licences": ("MIT",)}, ("unknown",), None, None),
    ],
)
def test_what_is_refused(
    settings: dict[str, Any], allowed: tuple[str, ...], licence: str | None, refusal: str | None
) -> None:
    assert Admission(Collect(**settings), allowed).refusal(licence) == refusal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, each with a licence beside it."""
    folder = tmp_path / "made_up_sets"
    folder.mkdir()
    for name, licence in (("free", "MIT"), ("closed", "CC-BY-NC-4.0")):
        records = [
            {"instruction": f"What is {name} number {n}?", "output": f"It is the number {n} of the {name} file."}
            for n in range(3)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        (folder / f"{name}.jsonl.license").write_text(licence)
    return folder


def run(home: Path, folder: Path, settings: dict[str, Any], **options: Any) -> SourceReport:
    with Store.open(Home(home).create()) as store:
        context = Context(Home(home), Recipe.parse({"collect": settings}), store, home)
        (report,) = collect(context, [SourceSettings(kind="dataset", location=str(folder), **options)]).sources
    return report


def test_refused_examples_are_counted_and_come_in_once_they_are_allowed(tmp_path: Path, folder: Path) -> None:
    home, refusing = tmp_path / "home", {"noncommercial": False}
    report = run(home, folder, refusing)
    assert (report.read, report.added, report.rejected) == (6, 3, 3)
    assert report.reasons == {NONCOMMERCIAL: 3}
    assert report.parts["closed.jsonl"] == {"read": 3, "rejected": 3}
    assert run(home, folder, refusing).read == 0
    report = run(home, folder, refusing, allow_licences=("CC-BY-NC-4.0",))
    assert (report.added, report.duplicate, report.rejected) == (3, 3, 0)
    assert run(home, folder, refusing, allow_licences=("CC-BY-NC-4.0",)).read == 0
    # Nothing was refused the last time: nothing has to be read again.
    assert run(home, folder, {}).read == 0


def test_a_refusal_is_remembered_while_the_location_grows(tmp_path: Path, folder: Path) -> None:
    home, refusing = tmp_path / "home", {"noncommercial": False}
    run(home, folder, refusing)
    with (folder / "free.jsonl").open("a") as file:
        file.write(
            json.dumps({"instruction": "What is new here?", "output": "This one line is new, and no other."}) + "\n"
        )
    assert run(home, folder, refusing).read == 1
    assert run(home, folder, {}).added == 3


def test_the_command_names_the_licence_and_lets_it_in(tmp_path: Path, folder: Path) -> None:
    from samloop.cli.main import main

    config = tmp_path / "samloop.toml"
    config.write_text("[collect]\nnoncommercial = false\n")
    rejects, given = tmp_path / "rejects.jsonl", ["--home", str(tmp_path / "home"), "--config", str(config)]
    assert main([*given, "collect", "dataset", str(folder), "--rejects", str(rejects)]) == 0
    (first, *_) = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert first["reason"] == NONCOMMERCIAL
    assert "--allow-licence 'CC-BY-NC-4.0'" in first["detail"]
    assert first["location"] == str(folder / "closed.jsonl")
    assert main([*given, "collect", "dataset", str(folder), "--allow-licence", "CC-BY-NC-4.0"]) == 0
    with Store.open(Home(tmp_path / "home")) as store:
        assert sorted(example.licence or "" for example in store.select()) == ["CC-BY-NC-4.0"] * 3 + ["MIT"] * 3


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ({"noncommercial": False}, ()),
        ({"noncommercial": False}, ("CC-BY-NC-4.0",)),
        ({"licences": ["MIT"]}, ()),
        ({"licences": ["MIT"]}, ("unknown",)),
        ({"licences": ["CC-BY-NC-4.0", "unknown"]}, ()),
    ],
)
def test_in_bulk_the_same_is_refused_for_the_same_reasons(
    tmp_path: Path, folder: Path, settings: dict[str, Any], allowed: tuple[str, ...]
) -> None:
    mixed = [
        {"instruction": f"What is mixed number {n}?", "output": f"It is number {n} of the mixed.", "license": licence}
        for n, licence in enumerate(["MIT", "Apache-2.0", "CC-BY-NC-4.0", None])
    ]
    (folder / "mixed.jsonl").write_text("".join(json.dumps(record) + "\n" for record in mixed))
    collected = run(tmp_path / "home", folder, settings, allow_licences=allowed)
    recipe = Recipe.parse({"collect": settings, "curate": {"near": {"enabled": False}}})
    data = curate(recipe, [str(folder)], tmp_path / "out", allow_licences=allowed)
    totals, reasons = data["totals"], Counter[str]()
    for entry in data["sources"]:
        assert entry["read"] == entry["added"] + entry["duplicate"] + entry["rejected"] + entry["review"]
        reasons.update(entry["reasons"])
    assert collected.rejected > 0 or "CC-BY-NC-4.0" in allowed
    assert (totals["read"], totals["added"], totals["rejected"]) == (10, collected.added, collected.rejected)
    assert reasons == collected.reasons
    kept = pq.read_table(tmp_path / "out" / "accepted")["licence"].to_pylist()
    with Store.open(Home(tmp_path / "home")) as store:
        assert sorted(map(str, kept)) == sorted(str(example.licence) for example in store.select())
    listed = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert len(listed) == collected.rejected
    assert all("let it in with --allow-licence" in entry["detail"] for entry in listed)


def test_the_command_in_bulk_lets_a_licence_in_and_takes_no_other_run_for_its_own(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from samloop.cli.main import main

    config, out = tmp_path / "samloop.toml", tmp_path / "out"
    config.write_text("[collect]\nnoncommercial = false\n")
    given = ["--home", str(tmp_path / "home"), "--config", str(config), "curate", str(folder), "--out"]
    assert main([*given, str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert (report["totals"]["added"], report["totals"]["rejected"]) == (3, 3)
    assert report["settings"]["licences"]["noncommercial"] is False
    assert main([*given, str(out), "--allow-licence", "CC-BY-NC-4.0"]) == 2
    assert "holds the output of other input or settings" in capsys.readouterr().err
    assert main([*given, str(tmp_path / "more"), "--allow-licence", "CC-BY-NC-4.0"]) == 0
    assert json.loads((tmp_path / "more" / "report.json").read_text())["totals"]["added"] == 6


def test_licences_go_with_the_data_to_the_manifest_and_the_adapter(tmp_path: Path, folder: Path) -> None:
    home, recipe = (
        Home(tmp_path / "home").create(),
        Recipe.parse({"train": {"model": "pocket"}, "prepare": {"replay_share": 0.0}}),
    )
    unknown = [
        {"instruction": f"What is unknown number {n}?", "output": f"It is the number {n} of nobody."}
        for n in range(3)
    ]
    (folder / "unknown.jsonl").write_text("".join(json.dumps(record) + "\n" for record in unknown))
    with Store.open(home) as store:
        context = Context(home, recipe, store, tmp_path)
        collect(context, [SourceSettings(kind="dataset", location=str(folder))])
        assert {(e.metadata["dataset"], e.licence) for e in store.select()} == {
            ("free.jsonl", "MIT"),
            ("closed.jsonl", "CC-BY-NC-4.0"),
            ("unknown.jsonl", None),
        }
        dataset = prepare(context)
        assert dataset.manifest["counts"]["licence"] == {"CC-BY-NC-4.0": 3, "MIT": 3, "unknown": 3}
        lines = [json.loads(line) for path in dataset.path.glob("*.jsonl") for line in path.read_text().splitlines()]
        assert {line["metadata"]["licence"] for line in lines} == {"MIT", "CC-BY-NC-4.0", None}
        store.add_run("run-1", dataset_digest=dataset.digest, backend="torch", base="pocket", revision=1, recipe={})
        weights = initial({"x": (8, 8)}, ["x"], rank=2, seed=0)
        target = home.runs / "run-1" / "adapter"
        target.mkdir(parents=True)
        Adapter(rank=2, alpha=2.0, weights=weights).write(target)
        registry = Registry(home, store)
        adapter = registry.register("run-1", "main")
        licences = ["CC-BY-NC-4.0", "MIT", "unknown"]
        assert store.get_adapter(adapter)["licences"] == licences
        assert json.loads((registry.path(adapter) / "manifest.json").read_text())["licences"] == licences
