"""What lists can be made again from, what items were before their last changes, and named sets of users."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v8_replay", "v7_propensities"


def upgrade() -> None:
    """Make the column and the two tables."""
    column = sa.Column("recipe", sa.Text, comment="JSON: what the list can be made again from; null where it cannot")
    if "recipe" not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns("exposures")}:
        op.add_column("exposures", column)
    op.create_table(
        "item_versions",
        sa.Column(
            "sequence", sa.BigInteger, primary_key=True, autoincrement=False, comment="of the change that made it"
        ),
        sa.Column("until", sa.BigInteger, nullable=False, comment="sequence of the change that ended it"),
        sa.Column("item_id", sa.String, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False, comment="as that of the item"),
        sa.Column("document", sa.Text, nullable=False, comment="JSON: as that of the item"),
        sa.Column("ended_at", sa.BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
        if_not_exists=True,
    )
    op.create_index("item_versions_by_until", "item_versions", ["until"], if_not_exists=True)
    op.create_table(
        "user_sets",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("user_id", sa.String, primary_key=True),
        sa.Column("place", sa.Integer, nullable=False, comment="in the set, from 0"),
        if_not_exists=True,
    )
    op.create_index("user_sets_by_user", "user_sets", ["user_id"], if_not_exists=True)
