"""Containers: lines and elements come out whole, however the bytes arrive, and what is too long is never held."""

from __future__ import annotations

import io

import orjson
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from samloop.sources.containers import element_blocks, line_blocks
from samloop.sources.drafts import Unfit
from samloop.sources.json_split import Splitter


class Dribble(io.BytesIO):
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, portion: int) -> None:
        super().__init__(data)
        self.portion, self.largest = portion, 0

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.portion)


def lines_of(data: bytes, portion: int, limit: int) -> list[tuple[int, object]]:
    blocks = line_blocks(Dribble(data, portion), max_line_bytes=limit)
    return [pair for block in blocks for pair in block.records]


@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"")), max_size=12), st.integers(1, 40))
@example([b"x" * 30, b"", b"y" * 31], 7)
def test_lines_are_those_of_the_file(lines: list[bytes], portion: int) -> None:
    data = b"\n".join(lines)
    expected = list(enumerate(data.split(b"\n"), 1))
    if expected[-1][1] == b"":
        expected.pop()
    assert lines_of(data, portion, limit=1_000) == expected


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 50), st.integers(1, 25), st.booleans())
def test_long_lines_are_counted_and_the_others_kept(sizes, portion, limit, ended) -> None:
    data = b"\n".join(b"x" * size for size in sizes) + (b"\n" if ended else b"")
    found = dict(lines_of(data, portion, limit))
    for number, size in enumerate(sizes, 1):
        if number == len(sizes) and not ended and size == 0:
            continue
        if size > limit:
            assert isinstance(found[number], Unfit)
            assert found[number].detail == f"expected at most {limit} bytes, got {size}"
        else:
            assert found[number] == b"x" * size


@given(st.binary(max_size=200), st.integers(1, 30), st.integers(1, 25))
@example(b"\n\nlong line here\nx", 3, 4)
def test_every_block_knows_its_place_and_the_digest_up_to_it(data: bytes, portion: int, limit: int) -> None:
    hasher = xxhash.xxh3_128()
    for block in line_blocks(Dribble(data, portion), max_line_bytes=limit, hasher=hasher):
        if block.records[-1][0] == block.number:  # ends with a whole line
            assert data[: block.at].endswith(b"\n")
            assert block.number == data[: block.at].count(b"\n")
            assert hasher.hexdigest() == xxhash.xxh3_128_hexdigest(data[: block.at])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(st.sampled_from('a"\\{}[],:é\n'), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("k{\"\\'", max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text("k{\"\\'", max_size=3), JSON, max_size=3), max_size=6)


def elements(data: bytes, level: int, portion: int, limit: int = 10_000) -> list[object]:
    return [
        element if isinstance(element, Unfit) else orjson.loads(element)
        for element in Splitter(Dribble(data, portion), level, limit).elements()
    ]


@given(OBJECTS, st.integers(1, 30), st.booleans())
def test_an_array_falls_into_its_elements(objects: list[dict], portion: int, indented: bool) -> None:
    data = orjson.dumps(objects, option=orjson.OPT_INDENT_2 if indented else None)
    assert elements(data, 1, portion) == objects


@given(OBJECTS, st.integers(1, 30))
def test_values_one_after_the_other_are_told_apart(objects: list[dict], portion: int) -> None:
    data = b"\n".join(orjson.dumps(item, option=orjson.OPT_INDENT_2) for item in objects)
    assert elements(data, 0, portion) == objects


@given(OBJECTS, st.integers(1, 30), st.integers(0, 5))
def test_an_element_too_long_is_skipped_and_the_rest_is_not(objects: list[dict], portion: int, place: int) -> None:
    place = min(place, len(objects))
    giant = {"a": ['"' * 40, "\\" * 41, {"b": "}" * 150}], "c": [{}] * 20}
    data = orjson.dumps([*objects[:place], giant, *objects[place:]])
    limit = max([len(orjson.dumps(item)) for item in objects] + [100])
    if limit >= len(orjson.dumps(giant)):
        return
    found = elements(data, 1, portion, limit)
    assert isinstance(found.pop(place), Unfit)
    assert found == objects


def test_plain_values_between_objects_are_named() -> None:
    found = elements(b'[1, {"a": 1}, "two", null, {"b": 2}, [3]]', 1, 5)
    assert [item if not isinstance(item, Unfit) else item.reason for item in found] == [
        "not an object",
        {"a": 1},
        "not an object",
        "not an object",
        {"b": 2},
        [3],
    ]


def test_a_cut_array_gives_what_was_whole_and_says_so() -> None:
    found = elements(b'[{"a": 1}, {"b": "x', 1, 4)
    assert found[0] == {"a": 1}
    assert found[1].reason == "truncated file"
    assert len(found) == 2


@given(st.binary(max_size=60), st.integers(1, 9), st.integers(0, 1), st.integers(1, 30))
def test_no_bytes_break_the_splitter(data: bytes, portion: int, level: int, limit: int) -> None:
    for element in Splitter(Dribble(data, portion), level, limit).elements():
        assert isinstance(element, (bytes, Unfit))


def test_memory_stays_small_beside_a_giant_line_and_a_giant_element() -> None:
    import tracemalloc

    class Giant(io.RawIOBase):
        def __init__(self, head: bytes, size: int, tail: bytes) -> None:
            self.parts = [head, *[b"x" * 2**20] * size, tail]

        def read(self, size: int = -1) -> bytes:
            return self.parts.pop(0) if self.parts else b""

    tracemalloc.start()
    lines = line_blocks(Giant(b'{"a": 1}\n{"a": "', 200, b'"}\n{"a": 2}\n'), max_line_bytes=2**21)
    assert [number for block in lines for number, _ in block.records] == [1, 2, 3]
    blocks = element_blocks(
        Giant(b'[{"a": 1},{"a": "', 200, b'"},{"a": 2}]'), array=True, single=False, max_line_bytes=2**21
    )
    assert [number for block in blocks for number, _ in block.records] == [1, 2, 3]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 2**20


def test_blanks_and_plain_values_without_end_are_not_held() -> None:
    class Long(io.RawIOBase):
        def __init__(self, part: bytes, parts: int, tail: bytes) -> None:
            self.parts = [b"[", *[part] * parts, tail]
            self.longest = 0

        def read(self, size: int = -1) -> bytes:
            self.longest = max(self.longest, size)
            return self.parts.pop(0) if self.parts else b""

    blanks = Long(b" \n" * 2**19, 40, b'{"a": 1}]')
    assert list(Splitter(blanks, 1, 2**21).elements()) == [b'{"a": 1}']
    assert blanks.longest <= 2**20, "what is read at once grows with what is held"
    values = Long(b"1234567," * 2**17, 40, b"1]")
    (refused,) = Splitter(values, 1, 2**21).elements()
    assert isinstance(refused, Unfit)
    assert refused.detail == "expected JSON objects, got plain values; the rest was not read"
    assert len(values.parts) > 30, "reading went on"
