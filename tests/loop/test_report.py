"""The report: its text says what its document holds, and its document what the stages found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loop_world import Finished

from samloop.loop.report import TurnReport


def written_again(known: dict[str, Any]) -> TurnReport:
    return TurnReport(
        started_at=0.0,
        collected={name: known[name] for name in ("totals", "sources")},
        due=known["due"],
        dataset=known["dataset"],
        run=known["run"],
        evaluation=known["evaluation"],
        learning=known["learning"],
        decision=known["decision"],
        path=Path(known["report"]),
    )


def test_the_text_can_be_written_from_the_document_alone(finished: Finished) -> None:
    """Every key that the text needs is in the document, and nothing is in the text that is not in the document."""
    told = finished.text.removeprefix("```\n").removesuffix("\n```\n").rpartition("This turn took")
    again = written_again(finished.report)
    assert again.to_text().rpartition("This turn took")[0] == told[0]


def test_the_text_names_counts_figures_and_decision(finished: Finished) -> None:
    report, text = finished.report, finished.text
    came_in = text.split("── ")[1].splitlines()
    for source in report["sources"]:
        (line,) = [line for line in came_in if line.split()[:1] == [source["source"]]]
        counts = [source[name] for name in ("read", "added", "duplicate", "rejected", "review")]
        assert list(map(int, line.split()[1:6])) == counts
    for scores in report["evaluation"]["suites"].values():
        for score in scores:
            if score["items"] and score["unit"] == "share":
                assert f"{score['mean']:.1%} [{score['low']:.1%}, {score['high']:.1%}]" in text
    assert finished.run_id in text
    assert finished.challenger in text
    flat = " ".join(text.split())
    for reason in report["decision"]["reasons"]:
        assert " ".join(reason.split()) in flat
    for sample in report["evaluation"]["samples"]:
        assert set(sample["answers"]) == {"base", finished.challenger}


def test_the_document_is_what_the_stages_left(finished: Finished) -> None:
    report = finished.report
    manifest = finished.read(f"datasets/{report['dataset']['digest'][:16]}/manifest.json")
    ids, replayed = manifest.pop("ids"), manifest["replay"]["examples"]
    assert replayed > 0
    assert report["dataset"]["examples"] == {
        split: len(ids[split]) + (replayed if split == "train" else 0) for split in ids
    }
    assert {name: report["dataset"][name] for name in manifest} == manifest
    kept = finished.read(f"runs/{finished.run_id}/result.json")
    assert {name: report["run"][name] for name in kept} == kept
    assert report["report"] == str(finished.home.reports / f"{finished.run_id}.md")
    assert report["seconds"] > 0


def test_a_run_without_validation_examples_is_told_as_well(finished: Finished) -> None:
    known = {**finished.report, "run": {**finished.report["run"], "validation_loss": None}}
    assert "validation loss not measured" in written_again(known).to_text()
