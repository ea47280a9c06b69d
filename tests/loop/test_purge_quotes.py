"""Quotes of erased texts are found whole, cut short and in other spelling; what is not one stays."""

from __future__ import annotations

import json

import pytest

from samloop.loop import purge_quotes
from samloop.loop.purge_quotes import ERASED, Quotes

TEXT = "The lighthouse keeper of Quarrel Point paints every door in the colour of ripe quinces.\nx = quince(7)"


@pytest.mark.parametrize(
    "quote",
    [
        TEXT,
        "The lighthouse keeper of …",
        "… in the colour of ripe quinces.",
        "THE  LIGHTHOUSE\tkeeper of quarrel point",
        "? he said: lighthouse keeper of Quarrel",
        "x = quince(7)",
    ],
)
def test_a_quote_is_found(quote: str) -> None:
    assert Quotes([TEXT]).in_text(quote)


@pytest.mark.parametrize("other", ["", "The lighthouse.", "perplexity 41.2 [38.1, 44.0]", "quince", "of ripe colour"])
def test_what_has_no_run_in_common_is_none(other: str) -> None:
    assert not Quotes([TEXT]).in_text(other)


def test_a_needle_is_found_wherever_it_stands_and_in_keys() -> None:
    quotes = Quotes([], ["Quarrel  point"])
    assert quotes.in_text("they met at quarrel point")
    assert quotes.out_of({"at Quarrel Point": 1, "else": ["no", "Quarrel Point, he said"]}) == {
        ERASED: 1,
        "else": ["no", ERASED],
    }


def test_lines_that_quote_go_and_the_others_stay_byte_for_byte() -> None:
    text = f"figures\r\n  1  2\n{TEXT}\n  last"
    assert Quotes([TEXT]).out_of_lines(text) == f"figures\r\n  1  2\n{ERASED}\n{ERASED}\n  last"
    other = "figures\r\n 1\n"
    assert Quotes([TEXT]).out_of_lines(other) is other


def test_json_keeps_its_figures_and_loses_objects_of_the_erased() -> None:
    plain = {
        "mean": 4.25,
        "samples": [{"id": "gone", "n": 1}, {"id": "kept", "said": TEXT[:40]}, {"metadata": {"id": "gone"}}],
        "ids": ["gone", "kept"],
    }
    quotes = Quotes([TEXT], ids=["gone"])
    assert json.loads(quotes.out_of_json(json.dumps(plain))) == {
        "mean": 4.25,
        "samples": [{"id": "kept", "said": ERASED}],
        "ids": ["gone", "kept"],
    }
    same = '{ "mean":  4.250 }'
    assert quotes.out_of_json(same) is same, "what quotes nothing is not written anew"
    assert quotes.out_of_json(f"not json: {TEXT}") == f"{ERASED}\n{ERASED}"


def test_many_texts_come_in_portions_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_quotes, "PORTION_CHARACTERS", 50)
    texts = [f"{number} says the keeper of Quarrel Point" for number in range(5)]
    found = list(purge_quotes.portions(iter(texts)))
    assert [text for portion in found for text in portion] == texts and len(found) == 3
    assert list(purge_quotes.portions([])) == [[]]


def test_texts_in_any_script_are_found() -> None:
    text = "Der Leuchtturmwärter von Zänkerspitz streicht jede Tür; 灯台守はすべての扉を熟したマルメロの色に塗る。"
    quotes = Quotes([text])
    assert quotes.in_text("灯台守はすべての扉を熟したマルメロの色")
    assert quotes.in_text("LEUCHTTURMWÄRTER VON ZÄNKERSPITZ")
    assert not quotes.in_text("扉を塗る")
