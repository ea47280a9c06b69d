"""Examples in the store: found, read, changed."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select, update

from samloop.errors import NotFoundError, UsageError
from samloop.example import Example, to_json
from samloop.store.database import among, current_revision, next_revision
from samloop.store.filters import Filters, Order, order_by
from samloop.store.noun import Noun, find_key
from samloop.store.rows import JSON_FIELDS, fields, from_example, to_example
from samloop.store.tables import redacted_identifiers, training_examples, validation_log

ALL: Final = Filters()
"""Every example, in any state."""

READ_AT_ONCE: Final = 256
"""Rows fetched at a time by `select`: what it holds in memory."""

CONTENT: Final = frozenset(
    {
        "id",
        "input_text",
        "output_text",
        "system_prompt",
        "context",
        "rejected_output",
        "conversation_history",
        "content_hash",
        "input_hash",
        "revision",
        "updated_at",
    }
)
"""Columns that `update_example` refuses: other content is another example."""


class Examples(Noun):
    """Reading and changing examples."""

    def revision(self) -> int:
        """The counter raised by every transaction that adds or changes examples; no clock is involved."""
        with self._database.read() as connection:
            return current_revision(connection)

    def get_example(self, id: str) -> Example:
        """The example with that id, or the only one whose id begins so.

        Raises:
            NotFoundError: there is none; the message names the nearest id.
            UsageError: several ids begin so.
        """
        c = training_examples.c
        with self._database.read() as connection:
            whole = find_key(connection, c.id, id, "example")
            return to_example(connection.execute(select(*fields()).where(c.id == whole)).one())

    def select(
        self, filters: Filters = ALL, *, limit: int | None = None, order: Order = "stored"
    ) -> Iterator[Example]:
        """Stream the chosen examples, as they were when the first one was read.

        Memory does not grow with their number. Writing while reading is allowed and not seen by this stream.
        """
        with self._database.read() as connection:
            chosen = filters.where(connection)
            statement = select(*fields()).where(chosen).order_by(*order_by(order)).limit(limit)
            for row in connection.execution_options(yield_per=READ_AT_ONCE).execute(statement):
                yield to_example(row)

    def count(self, filters: Filters = ALL) -> int:
        """How many examples are chosen."""
        with self._database.read() as connection:
            statement = select(func.count()).select_from(training_examples).where(filters.where(connection))
            return connection.execute(statement).scalar_one()

    def get_examples_for_training(
        self,
        formats: Collection[str] | None = None,
        domains: Collection[str] | None = None,
        min_quality: float | None = None,
        exclude_used: bool = False,
        limit: int | None = None,
    ) -> list[Example]:
        """Accepted examples, best first; `select` streams them where memory counts."""
        filters = Filters(
            states=("accepted",),
            formats=formats or (),
            domains=domains or (),
            min_quality=min_quality,
            exclude_used=exclude_used,
        )
        return list(self.select(filters, limit=limit, order="best"))

    def get_examples_by_source(self, source: str, limit: int | None = None) -> list[Example]:
        """Examples of one source, in any state, newest first."""
        return list(self.select(Filters(sources=(source,)), limit=limit, order="newest"))

    def new_accepted_since(self, revision: int, min_complexity: int | None = None) -> int:
        """How many accepted examples came after `revision` and were not used yet.

        A used example whose score changed meanwhile is not new.

        Args:
            min_complexity: count those from this complexity on, used or not: what trains one slot is new to another.
        """
        used = min_complexity is None
        chosen = Filters(
            states=("accepted",), since_revision=revision, exclude_used=used, min_complexity=min_complexity
        )
        return self.count(chosen)

    def update_example(self, id: str, /, **changes: Any) -> None:
        """Change what is known about an example, not its content; see `update_examples`."""
        self.update_examples({id: changes})

    def update_examples(self, changes: Mapping[str, Mapping[str, Any]]) -> int:
        """Change state, reason, score, tier, domain, flags and the like of many examples in one transaction.

        Args:
            changes: by whole id: new values by field; `metadata` and `flags` as plain data or JSON text.

        Returns:
            the store's revision after it.

        Raises:
            NotFoundError: an id is not stored; nothing was changed.
            UsageError: a field is unknown, or content, which only `replace_example` changes.
        """
        by_fields: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for id, values in changes.items():
            if not values:
                continue
            row = {f"new_{name}": _plain_to_column(name, value) for name, value in values.items()}
            by_fields.setdefault(tuple(sorted(values)), []).append({"key": id, **row})
        with self._database.write() as connection:
            if not by_fields:
                return current_revision(connection)
            now, revision = time.time(), next_revision(connection)
            for names, rows in by_fields.items():
                statement = (
                    update(training_examples)
                    .where(training_examples.c.id == bindparam("key"))
                    .values(
                        {name: bindparam(f"new_{name}") for name in names} | {"revision": revision, "updated_at": now}
                    )
                )
                if connection.execute(statement, rows).rowcount != len(rows):
                    self._name_missing(connection, [row["key"] for row in rows])
        return revision

    def _name_missing(self, connection: Any, ids: Sequence[str]) -> None:
        c = training_examples.c
        known: set[str] = set()
        for these in among(connection, c.id, ids):
            known.update(connection.execute(select(c.id).where(these)).scalars())
        for id in ids:
            if id not in known:
                raise NotFoundError(f"there is no example '{id}' in the store; nothing was changed")

    def replace_example(
        self,
        old_id: str,
        new: Example,
        *,
        log: Sequence[Mapping[str, Any]] = (),
        identifiers: Sequence[str] = (),
    ) -> str:
        """Put an edited example in the place of another: new content is a new id, with `parent_id` the old one.

        The old one stays, rejected, so that it is not collected again and the edit can be traced. Whom it was about,
        the new one is about as well: the hashes of redacted identifiers are carried over.

        Args:
            log: what the rules said about the new one: rule, outcome, measure, reason.
            identifiers: keyed hashes of what was redacted from it.

        Returns:
            the id of the new example.

        Raises:
            NotFoundError: there is no example `old_id`.
            UsageError: the content is the same, or is stored as another example already.
        """
        c = training_examples.c
        new = new.sealed()
        row = from_example(new) | {"parent_id": old_id, "updated_at": time.time()}
        with self._database.write() as connection:
            self._name_missing(connection, [old_id])
            if new.id == old_id:
                raise UsageError(f"the content of example {old_id} did not change; use update_example for the rest")
            if connection.execute(select(c.id).where(c.id == new.id)).first() is not None:
                raise UsageError(f"the edited example is stored already, as {new.id}; nothing was changed")
            row["revision"] = next_revision(connection)
            connection.execute(insert(training_examples).values(**row))
            reason = f"replaced by {new.id}"
            connection.execute(
                update(training_examples)
                .where(c.id == old_id)
                .values(state="rejected", reason=reason, revision=row["revision"], updated_at=row["updated_at"])
            )
            _keep_judgement(connection, old_id, new.id, log, identifiers)
        return new.id

    def states_of(self, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        """State and metadata (JSON text) of those of `ids` that are stored, by id."""
        c = training_examples.c
        found: dict[str, tuple[str, str]] = {}
        with self._database.read() as connection:
            for these in among(connection, c.id, ids):
                rows = connection.execute(select(c.id, c.state, c.metadata).where(these))
                found |= {row[0]: (row[1], row[2]) for row in rows}
        return found

    def validation_log(self, example_id: str) -> list[dict[str, Any]]:
        """What the rules said about an example, oldest first: rule, outcome, measure, reason, created_at."""
        c = validation_log.c
        statement = select(c.rule, c.outcome, c.measure, c.reason, c.created_at).where(c.example_id == example_id)
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(statement.order_by(c.number))]


def _keep_judgement(
    connection: Connection, old_id: str, new_id: str, log: Sequence[Mapping[str, Any]], identifiers: Iterable[str]
) -> None:
    """Write what the rules said of an edited example, and the hashes of whom it and its predecessor are about."""
    names, now = ("rule", "outcome", "measure", "reason"), time.time()
    if log:
        entries = [{name: entry.get(name) for name in names} for entry in log]
        connection.execute(
            insert(validation_log), [{**entry, "example_id": new_id, "created_at": now} for entry in entries]
        )
    c = redacted_identifiers.c
    before = set(connection.execute(select(c.digest).where(c.example_id == new_id)).scalars())
    carried = connection.execute(select(c.digest).where(c.example_id == old_id)).scalars()
    if fresh := {*identifiers, *carried} - before:
        rows = [{"digest": digest, "example_id": new_id} for digest in sorted(fresh)]
        connection.execute(insert(redacted_identifiers), rows)


def _plain_to_column(name: str, value: Any) -> Any:
    if name in CONTENT:
        raise UsageError(f"'{name}' belongs to the content of an example; use replace_example")
    if name not in training_examples.c:
        raise UsageError(f"an example has no field '{name}'")
    return to_json(value) if name in JSON_FIELDS and not isinstance(value, str) else value
