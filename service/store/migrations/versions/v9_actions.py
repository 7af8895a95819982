"""Who did what: changes of items, reloads, rollbacks."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v9_actions", "v8_replay"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "actions",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("actor", sa.String, nullable=False, comment="name of the key that asked"),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False, comment="what it was done to, such as item:318"),
        sa.Column("detail", sa.Text, nullable=False, comment="JSON"),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("done_at", sa.BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
        if_not_exists=True,
        sqlite_autoincrement=True,
    )
    op.create_index("actions_by_subject", "actions", ["subject", "sequence"], if_not_exists=True)
