"""The index on disk: what was added is found, whatever was merged, killed or damaged in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samloop.curate.near.index import MAX_SEGMENTS, PER_TEXT, Index
from samloop.curate.near.sketch import NOTHING
from samloop.errors import StoreError
from samloop.settings import Near


@pytest.fixture
def index(tmp_path: Path) -> Index:
    with Index.build(tmp_path / "near", Near(), 1000, 10) as made:
        pass
    return made


def keys(*rows: tuple[int, ...]) -> np.ndarray:
    return np.array(rows, np.uint64)


def add(index: Index, first: int, count: int) -> None:
    """Texts t<n> with the keys n and 1000 + n // 2: neighbours share one."""
    numbers = range(first, first + count)
    index.add([f"t{n}" for n in numbers], keys(*((n, 1000 + n // 2) for n in numbers)))


def test_earlier_texts_that_share_keys_are_found(index: Index):
    add(index, 0, 5)
    first = index.add(["a", "b"], keys((3, 1001), (7, 8)))
    later, earlier = index.lookup(keys((3, 1001), (7, 8)), first)
    assert index.ids(later) == ["a", "a"]
    assert index.ids(earlier) == ["t3", "t2"], "the one that shares two keys comes first"


def test_texts_of_one_batch_find_each_other_once(index: Index):
    rows = keys((1, 2), (1, 2), (1, 9))
    later, earlier = index.lookup(rows, index.add(["a", "b", "c"], rows))
    assert list(zip(index.ids(later), index.ids(earlier), strict=True)) == [("b", "a"), ("c", "a"), ("c", "b")]


def test_merged_segments_find_the_same(index: Index, tmp_path: Path):
    for start in range(0, 3 * MAX_SEGMENTS, 1):
        add(index, start * 4, 4)
        index.merge()
    index.revision = 7
    index.save()
    opened = Index.open(tmp_path / "near", Near())
    assert opened is not None
    assert len(list((tmp_path / "near").glob("segment-*"))) == MAX_SEGMENTS
    assert (len(opened), opened.revision) == (12 * MAX_SEGMENTS, 7)
    for wanted in range(12 * MAX_SEGMENTS):
        row = keys((wanted, wanted))
        _, earlier = opened.lookup(row, len(opened))
        assert opened.ids(earlier) == [f"t{wanted}"]
    assert opened.seen(["t0", "t50", "none"]).tolist() == [True, True, False]


def test_building_leaves_no_segments_behind(tmp_path: Path):
    with Index.build(tmp_path / "near", Near(), 1000, 10) as index:
        for start in range(4 * MAX_SEGMENTS):
            add(index, start * 4, 4)
            index.merge()
        assert len(list(index.folder.glob("segment-*"))) == MAX_SEGMENTS
    opened = Index.open(tmp_path / "near", Near())
    assert opened is not None
    assert len(opened) == 16 * MAX_SEGMENTS


def test_what_was_not_saved_is_not_there(index: Index, tmp_path: Path):
    add(index, 0, 3)
    index.save()
    add(index, 3, 3)
    opened = Index.open(tmp_path / "near", Near())
    assert opened is not None
    assert len(opened) == 3
    add(opened, 3, 2)  # in the place of the segment that was left
    opened.save()
    again = Index.open(tmp_path / "near", Near())
    assert again is not None
    assert len(again) == 5


@pytest.mark.parametrize("name", ["manifest.json", "counts.npy", "segment-000001/keys.npy", "segment-000001/ids.npy"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x00" * 200])
def test_a_damaged_index_counts_as_none(index: Index, tmp_path: Path, name: str, content: bytes | None):
    add(index, 0, 3)
    index.save()
    path = tmp_path / "near" / name
    path.unlink()  # and not truncated: the first index still maps it
    if content is not None:
        path.write_bytes(content)
    assert Index.open(tmp_path / "near", Near()) is None


def test_a_failed_build_leaves_the_old_index(index: Index, tmp_path: Path):
    add(index, 0, 3)
    index.save()
    with pytest.raises(KeyError), Index.build(tmp_path / "near", Near(), 1000, 10) as made:
        add(made, 0, 9)
        raise KeyError
    opened = Index.open(tmp_path / "near", Near())
    assert opened is not None
    assert len(opened) == 3


def test_a_crowd_yields_no_more_than_a_bounded_number(index: Index):
    crowd = keys(*((1, n) for n in range(2000)))
    index.add([f"t{n}" for n in range(2000)], crowd)
    row = keys((1, 5000))
    later, earlier = index.lookup(row, index.add(["late"], row))
    assert 0 < len(later) <= PER_TEXT
    assert earlier.max() < PER_TEXT


def test_texts_without_shingles_find_nothing(index: Index):
    rows = np.full((3, 4), NOTHING)
    later, _ = index.lookup(rows, index.add(["a", "b", "c"], rows))
    assert len(later) == 0


def test_everything_is_private(index: Index, tmp_path: Path):
    add(index, 0, 3)
    index.save()
    for path in [tmp_path / "near", *(tmp_path / "near").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    (tmp_path / "near").write_text("a file")
    with (
        pytest.raises(StoreError, match="index of near-duplicates"),
        Index.build(tmp_path / "near" / "x", Near(), 9, 9),
    ):
        pass
