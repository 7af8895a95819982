"""Plans of sequential tests; which variant put each item into an interleaved list."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v5_live_tests", "v4"


def upgrade() -> None:
    """Make the table and the column."""
    op.create_table(
        "live_tests",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("plan", sa.Text, nullable=False, comment="JSON: variants, start, metric, error rate, tuning"),
        sa.Column("created_at", sa.BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
        if_not_exists=True,
    )
    column = sa.Column("teams", sa.Text, comment="JSON: variant that each item of an interleaved list is credited to")
    if "teams" not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns("exposures")}:
        op.add_column("exposures", column)
