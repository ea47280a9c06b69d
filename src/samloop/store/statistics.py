"""What the store holds, in figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, case, func, insert, select, update

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
        return self._with_storage(self._cached("statistics", _compute))

    def source_statistics(self) -> list[dict[str, Any]]:
        """One entry per source, the largest first, as GET /api/training/sources gives them.

        Each has source, total_examples and quality_distribution (rejected examples do not count), health_score and
        the four parts it is the mean of (health; see the function `health`), healthy, examples_24h and last_updated
        (Unix seconds). "When" is the time an example was last written: when it came in, or was judged anew since.
        Kept as long as `statistics`.
        """
        found: list[dict[str, Any]] = self._cached("sources", _sources)
        return found

    def _cached(self, name: str, compute: Callable[[Connection, float], Any]) -> Any:
        """The figures called `name`: as they were kept, unless five minutes went by or an example was written."""
        with self._database.read() as connection:
            revision = current_revision(connection)
            cached = connection.execute(select(stats_cache).where(stats_cache.c.name == name)).first()
            now = time.time()
            if cached is not None and cached.revision == revision and 0 <= now - cached.computed_at < CACHE_SECONDS:
                return orjson.loads(cached.value)
            figures = compute(connection, now)
        # Figures are worth having even where they cannot be kept: a busy or read-only store.
        with suppress(StoreError):
            self._keep(name, revision, figures, now)
        return figures

    def _keep(self, name: str, revision: int, figures: Any, now: float) -> None:
        values = {"revision": revision, "value": to_json(figures), "computed_at": now}
        with self._database.write() as connection:
            mine = stats_cache.c.name == name
            if not connection.execute(update(stats_cache).where(mine).values(**values)).rowcount:
                connection.execute(insert(stats_cache).values(name=name, **values))

    def _with_storage(self, figures: dict[str, Any]) -> dict[str, Any]:
        stored = self._database.storage_bytes()
        figures["overall"]["storage_bytes"] = stored
        figures["summary"]["storage_mb"] = round(stored / 2**20, 2)
        return figures


def health_parts(
    *, newest_age_days: float, added_last_week: int, added_week_before: int, top: float, rejected: float
) -> dict[str, float]:
    """What the health of a source is the mean of, each 0..1.

    Args:
        newest_age_days: days since it last brought something: freshness falls from 1 to 0 over `FRESH_DAYS`.
        added_last_week, added_week_before: examples; the trend is their ratio, full from equal volume on, and half
            where a source brought nothing in either week: one that is read out is not ill.
        top: share of gold and silver among those not rejected, 0..1.
        rejected: share of rejected among all, 0..1.
    """
    fresh = min(max(1.0 - newest_age_days / FRESH_DAYS, 0.0), 1.0)
    quiet = 1.0 if added_last_week else 0.5
    trend = min(added_last_week / added_week_before, 1.0) if added_week_before else quiet
    return {"freshness": fresh, "volume_trend": trend, "top_quality": top, "not_rejected": 1.0 - rejected}


def health(**figures: Any) -> float:
    """Health score of a source, 0..1: the mean of freshness, volume trend, share of top tiers, share not rejected.

    The arguments are those of `health_parts`.
    """
    return sum(health_parts(**figures).values()) / 4


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
            "healthy_sources": sum(source["healthy"] for source in _sources(connection, now)),
            "top_quality_percentage": round(100 * top / total, 1) if total else 0.0,
        },
    }


def _sources(connection: Connection, now: float) -> list[dict[str, Any]]:
    """What `Statistics.source_statistics` gives."""
    c = training_examples.c
    week = 7 * DAY_SECONDS

    def number(condition: Any) -> Any:
        return func.sum(case((condition, 1), else_=0))

    live = c.state != "rejected"
    statement = select(
        c.source,
        func.count().label("all"),
        number(live).label("live"),
        *(number(live & (c.quality_tier == tier)).label(tier) for tier in TIERS),
        number(live & (c.updated_at >= now - DAY_SECONDS)).label("last_day"),
        number(c.updated_at >= now - week).label("last_week"),
        number((c.updated_at >= now - 2 * week) & (c.updated_at < now - week)).label("week_before"),
        func.max(c.updated_at).label("newest"),
    ).group_by(c.source)
    found = [_source(row, now) for row in connection.execute(statement)]
    return sorted(found, key=lambda source: (-source["total_examples"], source["source"]))


def _source(row: Row[Any], now: float) -> dict[str, Any]:
    parts = health_parts(
        newest_age_days=(now - row.newest) / DAY_SECONDS,
        added_last_week=row.last_week,
        added_week_before=row.week_before,
        top=(row.gold + row.silver) / row.live if row.live else 0.0,
        rejected=1 - row.live / row.all,
    )
    score = sum(parts.values()) / len(parts)
    return {
        "source": row.source,
        "total_examples": row.live,
        "quality_distribution": {tier: getattr(row, tier) for tier in TIERS},
        "health_score": round(score, 4),
        "health": {name: round(part, 4) for name, part in parts.items()},
        "healthy": score >= HEALTHY_FROM,
        "examples_24h": row.last_day,
        "last_updated": row.newest,
    }
