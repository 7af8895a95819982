"""The table of events, unless the store was made before there were migrations: then it stands already."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v1", None


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "events",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("identity", sa.LargeBinary(16), nullable=False, unique=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("item_id", sa.String, nullable=False),
        sa.Column("event_type", sa.String),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("timestamp", sa.BigInteger, comment="microseconds since 1970, UTC"),
        if_not_exists=True,
    )
    op.create_index("events_by_user", "events", ["user_id", "sequence"], if_not_exists=True)
