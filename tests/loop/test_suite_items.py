"""Which held-out items are drawn where there are more than are asked."""

from __future__ import annotations

from samloop.loop.suite_items import _spread


def test_a_large_group_does_not_push_out_the_others() -> None:
    page = [{"id": f"page-{n}", "metadata": {"group_key": "page"}} for n in range(8)]
    others = [{"id": f"other-{n}", "metadata": {"group_key": f"o{n}"}} for n in range(3)]
    drawn = _spread([*page, *others], 2)
    assert [item["id"] for item in drawn[:5]] == ["page-0", "page-1", "other-0", "other-1", "other-2"]
    assert [item["id"] for item in drawn[5:]] == [f"page-{n}" for n in range(2, 8)]


def test_few_groups_fill_the_draw_all_the_same() -> None:
    page = [{"id": f"page-{n}", "metadata": {"group_key": "page"}} for n in range(5)]
    assert _spread(page, 2) == page
