"""From an item to its events, and to the lists that held it: an index, and counts by day."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v11_items_by_day", "v10_logins"

EACH = {
    "sqlite": "json_each(exposures.items) AS one",
    "postgresql": "jsonb_array_elements_text(exposures.items::jsonb) AS one(value)",
}
DAY = 86_400_000_000


def upgrade() -> None:
    """Make the index and the tables, and count what was shown so far."""
    op.create_index("events_by_item", "events", ["item_id", "timestamp"], if_not_exists=True)
    if sa.inspect(op.get_bind()).has_table("shown_by_day"):
        return
    op.create_table(
        "shown_by_day",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False, comment="since 1970, UTC"),
        sa.Column("item_id", sa.String, primary_key=True),
        sa.Column("variant", sa.String, primary_key=True),
        sa.Column("lists", sa.BigInteger, nullable=False, comment="that held the item"),
    )
    op.create_table(
        "lists_by_day",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False, comment="since 1970, UTC"),
        sa.Column("variant", sa.String, primary_key=True),
        sa.Column("lists", sa.BigInteger, nullable=False, comment="that were shown"),
    )
    op.execute(
        f"INSERT INTO lists_by_day (day, variant, lists) SELECT answered_at / {DAY}, variant, count(*) FROM exposures "
        "GROUP BY 1, 2"
    )
    op.execute(
        "INSERT INTO shown_by_day (day, item_id, variant, lists) "
        f"SELECT answered_at / {DAY}, one.value, variant, count(*) FROM exposures, {EACH[op.get_bind().dialect.name]} "
        "GROUP BY 1, 2, 3"
    )
