"""Collect: every record counted once, marks that hold, and one source that never spoils another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from samloop import plugins
from samloop.errors import RecipeError, SourceError
from samloop.example import Example
from samloop.home import Home
from samloop.loop.collect import COUNTS, collect
from samloop.loop.context import Context
from samloop.protocols import Record, source
from samloop.recipe import Recipe
from samloop.settings import SourceSettings
from samloop.store import Filters, Store

Open = Callable[..., Context]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a new store: made once, since making it runs the migrations."""
    made = Home(tmp_path_factory.mktemp("empty") / "home")
    Store.open(made).close()
    return made.database.read_bytes()


@pytest.fixture
def open_home(tmp_path: Path, empty_store: bytes) -> Iterator[Open]:
    """Opens the home of that name with a recipe of these settings; paths of the recipe start at `tmp_path`."""
    with ExitStack() as stack:

        def opened(name: str = "home", **recipe: Any) -> Context:
            home = Home(tmp_path / name)
            if not home.database.exists():
                home.create().database.write_bytes(empty_store)
            return Context(home, Recipe.parse(recipe), stack.enter_context(Store.open(home)), tmp_path)

        yield opened


def line(number: int, **changed: Any) -> str:
    """An example of instruction data that is accepted, as JSON text."""
    answer = f"Setting {number} says how long a worker waits for its turn before it gives up and says so in the log."
    return json.dumps({"instruction": f"What does setting {number} of the queue say?", "output": answer} | changed)


def write(path: Path, *lines: str) -> SourceSettings:
    path.write_text("".join(f"{line}\n" for line in lines))
    return SourceSettings(kind="dataset", location=str(path))


MIXED = [
    line(1),
    line(1),
    line(2, instruction="Ready?", output="Ok"),
    line(3, output="I'm sorry, but I can't help with that."),
    "{broken",
    line(4),
    line(5, instruction=""),
    line(6),
    line(1),
    '["not an object"]',
]


def counts(report: Any) -> tuple[int, ...]:
    return tuple(report[name] for name in COUNTS)


def stored(context: Context, **chosen: Any) -> list[str]:
    return [example.input_text for example in context.store.select(Filters(**chosen))]


@pytest.mark.parametrize("batch_examples", [1, 2, 3, 100])
def test_every_record_is_counted_once_at_every_moment(open_home: Open, tmp_path: Path, batch_examples: int) -> None:
    context = open_home(collect={"batch_examples": batch_examples})
    seen: list[dict[str, Any]] = []
    report = collect(context, [write(tmp_path / "mixed.jsonl", *MIXED)], on_progress=seen.append).to_dict()
    for news in seen:
        assert news["read"] == news["added"] + news["duplicate"] + news["rejected"] + news["review"]
    assert [news["read"] for news in seen] == sorted(news["read"] for news in seen)
    assert counts(report["totals"]) == (10, 3, 2, 4, 1)
    assert sum(report["sources"][0]["reasons"].values()) == 5
    assert context.store.count() == 5
    assert len(stored(context, states=("accepted",))) == 3


def test_a_second_collection_reads_nothing_and_a_third_what_is_new(open_home: Open, tmp_path: Path) -> None:
    context = open_home(collect={"batch_examples": 2})
    settings = write(tmp_path / "growing.jsonl", *map(line, range(5)))
    assert counts(collect(context, [settings]).to_dict()["totals"]) == (5, 5, 0, 0, 0)
    assert counts(collect(context, [settings]).to_dict()["totals"]) == (0, 0, 0, 0, 0)
    with (tmp_path / "growing.jsonl").open("a") as file:
        file.write(line(5) + "\n" + line(0) + "\n")
    assert counts(collect(context, [settings]).to_dict()["totals"]) == (2, 1, 1, 0, 0)
    assert context.store.count() == 6


def test_a_mark_is_stored_with_the_examples_before_it_and_not_earlier(open_home: Open, tmp_path: Path) -> None:
    context = open_home(collect={"batch_examples": 1})
    settings = write(tmp_path / "first.jsonl", *map(line, range(3)))
    place = (settings.kind, settings.location)
    marks = []

    def stop_at_the_second(news: dict[str, Any]) -> None:
        marks.append(context.store.watermark(*place))
        if news["read"] == 2:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        collect(context, [settings], on_progress=stop_at_the_second)
    assert marks == [None, None]
    assert counts(collect(context, [settings]).to_dict()["totals"]) == (3, 1, 2, 0, 0)
    mark = context.store.watermark(*place)
    assert mark is not None
    assert mark["files"]["first.jsonl"]["done"] is True


def test_what_two_sources_have_in_common_is_added_once(open_home: Open, tmp_path: Path) -> None:
    context = open_home()
    first = write(tmp_path / "first.jsonl", line(1), line(2))
    second = write(tmp_path / "second.jsonl", line(2), line(3), line(2))
    report = collect(context, [first, second]).to_dict()
    assert [counts(entry) for entry in report["sources"]] == [(2, 2, 0, 0, 0), (3, 1, 2, 0, 0)]
    assert counts(report["totals"]) == (5, 3, 2, 0, 0)
    assert context.store.count() == 3


def test_rejects_are_listed_with_file_line_and_reason(open_home: Open, tmp_path: Path) -> None:
    settings = write(tmp_path / "mixed.jsonl", *MIXED)
    context, listed = open_home(), tmp_path / "rejects.jsonl"
    report = collect(context, [settings], rejects=listed).to_dict()["totals"]
    entries = [json.loads(entry) for entry in listed.read_text().splitlines()]
    assert len(entries) == report["rejected"] + report["review"]
    assert all(entry["location"] == settings.location and entry["reason"] for entry in entries)
    by_line = {entry["line"]: entry for entry in entries if entry["line"]}
    assert sorted(by_line) == [5, 7, 10]
    assert by_line[10]["reason"] == "not an object"
    judged = {entry["id"]: (entry["reason"], entry["detail"]) for entry in entries if not entry["line"]}
    assert judged["mixed.jsonl:4"] == ("answer refuses", "review")
    assert "Setting" not in listed.read_text(), "a list of rejects names records, it does not repeat them"


def test_a_list_of_rejects_that_cannot_be_written_stops_before_anything_is_read(
    open_home: Open, tmp_path: Path
) -> None:
    context, settings = open_home(), write(tmp_path / "mixed.jsonl", *MIXED)
    with pytest.raises(Exception, match="list of rejects"):
        collect(context, [settings], rejects=tmp_path / "nowhere" / "rejects.jsonl")
    assert context.store.count() == 0


def test_a_broken_source_does_not_stop_the_others(open_home: Open, tmp_path: Path) -> None:
    context = open_home()
    gone = SourceSettings(kind="dataset", location=str(tmp_path / "gone.jsonl"))
    sources = [write(tmp_path / "a.jsonl", line(1)), gone, write(tmp_path / "b.jsonl", line(2))]
    report = collect(context, sources)
    (error,) = report.errors
    assert "gone.jsonl" in error
    data = report.to_dict()
    assert counts(data["totals"]) == (2, 2, 0, 0, 0)
    assert [entry.get("error") for entry in data["sources"]] == [None, error, None]
    with pytest.raises(SourceError, match=r"gone\.jsonl"):
        collect(context, [gone])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"license": "MIT"}, "'dataset' has no option 'license'; did you mean 'licence'?"),
        ({"max_line_byte": 9}, "did you mean 'max_line_bytes'?"),
        ({"zzz": 1}, "known: licence, max_line_bytes, variables"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest(
    open_home: Open, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    context = open_home()
    good, path = write(tmp_path / "good.jsonl", line(1)), str(tmp_path / "good.jsonl")
    with pytest.raises(RecipeError) as error:
        collect(context, [good, SourceSettings(kind="dataset", location=path, **options)])
    assert message in str(error.value)
    assert context.store.count() == 0


def test_a_source_that_is_switched_off_is_read_only_when_named(open_home: Open, tmp_path: Path) -> None:
    write(tmp_path / "off.jsonl", line(1))
    source = {"kind": "dataset", "location": "off.jsonl", "enabled": False}
    context = open_home(collect={"sources": [source]})
    assert collect(context).to_dict()["sources"] == []
    assert counts(collect(context, context.recipe.collect.sources).to_dict()["totals"]) == (1, 1, 0, 0, 0)


TEMPLATED = [
    line(n, output=f"I am {{{{name}}}}, made by {{{{author}}}}, and I answer question {n}.") for n in range(4)
]


def test_the_assistants_name_fills_templates(open_home: Open, tmp_path: Path) -> None:
    context, settings = open_home(sam={"name": "Ada"}), write(tmp_path / "identity.jsonl", *TEMPLATED)
    assert counts(collect(context, [settings]).to_dict()["totals"]) == (4, 0, 0, 4, 0), (
        "nobody said who the author is"
    )
    given = SourceSettings(kind="dataset", location=settings.location, variables={"author": "us"})
    context.store.forget_watermark("dataset", settings.location)
    collect(context, [given])
    answers = [example.output_text for example in context.store.select()]
    assert sorted(answers)[0] == "I am Ada, made by us, and I answer question 0."
    own = SourceSettings(kind="dataset", location=settings.location, variables={"author": "us", "name": "Bo"})
    context.store.forget_watermark("dataset", settings.location)
    collect(context, [own])
    assert sum("I am Bo" in example.output_text for example in context.store.select()) == 4


def test_the_recipes_bound_on_lines_holds_unless_the_source_has_its_own(open_home: Open, tmp_path: Path) -> None:
    settings = write(tmp_path / "long.jsonl", line(1), line(2, output="word " * 1_000))
    report = collect(open_home("bounded", collect={"max_line_bytes": 2_000}), [settings]).to_dict()
    assert report["sources"][0]["reasons"] == {"line too long": 1}
    wide = SourceSettings(kind="dataset", location=settings.location, max_line_bytes=10_000)
    report = collect(open_home("wide", collect={"max_line_bytes": 2_000}), [wide]).to_dict()
    assert "line too long" not in report["sources"][0]["reasons"]


def test_long_conversations_are_told_in_windows_that_fit_into_training(open_home: Open, tmp_path: Path) -> None:
    turns = [
        {"uuid": f"t{n}", "sender": ("human", "assistant")[n % 2], "created_at": f"2025-01-01T00:{n:02}:00Z",
         "text": f"On pump {n}: the valve of well {n} opens once the level of basin {n} is above its mark. " * 3}
        for n in range(12)
    ]  # fmt: skip
    talk = {"uuid": "c", "name": "Pumps", "created_at": "2025-01-01T00:00:00Z", "chat_messages": turns}
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([{**talk, "updated_at": "2025-01-01T01:00:00Z"}]))
    told = {}
    own = {"window_characters": 90_000}
    for name, tokens, options in (("wide", 4096, {}), ("narrow", 256, {}), ("own", 256, own)):
        context = open_home(name, train={"max_seq_tokens": tokens})
        collect(context, [SourceSettings(kind="claude-ai", location=str(path), **options)])
        told[name] = [
            sum(len(turn["content"]) for turn in example.conversation_history) + len(example.input_text)
            + len(example.output_text)
            for example in context.store.get_examples_by_source("claude_ai")
        ]  # fmt: skip
    assert len(told["wide"]) == len(told["own"]) == 1
    assert len(told["narrow"]) == 6
    assert max(told["narrow"]) <= 4 * 256


def test_few_long_texts_make_a_batch(open_home: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samloop.loop.collect.BATCH_CHARACTERS", 4_000)
    seen: list[int] = []
    settings = write(tmp_path / "long.jsonl", *(line(n, output=f"{n} " + "word " * 500) for n in range(8)))
    collect(open_home(), [settings], on_progress=lambda news: seen.append(news["read"]))
    assert seen == [2, 4, 6, 8, 8, 8]


def test_a_source_set_to_be_reviewed_goes_to_review(open_home: Open, tmp_path: Path) -> None:
    context, settings = open_home(), write(tmp_path / "a.jsonl", line(1), line(2))
    report = collect(context, [settings.model_copy(update={"review": True})]).to_dict()["sources"][0]
    assert (counts(report), report["reasons"]) == ((2, 0, 0, 0, 2), {"its source is set to be reviewed": 2})


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Barrier:
    """A source "meets" that yields one example, once as many others of its kind read as the barrier wants."""
    barrier = Barrier(2)

    @source("meets")
    def meets(location: str, since: Mapping[str, Any] | None) -> Iterator[Record]:
        barrier.wait(timeout=60)
        if location.endswith("bad"):
            raise SourceError(f"expected something good, got {location}")
        yield example_of(json.loads(line(1)), location)
        barrier.wait(timeout=60)
        yield example_of(json.loads(line(2)), location)

    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda kind, name: meets if name == "meets" else load(kind, name))
    return barrier


def example_of(record: Mapping[str, str], location: str) -> Example:
    return Example(
        source="meets",
        format="instruction",
        input_text=record["instruction"],
        output_text=record["output"],
        source_id=f"{Path(location).name}#{record['instruction']}",
        created_at=1.0,
    )


@pytest.mark.usefixtures("meeting")
def test_sources_are_read_side_by_side_and_the_first_keeps_what_they_share(open_home: Open) -> None:
    context, news = open_home(), []
    sources = [SourceSettings(kind="meets", location=name) for name in ("first", "second")]
    report = collect(context, sources, on_progress=news.append).to_dict()
    assert [counts(entry) for entry in report["sources"]] == [(2, 2, 0, 0, 0), (2, 0, 2, 0, 0)]
    assert {example.source_id.partition("#")[0] for example in context.store.select()} == {"first"}
    assert [Path(one["location"]).name for one in news if one["ended"]] == ["first", "second"]


@pytest.mark.usefixtures("meeting")
def test_a_source_that_fails_beside_another_leaves_it_alone(open_home: Open) -> None:
    context = open_home()
    sources = [SourceSettings(kind="meets", location="bad"), write(context.folder / "good.jsonl", line(1))]
    report = collect(context, [*sources, SourceSettings(kind="meets", location="also bad")]).to_dict()
    assert [bool(entry.get("error")) for entry in report["sources"]] == [True, False, True]
    assert context.store.count() == 1


def test_an_interrupt_ends_all_that_are_read_side_by_side(open_home: Open, tmp_path: Path) -> None:
    context = open_home(collect={"batch_examples": 1})
    parts = {"a": range(50), "b": range(50, 100)}
    sources = [write(tmp_path / f"{name}.jsonl", *map(line, part)) for name, part in parts.items()]

    def interrupt(news: dict[str, Any]) -> None:
        if news["read"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(context, sources, on_progress=interrupt)
    assert context.store.count() == 3
    assert counts(collect(context, sources).to_dict()["totals"])[1] == 97
