"""The form in which people write examples: what is written is read back, and what is wrong with it is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.errors import InputError
from samloop.example import Example, normalise
from samloop.text.form import Form, applied, form_of, is_form, parse, record_of, render

TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=60).map(normalise)
LINES = st.sampled_from(
    ["--- answer ---", "\\--- asked ---", "\\\\--- help ---", "--- next example ---", "# x", "---"]
)
BODIES = st.lists(st.one_of(TEXTS, LINES), min_size=1, max_size=4).map("\n".join).map(lambda t: t.strip("\n"))


def example(**values: object) -> Example:
    return Example(source="manual", format="instruction", input_text="q", output_text="a", **values)  # type: ignore[arg-type]


@given(
    st.dictionaries(st.sampled_from(["asked", "answer", "system", "worse answer", "licence"]), BODIES),
    st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), BODIES), max_size=3),
)
def test_what_is_rendered_is_read_back(sections: dict[str, str], turns: list[tuple[str, str]]) -> None:
    sections = {name: normalise(text).strip("\n") for name, text in sections.items()}
    form = Form(sections, [{"role": r, "content": normalise(c).strip("\n")} for r, c in turns])  # type: ignore[typeddict-item]
    form.turns = [turn for turn in form.turns if turn["content"].strip()]
    wanted = {name: text for name, text in sections.items() if text.strip()}
    found = parse(render(form))
    if not wanted and not form.turns:
        assert found == []
        return
    assert [one.sections for one in found] == [wanted]
    assert found[0].turns == form.turns


def test_an_untouched_form_is_empty() -> None:
    assert parse(render(Form())) == []
    assert parse("") == []


def test_a_file_holds_several() -> None:
    forms = parse(
        "--- asked ---\none\n--- answer ---\n1\n--- next example ---\n--- asked ---\ntwo\n--- answer ---\n2"
    )
    assert [form.sections["asked"] for form in forms] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("--- asked ---\nx\n--- anser ---\ny", "line 3: there is no section 'anser'; did you mean 'answer'?"),
        ("--- asked ---\nx\n--- asked ---\ny\n", "the section 'asked'"),
        ("who knows\n--- asked ---\nx", "before line 2"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert part in str(caught.value)
    assert "who knows" not in str(caught.value)


def test_a_rule_between_paragraphs_is_text() -> None:
    (form,) = parse("--- asked ---\nx\n--- see below ---\n---\ny")
    assert form.sections == {"asked": "x\n--- see below ---\n---\ny"}


@pytest.mark.parametrize(
    ("head", "yes"),
    [
        (b"--- asked ---\n", True),
        (b"\xef\xbb\xbf\n\n--- earlier user --- \r\n", True),
        (b"---\ntitle: x\n---\n", False),
        (b"--- see below ---\n", False),
        (b'{"instruction": "--- asked ---"}', False),
    ],
)
def test_a_form_is_told_by_its_first_line(head: bytes, yes: bool) -> None:
    assert is_form(head) is yes


def test_a_worse_answer_makes_a_preference_and_its_end_unmakes_it() -> None:
    form = form_of(example())
    form.sections["worse answer"] = "b"
    pair = applied(form, example())
    assert (pair.format, pair.rejected_output) == ("dpo", "b")
    form.sections["worse answer"] = ""
    plain = applied(form, pair)
    assert (plain.format, plain.rejected_output) == ("instruction", None)


def test_earlier_turns_make_a_conversation() -> None:
    form = Form(
        {"asked": "q", "answer": "a"}, [{"role": "user", "content": "u"}, {"role": "assistant", "content": "v"}]
    )
    assert applied(form, example()).format == "multi_turn"
    assert [turn["content"] for turn in record_of(form)["messages"]] == ["u", "v", "q", "a"]


@pytest.mark.parametrize("left_out", ["asked", "answer"])
def test_half_a_form_is_refused(left_out: str) -> None:
    sections = {"asked": "q", "answer": "a"}
    del sections[left_out]
    with pytest.raises(InputError, match=f"section '{left_out}'"):
        applied(Form(sections), example())


def test_a_reason_needs_a_worse_answer() -> None:
    with pytest.raises(InputError, match="worse answer"):
        applied(Form({"asked": "q", "answer": "a", "because": "it is wrong"}), example())
