"""What was erased is told when it comes again: asked in the transaction that would store it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from samloop.home import Home
from samloop.store.database import among
from samloop.store.tables import (
    tombstones,
)
from samloop.text.tombstones import ORIGIN, PLACE, RECORD, origin_of, places_of, tombstone


def any_stone(connection: Connection) -> bool:
    """Whether anything was ever erased."""
    return connection.execute(select(tombstones.c.digest).limit(1)).first() is not None


def erased_among(connection: Connection, digests: Iterable[str]) -> set[str]:
    """Those of these digests that are tombstones."""
    c, found = tombstones.c, set[str]()
    for these in among(connection, c.digest, sorted(set(digests))):
        found.update(connection.execute(select(c.digest).where(these)).scalars())
    return found


def turned_away(
    connection: Connection,
    home: Home,
    names: Sequence[tuple[str, str, str | None, str | None]],
    about: Iterable[tuple[str, str]],
) -> set[int]:
    """The places in `names` of records that were erased and come again.

    Args:
        names: id, source, source_id and group_key of each.
        about: id and digest of each identifier that was redacted from one of them.
    """
    if not names or not any_stone(connection):
        return set()
    key, persons, kinds = home.identifier_key(), dict[str, set[str]](), _kinds(connection)
    for id, digest in about:
        persons.setdefault(id, set()).add(digest)
    made: dict[tuple[str, str], str] = {}
    stones: list[list[str]] = []
    for id, source, source_id, group_key in names:
        said = [(RECORD, id)] if RECORD in kinds else []
        if PLACE in kinds:
            said += [(PLACE, place) for place in places_of(source_id, group_key)]
        if ORIGIN in kinds and source_id and group_key:
            said.append((ORIGIN, origin_of(source, source_id, group_key)))
        for one in said:
            if one not in made:
                made[one] = tombstone(key, *one)
        stones.append([made[one] for one in said] + sorted(persons.get(id, ())))
    found = erased_among(connection, (digest for these in stones for digest in these))
    return {at for at, these in enumerate(stones) if not found.isdisjoint(these)}


def _kinds(connection: Connection) -> set[str]:
    """The kinds of tombstones that there are."""
    c = tombstones.c
    return {
        kind
        for kind in (RECORD, ORIGIN, PLACE)
        if connection.execute(select(c.digest).where(c.kind == kind).limit(1)).first() is not None
    }
