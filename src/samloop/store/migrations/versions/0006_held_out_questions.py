"""Questions held out for good, and which corrections each adapter has learnt."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "held_out_questions",
        sa.Column("question_id", sa.String(), nullable=False),
        sa.Column("example_id", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("retired", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("question_id", name=op.f("pk_held_out_questions")),
    )
    op.create_index(op.f("ix_held_out_questions_example_id"), "held_out_questions", ["example_id"], unique=False)
    op.create_table(
        "learnt_corrections",
        sa.Column("adapter_id", sa.String(), nullable=False),
        sa.Column("example_id", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("margin_nats", sa.Double(), nullable=True),
        sa.Column("base_margin_nats", sa.Double(), nullable=True),
        sa.Column("said_share", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("adapter_id", "example_id", name=op.f("pk_learnt_corrections")),
    )
    op.create_index(op.f("ix_learnt_corrections_example_id"), "learnt_corrections", ["example_id"], unique=False)
