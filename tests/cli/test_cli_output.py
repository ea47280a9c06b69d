"""What reaches the terminal: untrusted text is shown, never obeyed."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.cli.output import Output, count, dump, duration, figure, safe, shorten

HOSTILE = "[bold red]x[/] \x1b[2J\x1b]0;title\x07 \u202edcba\u202c \x9b31m :smile: [link=http://example.org]y[/link]"


def test_escape_sequences_become_visible() -> None:
    shown = safe(HOSTILE)
    assert "␛[2J␛]0;title␇" in shown
    assert "\\u202edcba\\u202c" in shown
    assert "\\u009b31m" in shown
    assert safe("a\tb\nc") == "a\tb\nc"


@given(st.text(alphabet=st.characters()))
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    assert all(char in "\t\n" or not (ord(char) < 32 or 127 <= ord(char) < 160) for char in safe(text))
    safe(text).encode("utf-8")  # no lone surrogates either


@given(st.text(), st.integers(2, 50))
def test_shorten_gives_one_line_of_at_most_the_width(text: str, width: int) -> None:
    line = shorten(text, width)
    assert len(line) <= width
    assert "\n" not in line


def test_markup_of_an_example_is_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.line(HOSTILE)
    out.pairs({"name": HOSTILE, "absent": None})
    out.table(["a", ">b"], [[HOSTILE, 1], [None, 2]], title=HOSTILE)
    out.note(HOSTILE)
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert "\x1b" not in text
        assert "[bold red]x[/]" in text
        assert ":smile:" in text
        assert "[link=http://example.org]" in text
    assert captured.out.count("[bold red]x[/]") == 4
    assert "absent" not in captured.out


def test_a_stream_that_cannot_show_a_letter_is_no_failure(tmp_path) -> None:
    with (tmp_path / "ascii").open("w", encoding="ascii") as file:
        out = Output()
        out.stdout = file
        out.line("naïve ␛")
    assert (tmp_path / "ascii").read_text() == "na\\xefve \\u241b\n"


def test_wide_text_is_not_folded_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(["text"], [["word " * 40]])
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_strict_json() -> None:
    assert dump({"a": float("inf"), 1: None}) == '{"a":null,"1":null}'
    assert dump("\udcff") == '"\\udcff"'
    assert sys.stdout is not None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (12.3, "12 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (59.7, "60 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_and_figures() -> None:
    assert [count(1, "example"), count(1200, "example"), count(2, "entry", "entries")] == [
        "1 example",
        "1,200 examples",
        "2 entries",
    ]
    assert [figure(None), figure(float("nan")), figure(1234), figure(0.123456)] == ["-", "-", "1,234", "0.1235"]
