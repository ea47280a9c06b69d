"""Which adapters saw an example, which examples made an adapter, and what was derived from what.

Every question here is answered from an index, whatever the number of examples and runs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import func, select

from samloop.store.database import among
from samloop.store.noun import Noun
from samloop.store.tables import adapters, run_examples, training_examples, training_runs

MOST_RELATIVES: Final = 100
"""How many examples of a family are told of each kind; a document's sections can share a parent by the thousand."""

FARTHEST: Final = 20
"""Steps of derivation that are followed: a chain of edits is short, and a damaged one may be a ring."""

_SHOWN: Final = tuple(
    training_examples.c[name] for name in ("id", "source", "format", "state", "input_text", "output_text", "licence")
)


class Lineage(Noun):
    """What came from what."""

    def adapters_of_examples(self, ids: Collection[str]) -> list[dict[str, Any]]:
        """Which runs saw these examples, and which adapters came of them; known after an example is erased too.

        Returns:
            {example_id, split, run_id, run_state, adapter_id, slot, state, created_at}, by run and newest last;
            adapter_id, slot and state None where the run made none.
        """
        seen, a, r = run_examples.c, adapters.c, training_runs.c
        columns = (seen.example_id, seen.split, seen.run_id, r.state.label("run_state"), a.adapter_id, a.slot)
        statement = (
            select(*columns, a.state, func.coalesce(a.created_at, r.created_at).label("created_at"))
            .join(training_runs, r.run_id == seen.run_id)
            .outerjoin(adapters, a.run_id == seen.run_id)
        )
        with self._database.read() as connection:
            found = [
                dict(row._mapping)
                for these in among(connection, seen.example_id, ids)
                for row in connection.execute(statement.where(these))
            ]
        return sorted(found, key=lambda row: (row["created_at"], row["run_id"], row["adapter_id"] or ""))

    def adapters_of_dataset(self, digest: str) -> list[str]:
        """The adapters that were made of the dataset with that digest, oldest first."""
        c = adapters.c
        statement = select(c.adapter_id).where(c.dataset_digest == digest).order_by(c.created_at, c.adapter_id)
        with self._database.read() as connection:
            return list(connection.execute(statement).scalars())

    def was_seen(self, example_id: str) -> bool:
        """Whether any run saw an example of that whole id, stored or erased."""
        with self._database.read() as connection:
            return (
                connection.execute(select(run_examples.c.run_id).filter_by(example_id=example_id)).first() is not None
            )

    def family(self, example_id: str) -> dict[str, list[dict[str, Any]]]:
        """What an example was derived from, what has the same parent, and what was derived from it.

        Returns:
            {ancestors, siblings, derived}, each a list of {id, erased, parent, source, format, state, licence,
            input_text, output_text}, the nearest first. Of an erased one only `id` is known; a parent that is no
            example, as that of the three examples of one correction, is told so too.
        """
        with self._database.read() as connection:
            c = training_examples.c

            def load(where: Any) -> list[dict[str, Any]]:
                statement = select(*_SHOWN, c.parent_id.label("parent")).where(where)
                rows = connection.execute(statement.order_by(c.created_at, c.id).limit(MOST_RELATIVES))
                return [{"erased": False, **row._mapping} for row in rows]

            own = load(c.id == example_id)
            ancestors: list[dict[str, Any]] = []
            seen = {example_id}
            parent = own[0]["parent"] if own else None
            while parent and parent not in seen and len(ancestors) < FARTHEST:
                seen.add(parent)
                found = load(c.id == parent)
                ancestors += found or [{"id": parent, "erased": True}]
                parent = found[0]["parent"] if found else None
            siblings = load((c.parent_id == ancestors[0]["id"]) & (c.id != example_id)) if ancestors else []
            derived: list[dict[str, Any]] = []
            generation = [example_id]
            while generation and len(derived) < MOST_RELATIVES:
                children = [row for parent in generation for row in load(c.parent_id == parent)]
                children = [row for row in children if row["id"] not in seen]
                seen |= {row["id"] for row in children}
                derived += children
                generation = [row["id"] for row in children]
        return {"ancestors": ancestors, "siblings": siblings, "derived": derived[:MOST_RELATIVES]}
