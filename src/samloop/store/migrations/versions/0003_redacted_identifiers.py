"""Keyed hashes of the identifiers that were redacted, for erasure by person."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "redacted_identifiers",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("example_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "example_id", name=op.f("pk_redacted_identifiers")),
    )
    op.create_index(op.f("ix_redacted_identifiers_example_id"), "redacted_identifiers", ["example_id"], unique=False)
