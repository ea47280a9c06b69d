"""The tables of the store, in portable SQLAlchemy Core: the same text serves SQLite and PostgreSQL.

JSON is kept as text, so that both databases give back byte for byte what was put in. Times are Unix seconds. The
migrations in `migrations/` build exactly these tables; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.schema import SchemaItem

SCHEMA: Final = "0006"
"""The newest migration. Migrations are numbered, so that a larger number means a newer samloop."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _json(name: str, empty: str = "{}") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=empty)


def _numbered(name: str, *columns: SchemaItem) -> Table:
    """A table whose rows are numbered in the order of writing; numbers are never used twice."""
    number = Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    return Table(name, metadata, number, *columns, sqlite_autoincrement=True)


# --- examples ----------------------------------------------------------------------------------------------------

training_examples = Table(
    "training_examples",
    metadata,
    Column("id", String, primary_key=True),
    Column("source", String, nullable=False),
    Column("format", String, nullable=False),
    Column("input_text", Text, nullable=False),
    Column("output_text", Text, nullable=False),
    Column("system_prompt", Text),
    Column("context", Text),
    Column("rejected_output", Text),
    Column("preference_reason", Text),
    _json("conversation_history", "[]"),
    _json("metadata"),
    Column("domain", String, nullable=False),
    Column("complexity", Integer, nullable=False),
    Column("quality_score", Double, nullable=False),
    Column("quality_tier", String, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("source_id", String),
    Column("parent_id", String),
    Column("group_key", String),
    Column("licence", String),
    Column("language", String),
    Column("state", String, nullable=False),
    Column("reason", Text),
    _json("flags", "[]"),
    Column("weight", Double, nullable=False),
    Column("validated", Boolean, nullable=False),
    Column("used_in_training", Boolean, nullable=False),
    Column("training_run_id", String),
    Column("content_hash", String, nullable=False),
    Column("input_hash", String, nullable=False),
    # Set by the store on every write; last, so that a batch's rows are extended by them and not copied.
    Column("updated_at", Double, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index(None, "source"),
    Index(None, "format"),
    Index(None, "domain"),
    Index("ix_training_examples_quality", "quality_tier", "quality_score"),
    Index(None, "content_hash"),
    Index(None, "input_hash"),
    Index(None, "group_key"),
    # What was derived from an example: asked by lineage and erasure.
    Index(None, "parent_id"),
    # Also the order in which examples are read: rows of one revision lie side by side.
    Index(None, "revision"),
    # What a turn asks first: how many accepted examples came since the last run.
    Index(None, "state", "revision"),
)

EXAMPLE_COLUMNS: Final[tuple[str, ...]] = tuple(c.name for c in training_examples.c if c.name != "revision")
"""The columns that are fields of `Example`, in the order of the table."""

validation_log = _numbered(
    "validation_log",
    Column("example_id", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("measure", Double),
    Column("reason", Text),
    Column("created_at", Double, nullable=False),
    Index(None, "example_id"),
)

near_pairs = _numbered(
    "near_pairs",
    Column("example_id", String, nullable=False),
    # The earlier of the two. No foreign keys: a pair is of no use, and does no harm, once one of them is gone.
    Column("match_id", String, nullable=False),
    Column("part", String, nullable=False),
    UniqueConstraint("example_id", "match_id"),
    Index(None, "match_id"),
)

redacted_identifiers = Table(
    "redacted_identifiers",
    metadata,
    # A table of its own and not the metadata of examples: it is asked by hash, and must not go out with exports and
    # datasets. An example has the hashes of everybody whose text became the same one when it was redacted.
    Column("digest", String, primary_key=True),
    Column("example_id", String, primary_key=True),
    Index(None, "example_id"),
)

export_history = _numbered(
    "export_history",
    Column("path", Text, nullable=False),
    Column("format", String, nullable=False),
    _json("filters"),
    Column("examples", Integer, nullable=False),
    Column("marked_used", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    # SHA-256 of what was written; null: not known. Only a file that is still as it was written is rewritten.
    Column("digest", String),
)

stats_cache = Table(
    "stats_cache",
    metadata,
    Column("name", String, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    _json("value"),
    Column("computed_at", Double, nullable=False),
)

store_meta = Table(
    "store_meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""One row, "revision": the counter that every transaction changing examples raises by one."""

source_state = Table(
    "source_state",
    metadata,
    Column("kind", String, primary_key=True),
    Column("location", String, primary_key=True),
    _json("value"),
    Column("updated_at", Double, nullable=False),
)

# --- what people and the gateway bring ---------------------------------------------------------------------------

captures = _numbered(
    "captures",
    Column("capture_id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("conversation_id", String),
    _json("messages", "[]"),
    Column("local_answer", Text),
    Column("teacher_answer", Text),
    Column("teacher", String),
    Column("trigger", String),
    Column("confidence", Double),
    _json("metadata"),
    Column("created_at", Double, nullable=False),
    Index(None, "conversation_id"),
)

feedback = _numbered(
    "feedback",
    Column("feedback_id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("conversation_id", String),
    Column("adapter_id", String),
    Column("input_text", Text),
    Column("output_text", Text),
    Column("better_text", Text),
    Column("reason", Text),
    Column("rating", Double),
    _json("metadata"),
    Column("created_at", Double, nullable=False),
    Index(None, "conversation_id"),
)

reviews = _numbered(
    "reviews",
    Column("example_id", String, nullable=False),
    Column("verdict", String, nullable=False),
    Column("reviewer", String),
    Column("reason", Text),
    _json("before"),
    Column("created_at", Double, nullable=False),
    Index(None, "example_id"),
)

# --- runs, adapters, decisions -----------------------------------------------------------------------------------

training_runs = Table(
    "training_runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("dataset_digest", String, nullable=False),
    Column("dataset_path", Text),
    Column("base", String, nullable=False),
    Column("base_digest", String),
    Column("backend", String, nullable=False),
    Column("code_version", String),
    _json("recipe"),
    _json("metrics"),
    _json("result"),
    # The store's revision that the dataset was drawn from.
    Column("revision", BigInteger, nullable=False),
    # A few steps to see that it works: no turn counts it.
    Column("quick", Boolean, nullable=False),
    Column("path", Text),
    Column("error", Text),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    # The place in service that its adapter is for.
    Column("slot", String, nullable=False, server_default="main"),
    Index(None, "state"),
)

run_examples = Table(
    "run_examples",
    metadata,
    Column("run_id", String, ForeignKey("training_runs.run_id"), primary_key=True),
    # No foreign key: which adapters saw an example must still be known after the example is erased.
    Column("example_id", String, primary_key=True),
    Column("split", String, nullable=False),
    Index(None, "example_id"),
)

adapters = Table(
    "adapters",
    metadata,
    Column("adapter_id", String, primary_key=True),
    Column("slot", String, nullable=False),
    Column("state", String, nullable=False),
    Column("run_id", String, ForeignKey("training_runs.run_id")),
    Column("dataset_digest", String),
    Column("base", String, nullable=False),
    Column("base_digest", String),
    Column("backend", String, nullable=False),
    Column("path", Text),
    _json("scores"),
    _json("licences", "[]"),
    _json("lineage"),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Index(None, "slot", "state"),
    Index(None, "run_id"),
)

champions = _numbered(
    "champions",
    Column("slot", String, nullable=False),
    # Null: the bare base serves.
    Column("adapter_id", String, ForeignKey("adapters.adapter_id")),
    Column("reason", Text),
    Column("created_at", Double, nullable=False),
    Index(None, "slot"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("evaluation_id", String, primary_key=True),
    Column("slot", String, nullable=False),
    Column("run_id", String),
    Column("champion_id", String),
    Column("challenger_id", String),
    _json("scores"),
    _json("comparisons", "[]"),
    Column("path", Text),
    Column("created_at", Double, nullable=False),
)

decisions = _numbered(
    "decisions",
    Column("evaluation_id", String, nullable=False),
    Column("run_id", String),
    Column("slot", String, nullable=False),
    Column("verdict", String, nullable=False),
    Column("challenger", String, nullable=False),
    Column("champion", String, nullable=False),
    # The whole decision as the gate gave it, reasons and figures included.
    _json("decision"),
    Column("created_at", Double, nullable=False),
    Index(None, "evaluation_id"),
    Index(None, "run_id"),
)

trials = _numbered(
    "trials",
    Column("test_id", String, nullable=False, unique=True),
    Column("slot", String, nullable=False),
    Column("champion", String, nullable=False),
    Column("challenger", String, nullable=False),
    Column("share", Double, nullable=False),
    # Rows of feedback up to this number were said before it began.
    Column("after_row", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text),
    _json("standing"),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Index(None, "slot", "state"),
)

# --- scheduler ---------------------------------------------------------------------------------------------------

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("type", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("interval_minutes", Integer, nullable=False),
    Column("run_count", Integer, nullable=False, server_default="0"),
    Column("last_run", Double),
    Column("next_run", Double),
    _json("last_result"),
    Column("updated_at", Double, nullable=False),
)

job_runs = _numbered(
    "job_runs",
    Column("job_id", String, ForeignKey("jobs.job_id", ondelete="CASCADE"), nullable=False),
    Column("state", String, nullable=False),
    _json("result"),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
    Index(None, "job_id"),
)

# --- distillation ------------------------------------------------------------------------------------------------

reasoning_patterns = Table(
    "reasoning_patterns",
    metadata,
    Column("pattern_id", String, primary_key=True),
    Column("example_id", String),
    Column("type", String, nullable=False),
    _json("steps", "[]"),
    Column("domain", String),
    Column("complexity", Integer),
    Column("confidence", Double),
    _json("metadata"),
    Column("created_at", Double, nullable=False),
    Index(None, "example_id"),
)

corrections = Table(
    "corrections",
    metadata,
    Column("correction_id", String, primary_key=True),
    Column("example_id", String),
    Column("input_text", Text),
    Column("incorrect", Text, nullable=False),
    Column("why", Text),
    Column("correct", Text, nullable=False),
    _json("metadata"),
    Column("created_at", Double, nullable=False),
    Index(None, "example_id"),
)

principles = Table(
    "principles",
    metadata,
    Column("principle_id", String, primary_key=True),
    Column("text", Text, nullable=False),
    Column("domain", String),
    Column("confidence", Double),
    Column("seen_count", Integer, nullable=False, server_default="1"),
    _json("metadata"),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)

review_queue = Table(
    "review_queue",
    metadata,
    Column("example_id", String, primary_key=True),
    Column("reason", Text),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Index(None, "priority"),
)

# --- erasure -----------------------------------------------------------------------------------------------------

purges = Table(
    "purges",
    metadata,
    Column("purge_id", String, primary_key=True),
    # begun, erased (the rows are gone, their bytes may not be) or done.
    Column("state", String, nullable=False),
    # What is to go, until it is gone; empty afterwards.
    _json("journal"),
    _json("receipt"),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("digest", String, primary_key=True),
    Column("purge_id", String, ForeignKey("purges.purge_id"), primary_key=True),
    Column("kind", String, nullable=False),
    Index(None, "purge_id"),
    # Which kinds there are is asked with every batch: none has to be worked out that nobody put up.
    Index(None, "kind"),
)
