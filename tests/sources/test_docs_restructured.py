"""reStructuredText, with what Sphinx adds to it, and what docutils must not be given."""

from __future__ import annotations

from pathlib import Path

import pytest

from samloop.example import Example
from samloop.protocols import Reject
from samloop.sources.documents import Unreadable
from samloop.sources.knowledge import read
from samloop.sources.restructured import MAX_CHARACTERS, parse

MANUAL = """\
.. _the_pump:

====
Pump
====

The pump moves |what| to the house; see :ref:`valves_of_it` or :doc:`the guide </guide>`.

.. |what| replace:: water

.. _valves_of_it:

Valves of it
============

Call :func:`~pump.valve.open` with an *angle*:

.. code-block:: python

    open(90)

.. versionadded:: 1.2
   Angles below zero.

.. py:function:: close(angle, *, slowly=False)

   Closes the valve, and :unknown:`waits` until no water moves.

   :param angle: in degrees, from the house side.

.. unheard-of:: A title
   :option: of it

   Its text stays.

.. include:: /etc/hostname

.. raw:: html

   <b>never</b>

.. glossary::

   impeller
       The wheel that pushes the water.

======  =======
Option  Meaning
======  =======
dry     runs without water
======  =======
"""


def blocks(text: str) -> list[tuple[str, str]]:
    return [(b.kind, b.text) for s in parse(text).sections for b in s.blocks if b.text or b.missing]


def test_what_a_reader_sees_is_kept() -> None:
    assert blocks(MANUAL) == [
        ("prose", "The pump moves water to the house; see Valves of it or the guide."),
        ("prose", "Call `open` with an *angle*:"), ("code", "```python\nopen(90)\n```"),
        ("prose", "Added in version 1.2: Angles below zero."),
        (
            "list",
            "- `close(angle, *, slowly=False)`: Closes the valve, and `waits` until no water moves.\n"
            "  - `angle`: in degrees, from the house side.",
        ),
        ("prose", "**A title**"), ("prose", "Its text stays."), ("prose", ""), ("prose", ""),
        ("list", "- **impeller**: The wheel that pushes the water."),
        ("table", "| Option | Meaning |\n| --- | --- |\n| dry | runs without water |"),
    ]  # fmt: skip
    assert [(s.path, s.level, s.line) for s in parse(MANUAL).sections[1:]] == [
        (("Pump",), 1, 4),
        (("Pump", "Valves of it"), 2, 13),
    ]


def test_nothing_is_included_and_nothing_raw_is_shown(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("the text of another file")
    for directive in ("include", "literalinclude", "raw", "csv-table"):
        option = "" if directive in ("include", "literalinclude") else "\n   :file: other.txt"
        name = "other.txt" if not option else "html"
        found = blocks(f"Title\n=====\n\n.. {directive}:: {name}{option}\n")
        assert not any("another file" in text for _, text in found)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a" * (MAX_CHARACTERS + 1), "too large"),
        ("word " * 5_000, "line is too long"),
        ("\n\n".join(" " * depth + "x" for depth in range(300)), "too deep"),
        ("* " * 5_000 + "x", "too deep"),
    ],
)
def test_what_docutils_cannot_be_given_is_turned_away(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse(text)


def test_a_tree_of_both_kinds_is_read_and_the_bad_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "pump.rst").write_text(MANUAL)
    (tmp_path / "deep.rst").write_text("This is a text of the and to in for it.\n\n" + "* " * 5_000 + "x\n")
    records = list(read(str(tmp_path), None))
    found = {r.input_text: r.output_text for r in records if isinstance(r, Example)}
    assert found["What does `close(angle, *, slowly=False)` do?"].startswith("Closes the valve")
    assert [r.reason for r in records if isinstance(r, Reject) and r.location.endswith("deep.rst")] == [
        "blocks lie too deep inside one another"
    ]


def test_links_to_pages_and_substitutions_read_as_text() -> None:
    text = "Use |spawn|_ with :doc:`/deploying/gunicorn`.\n\n.. |spawn| replace:: ``gevent.spawn()``\n.. _spawn: https://example.org\n"
    assert blocks(text) == [("prose", "Use `gevent.spawn()` with gunicorn.")]
