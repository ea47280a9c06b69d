"""The first tables: examples with what is kept about them, runs, adapters, decisions, jobs, distillation."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_captures()
    create_corrections()
    create_decisions()
    create_evaluations()
    create_export_history()
    create_feedback()
    create_jobs()
    create_principles()
    create_reasoning_patterns()
    create_review_queue()
    create_reviews()
    create_source_state()
    create_stats_cache()
    create_store_meta()
    create_training_examples()
    create_training_runs()
    create_validation_log()
    create_adapters()
    create_job_runs()
    create_run_examples()
    create_champions()
    op.execute("INSERT INTO store_meta (name, value) VALUES ('revision', 0)")


def create_captures() -> None:
    op.create_table(
        "captures",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("capture_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=True),
        sa.Column("messages", sa.Text(), server_default="[]", nullable=False),
        sa.Column("local_answer", sa.Text(), nullable=True),
        sa.Column("teacher_answer", sa.Text(), nullable=True),
        sa.Column("teacher", sa.String(), nullable=True),
        sa.Column("trigger", sa.String(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("metadata", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_captures")),
        sa.UniqueConstraint("capture_id", name=op.f("uq_captures_capture_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_captures_conversation_id"), "captures", ["conversation_id"], unique=False)


def create_corrections() -> None:
    op.create_table(
        "corrections",
        sa.Column("correction_id", sa.String(), nullable=False),
        sa.Column("example_id", sa.String(), nullable=True),
        sa.Column("input_text", sa.Text(), nullable=True),
        sa.Column("incorrect", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("correct", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("correction_id", name=op.f("pk_corrections")),
    )
    op.create_index(op.f("ix_corrections_example_id"), "corrections", ["example_id"], unique=False)


def create_decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("evaluation_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("challenger", sa.String(), nullable=False),
        sa.Column("champion", sa.String(), nullable=False),
        sa.Column("decision", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_decisions")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_decisions_evaluation_id"), "decisions", ["evaluation_id"], unique=False)
    op.create_index(op.f("ix_decisions_run_id"), "decisions", ["run_id"], unique=False)


def create_evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("evaluation_id", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("champion_id", sa.String(), nullable=True),
        sa.Column("challenger_id", sa.String(), nullable=True),
        sa.Column("scores", sa.Text(), server_default="{}", nullable=False),
        sa.Column("comparisons", sa.Text(), server_default="[]", nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", name=op.f("pk_evaluations")),
    )


def create_export_history() -> None:
    op.create_table(
        "export_history",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("filters", sa.Text(), server_default="{}", nullable=False),
        sa.Column("examples", sa.Integer(), nullable=False),
        sa.Column("marked_used", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_export_history")),
        sqlite_autoincrement=True,
    )


def create_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("feedback_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=True),
        sa.Column("adapter_id", sa.String(), nullable=True),
        sa.Column("input_text", sa.Text(), nullable=True),
        sa.Column("output_text", sa.Text(), nullable=True),
        sa.Column("better_text", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("rating", sa.Double(), nullable=True),
        sa.Column("metadata", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_feedback")),
        sa.UniqueConstraint("feedback_id", name=op.f("uq_feedback_feedback_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_feedback_conversation_id"), "feedback", ["conversation_id"], unique=False)


def create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("interval_minutes", sa.Integer(), nullable=False),
        sa.Column("run_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_run", sa.Double(), nullable=True),
        sa.Column("next_run", sa.Double(), nullable=True),
        sa.Column("last_result", sa.Text(), server_default="{}", nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_jobs")),
    )


def create_principles() -> None:
    op.create_table(
        "principles",
        sa.Column("principle_id", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("domain", sa.String(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("seen_count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("metadata", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("principle_id", name=op.f("pk_principles")),
    )


def create_reasoning_patterns() -> None:
    op.create_table(
        "reasoning_patterns",
        sa.Column("pattern_id", sa.String(), nullable=False),
        sa.Column("example_id", sa.String(), nullable=True),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("steps", sa.Text(), server_default="[]", nullable=False),
        sa.Column("domain", sa.String(), nullable=True),
        sa.Column("complexity", sa.Integer(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("metadata", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("pattern_id", name=op.f("pk_reasoning_patterns")),
    )
    op.create_index(op.f("ix_reasoning_patterns_example_id"), "reasoning_patterns", ["example_id"], unique=False)


def create_review_queue() -> None:
    op.create_table(
        "review_queue",
        sa.Column("example_id", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("example_id", name=op.f("pk_review_queue")),
    )
    op.create_index(op.f("ix_review_queue_priority"), "review_queue", ["priority"], unique=False)


def create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("example_id", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reviewer", sa.String(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_reviews")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_reviews_example_id"), "reviews", ["example_id"], unique=False)


def create_source_state() -> None:
    op.create_table(
        "source_state",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), server_default="{}", nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "location", name=op.f("pk_source_state")),
    )


def create_stats_cache() -> None:
    op.create_table(
        "stats_cache",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Text(), server_default="{}", nullable=False),
        sa.Column("computed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_stats_cache")),
    )


def create_store_meta() -> None:
    op.create_table(
        "store_meta",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_store_meta")),
    )


def create_training_examples() -> None:
    op.create_table(
        "training_examples",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("input_text", sa.Text(), nullable=False),
        sa.Column("output_text", sa.Text(), nullable=False),
        sa.Column("system_prompt", sa.Text(), nullable=True),
        sa.Column("context", sa.Text(), nullable=True),
        sa.Column("rejected_output", sa.Text(), nullable=True),
        sa.Column("preference_reason", sa.Text(), nullable=True),
        sa.Column("conversation_history", sa.Text(), server_default="[]", nullable=False),
        sa.Column("metadata", sa.Text(), server_default="{}", nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("complexity", sa.Integer(), nullable=False),
        sa.Column("quality_score", sa.Double(), nullable=False),
        sa.Column("quality_tier", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("source_id", sa.String(), nullable=True),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("group_key", sa.String(), nullable=True),
        sa.Column("licence", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("flags", sa.Text(), server_default="[]", nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("validated", sa.Boolean(), nullable=False),
        sa.Column("used_in_training", sa.Boolean(), nullable=False),
        sa.Column("training_run_id", sa.String(), nullable=True),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("input_hash", sa.String(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_examples")),
    )
    op.create_index(op.f("ix_training_examples_content_hash"), "training_examples", ["content_hash"], unique=False)
    op.create_index(op.f("ix_training_examples_domain"), "training_examples", ["domain"], unique=False)
    op.create_index(op.f("ix_training_examples_format"), "training_examples", ["format"], unique=False)
    op.create_index(op.f("ix_training_examples_group_key"), "training_examples", ["group_key"], unique=False)
    op.create_index(op.f("ix_training_examples_input_hash"), "training_examples", ["input_hash"], unique=False)
    op.create_index(
        "ix_training_examples_quality", "training_examples", ["quality_tier", "quality_score"], unique=False
    )
    op.create_index(op.f("ix_training_examples_revision"), "training_examples", ["revision"], unique=False)
    op.create_index(op.f("ix_training_examples_source"), "training_examples", ["source"], unique=False)
    op.create_index(
        op.f("ix_training_examples_state_revision"), "training_examples", ["state", "revision"], unique=False
    )


def create_training_runs() -> None:
    op.create_table(
        "training_runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("dataset_digest", sa.String(), nullable=False),
        sa.Column("dataset_path", sa.Text(), nullable=True),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("base_digest", sa.String(), nullable=True),
        sa.Column("backend", sa.String(), nullable=False),
        sa.Column("code_version", sa.String(), nullable=True),
        sa.Column("recipe", sa.Text(), server_default="{}", nullable=False),
        sa.Column("metrics", sa.Text(), server_default="{}", nullable=False),
        sa.Column("result", sa.Text(), server_default="{}", nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("quick", sa.Boolean(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_training_runs")),
    )
    op.create_index(op.f("ix_training_runs_state"), "training_runs", ["state"], unique=False)


def create_validation_log() -> None:
    op.create_table(
        "validation_log",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("example_id", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("measure", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_validation_log")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_validation_log_example_id"), "validation_log", ["example_id"], unique=False)


def create_adapters() -> None:
    op.create_table(
        "adapters",
        sa.Column("adapter_id", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("dataset_digest", sa.String(), nullable=True),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("base_digest", sa.String(), nullable=True),
        sa.Column("backend", sa.String(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("scores", sa.Text(), server_default="{}", nullable=False),
        sa.Column("licences", sa.Text(), server_default="[]", nullable=False),
        sa.Column("lineage", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["training_runs.run_id"], name=op.f("fk_adapters_run_id")),
        sa.PrimaryKeyConstraint("adapter_id", name=op.f("pk_adapters")),
    )
    op.create_index(op.f("ix_adapters_run_id"), "adapters", ["run_id"], unique=False)
    op.create_index(op.f("ix_adapters_slot_state"), "adapters", ["slot", "state"], unique=False)


def create_job_runs() -> None:
    op.create_table(
        "job_runs",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("result", sa.Text(), server_default="{}", nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name=op.f("fk_job_runs_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_job_runs")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_job_runs_job_id"), "job_runs", ["job_id"], unique=False)


def create_run_examples() -> None:
    op.create_table(
        "run_examples",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("example_id", sa.String(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["training_runs.run_id"], name=op.f("fk_run_examples_run_id")),
        sa.PrimaryKeyConstraint("run_id", "example_id", name=op.f("pk_run_examples")),
    )
    op.create_index(op.f("ix_run_examples_example_id"), "run_examples", ["example_id"], unique=False)


def create_champions() -> None:
    op.create_table(
        "champions",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("adapter_id", sa.String(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["adapter_id"], ["adapters.adapter_id"], name=op.f("fk_champions_adapter_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_champions")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_champions_slot"), "champions", ["slot"], unique=False)
