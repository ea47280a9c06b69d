"""Commands on examples: collect, examples, stats, validate, dedupe; on a real store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

QUESTIONS = {
    "How do I undo the last commit but keep my changes?": "Run `git reset --soft HEAD~1`: the commit is gone, the "
    "changes stay staged, and nothing in your working tree is touched.",
    "What is the difference between a list and a tuple in Python?": "A list can be changed after it was made, a "
    "tuple cannot; so a tuple can be a key of a dictionary, and a list cannot.",
    "Why does my loop skip every second element?": "Because you remove elements from the list while you walk over "
    "it. Walk over a copy, or build a new list of what you want to keep.",
}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A file of three good examples, one that is no example, and one broken line."""
    path = tmp_path / "questions.jsonl"
    lines = [json.dumps({"instruction": question, "output": answer}) for question, answer in QUESTIONS.items()]
    lines += [json.dumps({"instruction": "What is asked without an answer?", "output": ""}), '{"instruction": "cut o']
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def filled(run: Any, dataset: Path) -> Any:
    """The command line on a home that has collected `dataset`."""
    assert run("collect", "dataset", dataset).code == 0
    return run


def ids(run: Any, *arguments: object) -> list[str]:
    return [example["id"] for example in run("--json", "examples", "list", *arguments).data["examples"]]


def test_collect_accounts_for_every_record(run: Any, dataset: Path, tmp_path: Path) -> None:
    data = run("--json", "collect", "dataset", dataset, "--rejects", tmp_path / "rejects.jsonl").data
    totals = data["totals"]
    assert totals["read"] == 5
    assert totals["read"] == sum(totals[name] for name in ("added", "duplicate", "rejected", "review"))
    (source,) = data["sources"]
    assert source["location"] == str(dataset)
    assert sum(source["reasons"].values()) == totals["rejected"] + totals["review"]
    listed = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert len(listed) == totals["rejected"] + totals["review"]
    assert all({"location", "reason", "detail"} <= set(entry) for entry in listed)


def test_collect_again_reads_nothing(filled: Any, dataset: Path) -> None:
    assert filled("--json", "collect", "dataset", dataset).data["totals"]["read"] == 0


def test_collect_prints_tables_of_80_columns(run: Any, dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "another-file-with-quite-a-long-name-that-is-cut.jsonl"
    other.write_bytes(dataset.read_bytes())
    ran = run("collect", "dataset", dataset, other)
    assert ran.code == 0
    assert "datasets questions.jsonl" in ran.out
    assert "total" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_a_relative_location_starts_where_one_stands(
    run: Any, dataset: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    (home / "samloop.toml").write_text("")
    monkeypatch.chdir(dataset.parent)
    assert run("--json", "collect", "dataset", dataset.name).data["sources"][0]["location"] == str(dataset)


def test_one_bad_source_of_several_is_exit_1_and_the_others_go_in(run: Any, dataset: Path, tmp_path: Path) -> None:
    ran = run("collect", "dataset", dataset, tmp_path / "missing.jsonl")
    assert ran.code == 1
    assert "Not read: " in ran.out
    document = json.loads(run("--json", "collect", "dataset", dataset, tmp_path / "missing.jsonl").out)
    assert document["error"]["code"] == "source"
    assert len(document["data"]["sources"]) == 2
    assert run("--json", "stats").data["overall"]["total_examples"] >= 3


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["gitt", "."], 1, "did you mean 'git'?"),
        (["git", "missing"], 1, "missing"),
        (["--review"], 2, "--review goes with a KIND"),
    ],
)
def test_what_cannot_be_collected_is_one_line(run: Any, arguments: list[str], code: int, part: str) -> None:
    ran = run("collect", *arguments)
    assert ran.code == code
    assert part in ran.err
    assert ran.err.count("\n") == 1


def test_without_sources_collect_says_what_to_do(run: Any) -> None:
    ran = run("collect")
    assert ran.code == 0
    assert "names no source" in ran.out


def test_review_sends_everything_to_review(run: Any, dataset: Path) -> None:
    totals = run("--json", "collect", "dataset", dataset, "--review").data["totals"]
    assert (totals["added"], totals["review"]) == (0, 3)


def test_list_filters_and_counts(filled: Any) -> None:
    data = filled("--json", "examples", "list", "--limit", "1", "--state", "accepted").data
    assert (data["total"], len(data["examples"])) == (3, 1)
    assert len(ids(filled, "--text", "tuple")) == 1
    assert len(ids(filled, "--text", "no such words")) == 0
    assert len(ids(filled, "--source", "datasets", "--of-format", "instruction", "--state", "accepted")) == 3
    shown = filled("examples", "list", "--limit", "2")
    assert "2 of " in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    assert "No example is stored that fits" in filled("examples", "list", "--domain", "creative").out


@pytest.mark.parametrize("option", ["--state", "--tier", "--domain", "--of-format"])
def test_a_value_outside_its_set_is_wrong_usage(run: Any, option: str) -> None:
    ran = run("examples", "list", option, "nonsense")
    assert ran.code == 2
    assert f"expected {option} to be one of" in ran.err


def test_show_prints_everything_about_one(filled: Any) -> None:
    (id,) = ids(filled, "--text", "tuple")
    data = filled("--json", "examples", "show", id[:8]).data
    assert data["id"] == id
    assert data["runs"] == []
    why = data["explanation"]
    assert round(sum(term["amount"] for term in why["terms"]), 6) == why["score"] == data["quality_score"]
    assert why["changed"] == []
    assert data["quality_tier"] in why["tier_reason"]
    shown = filled("examples", "show", id).out
    assert "── asked ─" in shown
    assert "── why, by the rubric sound ─" in shown
    assert "a tuple can be a key of a dictionary" in " ".join(shown.split())
    assert filled("--json", "examples", "show", "zzzz").error["code"] == "not_found"


def test_add_passes_the_rules_and_shows_untrusted_text_as_text(run: Any) -> None:
    address = "@".join(["someone", "acme-mail.org"])  # not an address that stands in the repository
    given = ("examples", "add", "Whom do I write to [bold]now[/bold]?", f"Write to {address}, always.")
    data = run("--json", *given).data
    assert data["added"] is True
    assert data["redacted"]
    assert address not in json.dumps(data)
    assert "[bold]now[/bold]" in run("examples", "show", data["example"]["id"]).out
    assert run(*given).out.startswith("Already there")


def test_add_reads_a_long_answer_from_standard_input(program: Any) -> None:
    ran = program(
        "--json", "examples", "add", "What is a pipe?", "-", stdin="What connects two programs, line by line.\n"
    )
    assert ran.data["example"]["output_text"] == "What connects two programs, line by line."


def test_a_rejected_answer_makes_a_preference_pair(run: Any) -> None:
    data = run(
        "--json", "examples", "add", "What is 17 times 3?", "17 times 3 is 51.", "--rejected", "17 times 3 is 41."
    ).data
    assert data["example"]["format"] == "dpo"


@pytest.mark.parametrize(
    ("format", "keys"),
    [("instruction", {"instruction", "output"}), ("chat", {"messages"}), ("auto", {"instruction"})],
)
def test_export_writes_what_another_tool_reads(filled: Any, tmp_path: Path, format: str, keys: set[str]) -> None:
    target = tmp_path / "out.jsonl"
    data = filled("--json", "examples", "export", "-o", target, "-f", format).data
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert data["examples"] == len(lines) == 3
    assert all(keys <= set(line) for line in lines)


def test_marked_examples_are_left_out_next_time(filled: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert filled("examples", "export", "-o", first, "--mark-used").out == f"Wrote 3 examples to {first}\n"
    assert filled("--json", "examples", "export", "-o", second, "--unused").data["examples"] == 0


@pytest.mark.parametrize(
    ("arguments", "code"), [(["-o", "x", "-f", "nope"], 2), (["-o", "/no/such/folder/x"], 1), ([], 2)]
)
def test_what_cannot_be_exported_is_one_line(run: Any, arguments: list[str], code: int) -> None:
    ran = run("examples", "export", *arguments)
    assert ran.code == code
    assert ran.err.startswith("samloop: ")
    assert ran.err.count("\n") == 1


def test_stats_have_the_shape_of_the_contract(filled: Any) -> None:
    data = filled("--json", "stats").data
    assert set(data["overall"]) == {
        "total_examples",
        "by_source",
        "by_format",
        "by_quality",
        "avg_token_length",
        "total_tokens",
        "storage_bytes",
    }
    assert {"total_examples", "storage_mb", "healthy_sources", "top_quality_percentage"} <= set(data["summary"])
    for other in (filled("--json", "stats", "summary").out, filled("stats", "json").out):
        figures = json.loads(other)["data"]["overall"]
        del figures["storage_bytes"]  # moves with the write-ahead log
        assert figures.items() <= data["overall"].items()
    assert "datasets" in filled("stats").out


def test_each_source_is_told_with_its_health(filled: Any) -> None:
    data = filled("--json", "stats", "sources").data
    totals = filled("--json", "stats").data["overall"]
    assert {entry["source"]: entry["total_examples"] for entry in data} == totals["by_source"]
    for entry in data:
        assert sum(entry["quality_distribution"].values()) == entry["total_examples"] == entry["examples_24h"]
        assert entry["health_score"] == pytest.approx(sum(entry["health"].values()) / 4, abs=1e-3)
        assert entry["healthy"] == (entry["health_score"] >= 0.6)
    lines = filled("stats", "sources").out.splitlines()
    assert all(any(line.startswith(entry["source"]) for line in lines) for entry in data)
    assert any(line.endswith("healthy") for line in lines)


def test_stats_of_an_empty_store_say_what_to_do(run: Any) -> None:
    assert "No source has brought anything yet" in run("stats", "sources").out
    assert "No example yet" in run("stats").out


def test_dedupe_keeps_the_best_and_only_once(filled: Any) -> None:
    question = next(iter(QUESTIONS))
    assert filled("examples", "add", question, "Use the soft reset of git, it keeps what you changed.").code == 0
    planned = filled("--json", "dedupe", "--strategy", "input", "--dry-run").data
    assert planned["rejected"] == 1
    (candidate,) = planned["preference_candidates"]
    assert [candidate["rejected"]] == planned["groups"][0]["rejected"]
    assert (candidate["chosen"], candidate["margin"] >= 0) == (planned["groups"][0]["kept"], True)
    assert "1 question answered in two ways" in filled("dedupe", "--strategy", "input", "--dry-run").out
    assert filled("--json", "dedupe", "--strategy", "input").data["groups"] == planned["groups"]
    assert filled("--json", "dedupe", "--strategy", "input").data["rejected"] == 0
    assert filled("--json", "dedupe").data["rejected"] == 0
    (group,) = planned["groups"]
    shown = filled("--json", "examples", "show", group["rejected"][0]).data
    assert (shown["state"], shown["reason"]) == ("rejected", f"duplicate of {group['kept']}")
    # Judging again does not bring the duplicate back.
    assert filled("--json", "validate").data["kept"] == 1
    assert filled("--json", "examples", "show", group["rejected"][0]).data["state"] == "rejected"
    assert filled("dedupe", "--strategy", "vibes").code == 2


def test_validate_changes_nothing_under_the_same_rules(filled: Any) -> None:
    data = filled("--json", "validate").data
    assert data["checked"] >= 3
    assert (data["changed"], data["moves"], data["unredacted"]) == (0, [], 0)


def test_validate_follows_a_stricter_recipe_and_back(filled: Any, home: Path) -> None:
    before = {id: filled("--json", "examples", "show", id).data for id in ids(filled)}
    (home / "samloop.toml").write_text("[curate]\nreject_below = 0.99\n")
    data = filled("--json", "validate").data
    assert {"was": "accepted", "is": "rejected", "examples": 3} in data["moves"]
    assert "rejected" in filled("validate").out or filled("--json", "validate").data["changed"] == 0
    assert ids(filled, "--state", "accepted") == []
    (home / "samloop.toml").write_text("")
    assert filled("validate").code == 0
    for id, was in before.items():
        now = filled("--json", "examples", "show", id).data
        assert (now["state"], now["reason"], now["quality_score"]) == (
            was["state"],
            was["reason"],
            was["quality_score"],
        )


def test_what_a_person_decided_stays(filled: Any, home: Path) -> None:
    from samloop.home import Home
    from samloop.store import Store

    (id,) = ids(filled, "--text", "tuple")
    with Store.open(Home(home)) as store:
        store.update_example(id, metadata={"human_reviewed": True}, state="accepted")
    (home / "samloop.toml").write_text("[curate]\nreject_below = 0.99\n")
    assert filled("--json", "validate").data["kept"] == 1
    assert ids(filled, "--state", "accepted") == [id]


def test_near_duplicates_are_shown_side_by_side(filled: Any) -> None:
    words = "the quick brown fox jumps over the lazy dog while seven old painters sleep beside a wide and silent lake"
    assert filled("examples", "add", f"Translate: {words} today", "Der Fuchs springt heute über den Hund.").code == 0
    assert filled("examples", "add", f"Translate: {words} now", "Der Fuchs springt heute über den Hund!").code == 0
    planned = filled("--json", "dedupe", "--strategy", "near", "--dry-run").data
    (group,) = planned["groups"]
    assert 0.8 <= planned["alike"][group["rejected"][0]] <= 1
    shown = filled("dedupe", "--strategy", "near", "--dry-run").out
    assert "Would reject 1 example" in shown
    assert "lake today" in shown
    assert "lake now" in shown
    assert group["kept"][:8] in shown
    assert filled("--json", "dedupe", "--strategy", "near").data["groups"] == planned["groups"]
    assert filled("--json", "dedupe", "--strategy", "near").data["rejected"] == 0
    assert filled("--json", "validate").data["kept"] == 1
