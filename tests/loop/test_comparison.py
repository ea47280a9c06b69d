"""The page of a comparison, on planted scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samloop.evaluate.compare import compare
from samloop.loop.comparison import page_text, worst_items, write_page
from samloop.protocols import Score


def planted(values: list[float], said: tuple[str, ...] = (), **more: Any) -> Score:
    settings: dict[str, Any] = {"suite": "quiz", "name": "right_answers", "unit": "share", "better": "higher"} | more
    return Score(
        ids=tuple(f"q{at}" for at in range(len(values))),
        numerators=tuple(values),
        denominators=(1.0,) * len(values),
        said=said,
        **settings,
    )


BEFORE = planted([0.0] * 30 + [1.0] * 10, said=("no idea",) * 39 + ("yes",))
AFTER = planted([1.0] * 39 + [0.0], said=("quite `sure`",) * 39 + ("# not\nany more",))
ITEMS = {"quiz": [{"id": f"q{at}", "messages": [{"role": "user", "content": f"Question {at}?"}]} for at in range(40)]}
SCORES = {"base": [BEFORE], "ad-1": [AFTER]}


def test_the_page_says_what_is_certain_and_shows_where_they_differ() -> None:
    page = page_text([compare(BEFORE, AFTER)], SCORES, ITEMS, "comparison.png", 0.95)
    lines = page.splitlines()
    assert lines[0] == "# ad-1 against base"
    assert "Than base, ad-1 is better in right answers." in lines
    (row,) = [line for line in lines if line.startswith("| right answers")]
    assert row.startswith("| right answers | 40 | 25.0% [")
    assert "| +72.5 points [" in row
    assert "![The gain of each measure with its interval](comparison.png)" in lines
    lost = lines.index("## Where it lost most: right answers")
    gained = lines.index("## Where it gained most: right answers")
    assert "- `q39`: 1 → 0" in lines[lost:gained]
    assert "  - ad-1: `# not any more`" in lines[lost:gained], "a model's text is shown, and is no Markdown of ours"
    assert "  - ad-1: `` quite `sure` ``" in lines[gained:]
    assert "  - asked: `Question 0?`" in lines[gained:]


def test_a_page_without_a_difference_says_so() -> None:
    page = page_text([compare(BEFORE, BEFORE)], {"base": [BEFORE], "ad-1": [BEFORE]}, {}, "x.png", 0.95)
    assert "No measure tells ad-1 from base with any certainty." in page
    assert "Where it" not in page


def test_page_and_picture_lie_side_by_side_for_their_owner_alone(tmp_path: Path) -> None:
    page, picture = write_page(tmp_path, [compare(BEFORE, AFTER)], SCORES, ITEMS, 0.95)
    assert page.parent == picture.parent == tmp_path
    assert page.stat().st_mode & 0o077 == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_mode & 0o077 == 0


def test_worst_items_come_with_question_and_answer_cut_where_long() -> None:
    score = planted([0.2, 0.9], said=("x" * 999, "fine"))
    found = worst_items(score, [{"id": "q0", "prompt": "Write a loop."}])
    assert [(one["id"], one["value"], one["question"]) for one in found] == [
        ("q0", 0.2, "Write a loop."),
        ("q1", 0.9, None),
    ]
    assert len(found[0]["said"]) == 300
    assert worst_items(planted([0.5]), [])[0]["said"] is None
