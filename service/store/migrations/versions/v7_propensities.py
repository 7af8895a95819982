"""How likely each item of a list was to stand in it."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v7_propensities", "v6"


def upgrade() -> None:
    """Make the column."""
    column = sa.Column("propensities", sa.Text, comment="JSON: one a list, or one an item; null where not known")
    if "propensities" not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns("exposures")}:
        op.add_column("exposures", column)
