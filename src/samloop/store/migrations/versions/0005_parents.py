"""An index on what examples were derived from, for lineage and erasure."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_training_examples_parent_id"), "training_examples", ["parent_id"], unique=False)
