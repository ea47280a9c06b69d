"""What the store holds, in figures."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

import orjson
from sqlalchemy import Connection, case, func, insert, select, update

from samloop.errors import StoreError
from samloop.example import FORMATS, TIERS, to_json
from samloop.store.database import current_revision
from samloop.store.noun import Noun
from samloop.store.tables import stats_cache, training_examples

CHARACTERS_PER_TOKEN: Final = 4.0
"""The usual rule of thumb for BPE on English text and code; the store has no tokenizer to count with."""

CACHE_SECONDS: Final = 300.0
"""How long figures that depend on the clock (a source's health) may be reused. SPEC 13."""

HEALTHY_FROM: Final = 0.6
"""Health score from which a source is healthy. SPEC 13."""

DAY_SECONDS: Final = 86400.0
FRESH_DAYS: Final = 30.0
"""A source without anything new for this many days has no freshness left."""


class Statistics(Noun):
    """Figures about the examples."""

    def statistics(self) -> dict[str, Any]:
        """`overall` and `summary`, as GET /api/training/stats gives them.

        Rejected examples do not count, except in a source's health. Tokens are estimated from characters, four to
        a token. Kept for five minutes, and computed again as soon as an example is added or changed.
        """
        with self._database.read() as connection:
            revision = current_revision(connection)
            cached = connection.execute(select(stats_cache).where(stats_cache.c.name == "statistics")).first()
            now = time.time()
            if cached is not None and cached.revision == revision and 0 <= now - cached.computed_at < CACHE_SECONDS:
                figures = orjson.loads(cached.value)
            else:
                cached, figures = None, _compute(connection, now)
        if cached is None:
            # Figures are worth having even where they cannot be kept: a busy or read-only store.
            with suppress(StoreError):
                self._keep(revision, figures, now)
        return self._with_storage(figures)

    def _keep(self, revision: int, figures: dict[str, Any], now: float) -> None:
        values = {"revision": revision, "value": to_json(figures), "computed_at": now}
        with self._database.write() as connection:
            mine = stats_cache.c.name == "statistics"
            if not connection.execute(update(stats_cache).where(mine).values(**values)).rowcount:
                connection.execute(insert(stats_cache).values(name="statistics", **values))

    def _with_storage(self, figures: dict[str, Any]) -> dict[str, Any]:
        stored = self._database.storage_bytes()
        figures["overall"]["storage_bytes"] = stored
        figures["summary"]["storage_mb"] = round(stored / 2**20, 2)
        return figures


def health(
    *, newest_age_days: float, added_last_week: int, added_week_before: int, top: float, rejected: float
) -> float:
    """Health score of a source, 0..1: the mean of freshness, volume trend, share of top tiers, share not rejected.

    Args:
        newest_age_days: days since it last brought something.
        added_last_week, added_week_before: examples; the trend is full from equal volume on, and half where a
            source brought nothing in either week: one that is read out is not ill.
        top: share of gold and silver among those not rejected, 0..1.
        rejected: share of rejected among all, 0..1.
    """
    fresh = min(max(1.0 - newest_age_days / FRESH_DAYS, 0.0), 1.0)
    quiet = 1.0 if added_last_week else 0.5
    trend = min(added_last_week / added_week_before, 1.0) if added_week_before else quiet
    return (fresh + trend + top + (1.0 - rejected)) / 4


def _compute(connection: Connection, now: float) -> dict[str, Any]:
    c = training_examples.c
    live = c.state != "rejected"

    def count_by(column: Any) -> dict[str, int]:
        counted = select(column, func.count()).where(live).group_by(column).order_by(column)
        return {row[0]: row[1] for row in connection.execute(counted)}

    by_source, by_format, by_quality = count_by(c.source), count_by(c.format), count_by(c.quality_tier)
    texts = (c.input_text, c.output_text, c.system_prompt, c.context, c.rejected_output)
    characters = sum(
        (func.length(func.coalesce(text, "")) for text in texts), func.length(c.conversation_history) - 2
    )
    total = sum(by_source.values())
    tokens = round(
        (connection.execute(select(func.sum(characters)).where(live)).scalar() or 0) / CHARACTERS_PER_TOKEN
    )
    top = by_quality.get("gold", 0) + by_quality.get("silver", 0)
    return {
        "overall": {
            "total_examples": total,
            "by_source": by_source,
            "by_format": {name: by_format.get(name, 0) for name in FORMATS if name in by_format},
            "by_quality": {tier: by_quality.get(tier, 0) for tier in TIERS},
            "avg_token_length": round(tokens / total, 1) if total else 0.0,
            "total_tokens": tokens,
            "storage_bytes": 0,
        },
        "summary": {
            "total_examples": total,
            "storage_mb": 0.0,
            "healthy_sources": sum(score >= HEALTHY_FROM for score in _healths(connection, now).values()),
            "top_quality_percentage": round(100 * top / total, 1) if total else 0.0,
        },
    }


def _healths(connection: Connection, now: float) -> dict[str, float]:
    """Health score by source."""
    c = training_examples.c
    week = 7 * DAY_SECONDS

    def number(condition: Any) -> Any:
        return func.sum(case((condition, 1), else_=0))

    live = c.state != "rejected"
    statement = select(
        c.source,
        func.count().label("all"),
        number(live).label("live"),
        number(live & c.quality_tier.in_(("gold", "silver"))).label("top"),
        number(c.updated_at >= now - week).label("last_week"),
        number((c.updated_at >= now - 2 * week) & (c.updated_at < now - week)).label("week_before"),
        func.max(c.updated_at).label("newest"),
    ).group_by(c.source)
    return {
        row.source: health(
            newest_age_days=(now - row.newest) / DAY_SECONDS,
            added_last_week=row.last_week,
            added_week_before=row.week_before,
            top=row.top / row.live if row.live else 0.0,
            rejected=1 - row.live / row.all,
        )
        for row in connection.execute(statement)
    }
