"""Which examples are meant: one place that turns a person's choice into a WHERE clause."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from sqlalchemy import Column, ColumnElement, Connection, UnaryExpression, and_, or_, select

from samloop.errors import UsageError
from samloop.store.tables import training_examples
from samloop.text.licences import UNKNOWN, admitted_among

MAX_IDS: Final = 30_000
"""Ids in one choice: SQLite takes 32,766 values in a statement."""

Order = Literal["stored", "id", "newest", "best"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """A choice of examples: all conditions hold at once; an empty collection or None asks for nothing.

    Attributes:
        ids: whole ids; None asks for nothing, an empty collection chooses no example.
        sources, formats, domains, tiers, states: any of these values.
        licences: any of these SPDX ids; an example under an expression such as "MIT OR Apache-2.0" is chosen where
            they satisfy it, see `samloop.text.licences.admits`. "unknown" stands for examples without a licence.
        languages: any of these values; "unknown" stands for examples without one.
        group_keys: any of these groups.
        min_quality: quality score from this value on.
        min_complexity: complexity from this value on.
        since_revision: changed after this revision of the store.
        text: these characters in input or output, whatever their case (ASCII).
        exclude_used: leave out what was used in training or marked as used by an export.
    """

    ids: Collection[str] | None = None
    sources: Collection[str] = ()
    formats: Collection[str] = ()
    domains: Collection[str] = ()
    tiers: Collection[str] = ()
    states: Collection[str] = ()
    licences: Collection[str] = ()
    languages: Collection[str] = ()
    group_keys: Collection[str] = ()
    min_quality: float | None = None
    min_complexity: int | None = None
    since_revision: int | None = None
    text: str | None = None
    exclude_used: bool = False

    def where(self, connection: Connection) -> ColumnElement[bool]:
        """The condition on training_examples; `connection` tells which licences occur there."""
        c = training_examples.c
        chosen: list[ColumnElement[bool]] = []
        if self.ids is not None:
            if len(self.ids) > MAX_IDS:
                raise UsageError(
                    f"expected at most {MAX_IDS:,} ids at a time, got {len(self.ids):,}; ask in portions"
                )
            chosen.append(c.id.in_(list(self.ids)))
        for column, values in (
            (c.source, self.sources),
            (c.format, self.formats),
            (c.domain, self.domains),
            (c.quality_tier, self.tiers),
            (c.state, self.states),
            (c.group_key, self.group_keys),
        ):
            if values:
                chosen.append(column.in_(list(values)))
        if self.licences:
            # A handful of values: expressions are worked out here and not in each database's SQL.
            stored = connection.execute(select(c.licence).where(c.licence.is_not(None)).distinct()).scalars()
            chosen.append(_known(c.licence, admitted_among(stored, self.licences), UNKNOWN in self.licences))
        if self.languages:
            languages = [value for value in self.languages if value != UNKNOWN]
            chosen.append(_known(c.language, languages, UNKNOWN in self.languages))
        if self.min_quality is not None:
            chosen.append(c.quality_score >= self.min_quality)
        if self.min_complexity is not None:
            chosen.append(c.complexity >= self.min_complexity)
        if self.since_revision is not None:
            chosen.append(c.revision > self.since_revision)
        if self.text:
            chosen.append(
                or_(
                    c.input_text.icontains(self.text, autoescape=True),
                    c.output_text.icontains(self.text, autoescape=True),
                )
            )
        if self.exclude_used:
            chosen.append(c.used_in_training.is_(False))
        return and_(True, *chosen)

    def to_dict(self) -> dict[str, Any]:
        """The conditions that are set, as plain JSON-ready data."""
        plain: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                is_plain = value is None or isinstance(value, (str, int, float))
                plain[field.name] = value if is_plain else sorted(value)
        return plain


def _known(column: Column[str], values: list[str], or_unknown: bool) -> ColumnElement[bool]:
    known = column.in_(values)
    return or_(known, column.is_(None)) if or_unknown else known


def order_by(order: Order) -> tuple[ColumnElement[Any] | UnaryExpression[Any], ...]:
    """The columns to sort by; each order is total, so that the same store gives the same sequence.

    "stored" is the order of the last change, and the fastest; "id" does not depend on when examples came.
    """
    c = training_examples.c
    orders: dict[Order, tuple[ColumnElement[Any] | UnaryExpression[Any], ...]] = {
        "stored": (c.revision, c.id),
        "id": (c.id,),
        "newest": (c.created_at.desc(), c.id),
        "best": (c.quality_score.desc(), c.id),
    }
    return orders[order]
