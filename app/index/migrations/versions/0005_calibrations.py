"""Calibrations of a collection's confidence, fitted to its feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calibrations",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("base", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name="fk_calibrations_collection_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_calibrations"),
        sa.UniqueConstraint("id", name="uq_calibrations_id"),
        sa.UniqueConstraint("collection_id", "number", name="uq_calibrations_collection_id_number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_calibrations_collection_id_status", "calibrations", ["collection_id", "status"], unique=False)


def downgrade() -> None:
    op.drop_table("calibrations")
