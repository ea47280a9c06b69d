"""Expressions looked for together: the same answers as each by itself, whatever stands side by side."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.text.watch import Watch

EXPRESSIONS = (r"\bab{2}\b", r"(?i:key)\s{1,4}=", r"(?m:^[ \t]*#)", "[0-9](?: ?[0-9]){3}", "ü")
PIECES = ["abb", "xabb", "key", "KEY", " ", "\n", "=", "#", "12", "3 4", "ü", "é", "[", "\t", "end"]
WATCH = Watch(EXPRESSIONS)


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), max_size=12))
def test_texts_side_by_side_are_told_as_each_alone(texts: list[str]) -> None:
    alone = {}
    for at, text in enumerate(texts):
        which = [n for n, one in enumerate(EXPRESSIONS) if re.search(one, text, re.ASCII)]
        assert sorted(WATCH.which(text)) == which
        if which:
            alone[at] = which
    assert {at: sorted(which) for at, which in WATCH.seen(texts)} == alone


def test_what_only_two_texts_together_would_match_is_none() -> None:
    assert list(WATCH.seen(["the key", " = 1"])) == []
    assert dict(WATCH.seen(["the key", " = abb", "key ="])) == {1: [0], 2: [1]}


@pytest.mark.parametrize("texts", [[], [""], ["", "", ""], ["abb"], ["\n", "abb", "\n"]])
def test_empty_texts_are_no_trouble(texts: list[str]) -> None:
    assert [at for at, _ in WATCH.seen(texts)] == [at for at, text in enumerate(texts) if text == "abb"]


def test_half_of_a_surrogate_is_survived() -> None:
    assert list(WATCH.which("abb \ud800 ü")) == [0, 4]


def test_without_room_for_its_states_every_expression_may_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samloop.text.watch._MEMORY_BYTES", 2**15)
    watch = Watch(["(?:a|b){40}c[ab]{30}", "x[ab]{20}y"])
    text = "ab" * 3_000 + "c" + "ba" * 30
    assert [at for at, _ in watch.seen(["nothing", text])] == [1]
    assert 0 in watch.which(text)
