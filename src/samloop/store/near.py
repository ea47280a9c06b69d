"""Near-duplicates that were found: pairs of examples, and the clusters they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import delete, insert, or_, select

from samloop.example import Example
from samloop.store.database import among
from samloop.store.noun import Noun
from samloop.store.tables import near_pairs, training_examples

Part = Literal["whole", "prompt"]

MOST_CLUSTERS: Final = 8
"""Clusters kept per example: two on different sides are enough to leave it out."""


@dataclass(frozen=True, slots=True)
class NearPair:
    """Example `example_id` resembles the earlier `match_id`: as a whole, or in what is asked."""

    example_id: str
    match_id: str
    part: Part


class Near(Noun):
    """Pairs of near-duplicates. They are only ever added: an example's cluster does not change afterwards."""

    def add_near_pairs(self, pairs: Sequence[NearPair]) -> int:
        """Keep `pairs`, in the order of their later examples; how many were not known yet."""
        if not pairs:
            return 0
        c, known = near_pairs.c, set()
        parts: dict[tuple[str, str], Part] = {}
        for pair in pairs:
            parts.setdefault((pair.example_id, pair.match_id), pair.part)
        with self._database.write() as connection:
            for these in among(connection, c.example_id, sorted({pair.example_id for pair in pairs})):
                found = connection.execute(select(c.example_id, c.match_id).where(these))
                known |= {(row.example_id, row.match_id) for row in found}
            fresh = [
                {"example_id": example_id, "match_id": match_id, "part": part}
                for (example_id, match_id), part in parts.items()
                if (example_id, match_id) not in known
            ]
            if fresh:
                connection.execute(insert(near_pairs), fresh)
        return len(fresh)

    def forget_near_pairs(self, ids: Sequence[str]) -> int:
        """Remove the pairs of examples that are erased; how many. Clusters they held together may fall apart."""
        c, gone = near_pairs.c, 0
        with self._database.write() as connection:
            for column in (c.example_id, c.match_id):
                for these in among(connection, column, sorted(set(ids))):
                    gone += connection.execute(delete(near_pairs).where(these)).rowcount
        return gone

    def near_pairs(self, part: Part | None = None) -> list[NearPair]:
        """The pairs whose examples are both stored and not rejected, oldest first."""
        c, one, two = near_pairs.c, training_examples.alias(), training_examples.alias()
        statement = (
            select(c.example_id, c.match_id, c.part)
            .join(one, one.c.id == c.example_id)
            .join(two, two.c.id == c.match_id)
            .where(one.c.state != "rejected", two.c.state != "rejected")
            .order_by(c.number)
        )
        if part is not None:
            statement = statement.where(c.part == part)
        with self._database.read() as connection:
            return [NearPair(*row) for row in connection.execute(statement)]

    def near_clusters(self) -> dict[str, tuple[str, ...]]:
        """The cluster keys of each example that resembles an earlier one.

        A cluster's key is what the side of its first example hangs on: its group key, else the hash of its input. An
        example that links several clusters has several keys, the one found first in front.
        """
        c, e = near_pairs.c, training_examples.c
        with self._database.read() as connection:
            pairs = connection.execute(select(c.example_id, c.match_id).order_by(c.number)).all()
            linked = or_(e.id.in_(select(c.example_id)), e.id.in_(select(c.match_id)))
            rows = connection.execute(select(e.id, e.group_key, e.input_hash).where(linked))
            own: dict[str, str] = {row.id: row.group_key or row.input_hash for row in rows}
        found: dict[str, tuple[str, ...]] = {}
        for example_id, match_id in pairs:
            if match_id not in own or example_id not in own:
                continue
            keys = found.get(match_id, (own[match_id],))
            have = found.get(example_id, ())
            found[example_id] = tuple(dict.fromkeys((*have, *keys)))[:MOST_CLUSTERS]
        return found


def rank(example: Example) -> tuple[Any, ...]:
    """Sorts the examples of a group of duplicates: the one that stays comes first."""
    reviewed = example.validated or bool(example.metadata.get("human_reviewed"))
    return (-example.quality_score, not reviewed, -len(example.input_text) - len(example.output_text), example.id)
