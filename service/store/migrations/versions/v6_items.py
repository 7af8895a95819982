"""What is changed about items while they are in service."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v6", "v5_live_tests"


def upgrade() -> None:
    """Make the three tables, and start the clock."""
    op.create_table(
        "items",
        sa.Column("item_id", sa.String, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False, comment="sequence of the first change; it stays"),
        sa.Column("sequence", sa.BigInteger, nullable=False, comment="of the last change"),
        sa.Column("document", sa.Text, nullable=False, comment="JSON: fields, hidden and deleted, each with its time"),
        if_not_exists=True,
    )
    op.create_index("items_by_sequence", "items", ["sequence"], unique=True, if_not_exists=True)
    op.create_table(
        "item_fields",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False, comment="text, number, flag, texts or numbers"),
        if_not_exists=True,
    )
    op.create_table(
        "item_clock",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, nullable=False, comment="of the last change of any item"),
        if_not_exists=True,
    )
    op.execute("INSERT INTO item_clock (id, sequence) VALUES (1, 0) ON CONFLICT DO NOTHING")
