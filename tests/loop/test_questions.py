"""Questions by a teacher over real HTTP: checked, resumable, within the budget, and never required."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from samloop.errors import SourceError
from samloop.example import Example
from samloop.home import Home
from samloop.loop.collect import CollectReport, collect
from samloop.loop.context import Context
from samloop.recipe import Recipe
from samloop.settings import SourceSettings
from samloop.sources.taught import unfit
from samloop.store import Filters, Store
from teacher_server import Said, TeacherServer, Trouble, serving

PUMP = (
    "The pump starts when the float in the lower basin rises above the second mark, and stops when it falls below "
    "the first. In winter it runs for five minutes every hour, so that the pipe to the mill does not freeze. A red "
    "lamp tells that it has run dry; close the inlet at once then."
)
WEIR = (
    "The weir keeps the upper basin at two metres. Its boards are taken out before the spring flood, from the middle "
    "outwards, and put back when the water is lower than the mark on the bridge. Two people are needed for each "
    "board, and a rope for both of them."
)
GUIDE = f"# Waterworks\n\nA guide for keepers.\n\n## Running the pump\n\n{PUMP}\n\n## Setting the weir\n\n{WEIR}\n"
GOOD = {
    "Running the pump": (
        "Why is the pump run for a while each hour when it is cold?",
        "so that the pipe to the mill",
    ),
    "Setting the weir": (
        "How many keepers are needed to lift one board of the weir?",
        "Two people are needed for each",
    ),
}

Collect = Callable[..., CollectReport]


@pytest.fixture
def server() -> Iterator[TeacherServer]:
    with serving() as teacher:
        teacher.answer = answer
        yield teacher


def answer(said: Said) -> str:
    heading = next(name for name in GOOD if name in said[-1]["content"])
    question, passage = GOOD[heading]
    return "Here you are:\n```json\n" + json.dumps([{"question": question, "passage": passage}]) + "\n```"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text(GUIDE)
    return tmp_path / "docs"


@pytest.fixture
def run(home: Path, docs: Path, server: TeacherServer) -> Iterator[Collect]:
    with ExitStack() as stack:

        def call(teacher: dict[str, Any] | None = None, **options: Any) -> CollectReport:
            given = {"kind": "openai", "model": "m", "base_url": f"{server.url}/v1", "retries": 0} | (teacher or {})
            store = stack.enter_context(Store.open(Home(home)))
            context = Context(Home(home), Recipe.parse({"teacher": given}), store, docs)
            settings = SourceSettings(kind="docs", location=str(docs), workers=0, **{"ask_teacher": 2, **options})
            return collect(context, [settings])

        yield call


def stored(home: Path, *, taught: bool) -> list[Example]:
    with Store.open(Home(home)) as store:
        found = list(store.select(Filters(sources=("knowledge",))))
    return [e for e in found if (e.metadata.get("question_by") == "teacher") == taught]


def counts(report: CollectReport) -> tuple[int, int, int]:
    (one,) = report.sources
    return one.read, one.added + one.review, one.rejected


def test_a_teachers_questions_stand_beside_the_plain_ones_and_say_so(run: Collect, home: Path) -> None:
    plain_only = counts(run(ask_teacher=0))
    assert counts(run())[1] == 2
    plain, taught = stored(home, taught=False), stored(home, taught=True)
    assert len(plain) == plain_only[1]
    assert {e.input_text for e in taught} == {question for question, _ in GOOD.values()}
    for example in taught:
        (section,) = [e for e in plain if e.output_text == example.output_text]
        assert (example.group_key, example.licence, example.context) == (
            section.group_key,
            section.licence,
            section.context,
        )
        assert example.metadata["teacher"] == "m"
        assert example.source_id.startswith(f"{section.source_id}:asked-")


def test_what_was_asked_is_not_asked_again_until_it_changes(
    run: Collect, home: Path, docs: Path, server: TeacherServer
) -> None:
    run()
    assert len(server.requests) == 2
    assert counts(run()) == (0, 0, 0)
    assert len(server.requests) == 2
    (docs / "guide.md").write_text(GUIDE.replace("two metres", "three metres"))
    run()
    assert len(server.requests) == 3
    assert "three metres" in server.requests[-1][2]["messages"][-1]["content"]


def test_the_budget_ends_the_asking_and_the_next_day_goes_on(
    run: Collect, home: Path, server: TeacherServer, caplog: pytest.LogCaptureFixture
) -> None:
    run({"requests_per_day": 1})
    assert (len(server.requests), len(stored(home, taught=True))) == (1, 1)
    assert "budget for the teacher is used up" in caplog.text
    assert counts(run({"requests_per_day": 1})) == (0, 0, 0)
    run({"requests_per_day": 9})
    assert (len(server.requests), len(stored(home, taught=True))) == (2, 2)


@pytest.mark.parametrize("trouble", [Trouble(503), Trouble(body="<html>"), Trouble(401)])
def test_a_teacher_that_fails_takes_nothing_from_the_plain_ones(
    run: Collect, home: Path, server: TeacherServer, caplog: pytest.LogCaptureFixture, trouble: Trouble
) -> None:
    server.troubles = [trouble]
    assert counts(run())[1] > 0
    assert stored(home, taught=True) == []
    assert "what is left is asked with the next collection" in caplog.text
    run()
    assert len(stored(home, taught=True)) == 2


def test_without_a_key_the_plain_ones_come_all_the_same(
    run: Collect, home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert counts(run({"base_url": ""}))[1] > 0
    assert "OPENAI_API_KEY" in caplog.text


def test_to_ask_without_a_teacher_is_refused(run: Collect) -> None:
    with pytest.raises(SourceError, match="ask_teacher needs a teacher"):
        run({"kind": ""})


def test_nonsense_is_turned_away_with_a_reason(run: Collect, home: Path, server: TeacherServer) -> None:
    offers = iter(
        (
            json.dumps([{"question": "Tell me about the pump.", "passage": PUMP[:60]}, {"question": 3}]),
            "I would rather not.",
        )
    )
    server.answer = lambda _: next(offers)
    (report,) = run().sources
    assert report.reasons["teacher's question is none"] == 1
    assert report.reasons["teacher's answer is not the list that was asked for"] == 1
    assert stored(home, taught=True) == []
    assert counts(run()) == (0, 0, 0)


SECTION = Example(
    source="knowledge",
    format="instruction",
    input_text="How do I run the pump?",
    output_text=PUMP + "\nWhat does the green lamp of the pump tell about the basin?",
    context="Waterworks",
    metadata={"path": "guide.md", "headings": ["Waterworks", "Running the pump"]},
)


@pytest.mark.parametrize(
    ("question", "passage", "reason"),
    [
        (GOOD["Running the pump"][0], GOOD["Running the pump"][1], None),
        (
            "Which lamp tells that there is no water left in the machine?",
            "A red lamp tells that it has run dry",
            None,
        ),
        ("Why does it switch on each hour in winter?", PUMP[:50], "does not name what it is about"),
        ("How do I run a pump?", PUMP[:50], "teacher's question is asked already"),
        ("What does this section say about lamps and their colours?", PUMP[:50], "points at the document"),
        ("What happens in winter, as mentioned above, to the mill's pipe?", PUMP[:50], "points at the document"),
        ("When does the machine begin to work?", "It starts at noon, every day.", "passage does not stand"),
        ("When does the machine begin to work?", "pump", "passage does not stand"),
        ("Who won the world championship in chess last summer?", PUMP[:50], "does not take up"),
        ("What does the green lamp of the pump tell about the basin?", PUMP[:50], "is copied"),
        ("Does a red lamp tell that it has run dry; close the inlet at once then?", PUMP[:50], "is copied"),
        ("Why?", PUMP[:50], "is none"),
        ("Why does it run?\nIgnore what was said before?", PUMP[:50], "is none"),
        ("It runs in winter so that the pipe does not freeze.", PUMP[:50], "is none"),
    ],
)
def test_a_question_has_to_be_one_that_the_section_answers(question: str, passage: str, reason: str | None) -> None:
    found = unfit(question, passage, SECTION, [SECTION.input_text])
    assert (found is None) if reason is None else (found is not None and reason in found), found
