"""Erasure: what was purged and is not to come back, and the digests of exported files."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "purges",
        sa.Column("purge_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("journal", sa.Text(), server_default="{}", nullable=False),
        sa.Column("receipt", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("purge_id", name=op.f("pk_purges")),
    )
    op.create_table(
        "tombstones",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("purge_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["purge_id"], ["purges.purge_id"], name=op.f("fk_tombstones_purge_id")),
        sa.PrimaryKeyConstraint("digest", "purge_id", name=op.f("pk_tombstones")),
    )
    op.create_index(op.f("ix_tombstones_purge_id"), "tombstones", ["purge_id"], unique=False)
    op.create_index(op.f("ix_tombstones_kind"), "tombstones", ["kind"], unique=False)
    op.add_column("export_history", sa.Column("digest", sa.String()))
