"""A version a user; the answer that an event follows; sequences that are never handed out twice."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v2", "v1"

OLD_COLUMNS = "sequence, identity, source, user_id, item_id, event_type, weight, timestamp"


def upgrade() -> None:
    """Make the table of users, from the events that are there."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_events()
    else:
        op.add_column("events", sa.Column("request_id", sa.String, comment="of the answer that the event follows"))
    op.create_table(
        "users",
        sa.Column("user_id", sa.String, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False, comment="another one whenever the user's events change"),
    )
    op.execute("INSERT INTO users (user_id, version) SELECT user_id, max(sequence) FROM events GROUP BY user_id")


def _rebuild_events() -> None:
    # SQLite cannot give AUTOINCREMENT to a table that stands.
    op.drop_index("events_by_user", "events")
    op.rename_table("events", "events_before")
    op.create_table(
        "events",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("identity", sa.LargeBinary(16), nullable=False, unique=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("item_id", sa.String, nullable=False),
        sa.Column("event_type", sa.String),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("timestamp", sa.BigInteger),
        sa.Column("request_id", sa.String),
        sqlite_autoincrement=True,
    )
    op.execute(f"INSERT INTO events ({OLD_COLUMNS}) SELECT {OLD_COLUMNS} FROM events_before ORDER BY sequence")
    op.drop_table("events_before")
    op.create_index("events_by_user", "events", ["user_id", "sequence"])
