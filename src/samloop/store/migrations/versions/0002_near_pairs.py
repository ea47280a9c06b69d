"""Near-duplicates: which example resembles which earlier one."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "near_pairs",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("example_id", sa.String(), nullable=False),
        sa.Column("match_id", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_near_pairs")),
        sa.UniqueConstraint("example_id", "match_id", name=op.f("uq_near_pairs_example_id_match_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_near_pairs_match_id"), "near_pairs", ["match_id"], unique=False)
