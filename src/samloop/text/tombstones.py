"""Tombstones: how what was erased is known again without keeping any of it.

A tombstone is a keyed hash (BLAKE2b, RFC 7693, under the key of the home) of what an erased record was
called: its id, which comes from its content, where it came from, or its conversation. Whoever has the store alone
cannot try contents or names against it; whoever collects can tell a record that was erased and turn it away.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from samloop.text.identifiers import DIGEST_CHARACTERS

RECORD: Final = "record"
"""An example or a live row, by its id."""
ORIGIN: Final = "origin"
"""All that comes from one place in one source: the same message told in other words or windows."""
PLACE: Final = "place"
"""All whose origin or group lies in a place: a repository, a file, a conversation."""
PERSON: Final = "person"
"""All that an identifier of somebody was redacted from; its hash is that of `samloop.text.identifiers`."""

_JOINT = re.compile(r"[/:#@]")


def tombstone(key: bytes, kind: str, value: str) -> str:
    """The keyed hash of a record, an origin or a place."""
    # A third of the time of HMAC with SHA-256: it is asked several times for each example that comes in.
    said = f"tombstone {kind}\0{value}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(said, key=key, digest_size=DIGEST_CHARACTERS // 2).hexdigest()


def origin_of(source: str, source_id: str, group_key: str) -> str:
    """What names the origin of an example: without its group, two projects' README.md would be one."""
    return f"{source}\0{source_id}\0{group_key}"


def places_of(*names: str | None) -> Iterator[str]:
    """The places that something lies in: each of its names, and their beginnings up to a joint (``/ : # @``).

    >>> list(places_of("git:tool:a/b"))
    ['git', 'git:tool', 'git:tool:a', 'git:tool:a/b']
    """
    for name in names:
        if name:
            yield from (name[: joint.start()] for joint in _JOINT.finditer(name) if joint.start())
            yield name


def lies_in(name: str | None, place: str) -> bool:
    """Whether `name` is `place` or lies in it."""
    if not name or not name.startswith(place):
        return False
    return len(name) == len(place) or place[-1] in "/:#@" or bool(_JOINT.match(name[len(place)]))
