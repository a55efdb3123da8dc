"""Evaluations with what they observed, and rerankers trained on feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evaluations",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("golden", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name="fk_evaluations_collection_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_evaluations"),
        sa.UniqueConstraint("id", name="uq_evaluations_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_evaluations_collection_id", "evaluations", ["collection_id"], unique=False)
    op.create_table(
        "evaluation_scores",
        sa.Column("evaluation_seq", sa.Integer(), nullable=False),
        sa.Column("question", sa.Integer(), nullable=False),
        sa.Column("setting", sa.Integer(), nullable=False),
        sa.Column("observed", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_seq"], ["evaluations.seq"], name="fk_evaluation_scores_evaluation_seq", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evaluation_seq", "question", "setting", name="pk_evaluation_scores"),
    )
    op.create_table(
        "rerankers",
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
            ["collection_id"], ["collections.id"], name="fk_rerankers_collection_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_rerankers"),
        sa.UniqueConstraint("id", name="uq_rerankers_id"),
        sa.UniqueConstraint("collection_id", "number", name="uq_rerankers_collection_id_number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_rerankers_collection_id_status", "rerankers", ["collection_id", "status"], unique=False)


def downgrade() -> None:
    op.drop_table("rerankers")
    op.drop_table("evaluation_scores")
    op.drop_table("evaluations")
