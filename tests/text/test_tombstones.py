"""Tombstones tell what was erased, and nothing to whoever has no key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from samloop.text.tombstones import ORIGIN, PLACE, RECORD, lies_in, origin_of, places_of, tombstone

KEY, OTHER = b"k" * 32, b"o" * 32


def test_kinds_keys_and_values_tell_apart() -> None:
    stones = {
        tombstone(key, kind, value)
        for key in (KEY, OTHER)
        for kind in (RECORD, ORIGIN, PLACE)
        for value in ("a", "b")
    }
    assert len(stones) == 12 and all(len(stone) == 32 for stone in stones)
    assert tombstone(KEY, RECORD, "a") == tombstone(KEY, RECORD, "a")
    assert origin_of("docs", "README.md#use", "docs:one:README.md") != origin_of(
        "docs", "README.md#use", "docs:two:README.md"
    )


def test_a_place_holds_what_lies_in_it_and_not_what_begins_like_it() -> None:
    assert lies_in("git:tool@0e78:src/a.py", "git:tool")
    assert lies_in("git:tool@0e78:src/a.py", "git:tool@0e78")
    assert lies_in("git:tool@0e78:src/a.py", "git:tool@0e78:src/")
    assert lies_in("mails.jsonl:3", "mails.jsonl") and lies_in("mails.jsonl", "mails.jsonl")
    assert not lies_in("git:toolbox@11", "git:tool") and not lies_in("mails.jsonl:31", "mails.jsonl:3")
    assert not lies_in(None, "git") and not lies_in("", "git")


@given(st.text(alphabet="ab/:#@é", max_size=12), st.text(alphabet="ab/:#@é", min_size=1, max_size=12))
def test_the_places_of_a_name_are_those_it_lies_in(name: str, place: str) -> None:
    if place[-1] not in "/:#@":  # a place is named without the joint that follows it
        assert (place in places_of(name)) == lies_in(name, place)
