"""Keys, rates, decisions and their chains, jobs."""

from __future__ import annotations

from typing import Any

from vedette.extras import require

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the first version of the service."""
    sa: Any = require("sqlalchemy", extra="serve")
    op: Any = require("alembic.op", extra="serve")
    c, text, number, whole = sa.Column, sa.Text, sa.Float(53), sa.BigInteger
    op.create_table(
        "api_keys",
        c("id", text, primary_key=True),
        c("name", text, nullable=False),
        c("hash", text, nullable=False),
        c("scopes", text, nullable=False),
        c("rate", number),
        c("created", number, nullable=False),
        c("expires", number),
        c("revoked", number),
        c("replaces", text),
    )
    op.create_table(
        "rates",
        c("key_id", text, primary_key=True),
        c("allowance", number, nullable=False),
        c("updated", number, nullable=False),
    )
    op.create_table(
        "chains",
        c("id", text, primary_key=True),
        c("length", whole, nullable=False),
        c("head", text, nullable=False),
        c("started", number, nullable=False),
    )
    op.create_table(
        "decisions",
        c("id", text, primary_key=True),
        c("chain", text, nullable=False),
        c("place", whole, nullable=False),
        c("time", number, nullable=False),
        c("key_id", text, nullable=False),
        c("action", text, nullable=False),
        c("policy", text, nullable=False),
        c("sha256", text),
        c("salt", text),
        c("payload", text),
        c("digest", text, nullable=False),
        c("link", text, nullable=False),
        c("subject_hash", text),
        c("erased", number),
        sa.UniqueConstraint("chain", "place"),
    )
    for column in ("time", "sha256", "subject_hash"):
        op.create_index(f"ix_decisions_{column}", "decisions", [column])
    op.create_index("decisions_erased", "decisions", ["erased", "time"])
    op.create_table(
        "jobs",
        c("id", text, primary_key=True),
        c("key_id", text, nullable=False),
        c("state", text, nullable=False),
        c("created", number, nullable=False),
        c("ended", number),
        c("model", text, nullable=False),
        c("policy", text, nullable=False),
        c("categories", text),
        c("items", whole, nullable=False),
        c("done", whole, nullable=False),
        c("uploads", text),
        c("webhook", text),
        c("webhook_state", text),
        c("webhook_due", number),
        c("webhook_attempts", whole, nullable=False),
    )
    op.create_index("ix_jobs_key_id", "jobs", ["key_id"])
    op.create_table(
        "job_items",
        c("job_id", text, sa.ForeignKey("jobs.id"), primary_key=True),
        c("place", whole, primary_key=True),
        c("key", text, nullable=False),
        c("given", text, nullable=False),
        c("subject", text),
        c("lease", text),
        c("lease_until", number),
        c("attempts", whole, nullable=False),
        c("record", text),
        c("action", text),
        c("failure", text),
    )
    undone = sa.text("record IS NULL")
    op.create_index(
        "job_items_open",
        "job_items",
        ["job_id", "attempts", "place"],
        sqlite_where=undone,
        postgresql_where=undone,
    )
