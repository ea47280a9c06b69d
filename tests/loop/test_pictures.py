"""Histograms as SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from samloop.loop.bulk.pictures import BOTTOM, LEFT, RIGHT, TOP, histogram

NAMES = {"svg": "http://www.w3.org/2000/svg"}


def bars(text: str, colour: str) -> list[dict[str, float]]:
    found = ElementTree.fromstring(text).findall(f"svg:rect[@fill='{colour}'][@stroke]", NAMES)
    return [{name: float(bar.attrib[name]) for name in ("x", "y", "width", "height")} for bar in found]


def test_bars_are_as_high_as_their_counts_and_stand_on_one_another() -> None:
    text = histogram([0, 0.5, 1], {"kept": [4, 8], "gone": [4, 0]}, "score", "Score")
    kept, gone = bars(text, "#0072b2"), bars(text, "#e69f00")
    assert kept[1]["height"] == pytest.approx(2 * kept[0]["height"], abs=0.2)
    assert [bar["height"] for bar in gone] == pytest.approx([kept[0]["height"]], abs=0.2)
    assert gone[0]["y"] + gone[0]["height"] == pytest.approx(kept[0]["y"], abs=0.2)
    assert kept[0]["y"] + kept[0]["height"] == pytest.approx(BOTTOM, abs=0.2)
    assert kept[0]["x"] == LEFT
    assert kept[1]["x"] + kept[1]["width"] == pytest.approx(RIGHT, abs=0.2)


@pytest.mark.parametrize("most", [0, 1, 7, 10, 99, 100, 12_345, 987_654_321])
def test_every_bar_stays_in_its_frame(most: int) -> None:
    edges = [2.0**power for power in range(25)]
    text = histogram(edges, {"kept": [most] * 24}, "characters", "a <title> & more")
    assert all(bar["y"] >= TOP - 0.1 for bar in bars(text, "#0072b2"))
    assert "a &lt;title&gt; &amp; more" in text
    assert text.count(' stroke="#ddd"') <= 8
