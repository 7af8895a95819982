"""What is in service, what was shown to whom, and whom exposures still under way must not bring back."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v3", "v2"


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "deployments",
        sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("previous", sa.BigInteger, comment="generation that a rollback goes back to; null for none"),
        sa.Column("plan", sa.Text, nullable=False, comment="JSON: variants, weights, sources and versions"),
        sa.Column("created_at", sa.BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
        if_not_exists=True,
    )
    op.create_table(
        "exposures",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, comment="null where the request named no user"),
        sa.Column("variant", sa.String, nullable=False),
        sa.Column("model_version", sa.String, nullable=False),
        sa.Column("is_dealt", sa.Boolean, nullable=False, comment="false where the caller chose the variant"),
        sa.Column("items", sa.Text, nullable=False, comment="JSON: ids, best first"),
        sa.Column("answered_at", sa.BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("exposures_by_user", "exposures", ["user_id", "sequence"], if_not_exists=True)
    op.create_index("exposures_by_request", "exposures", ["request_id"], if_not_exists=True)
    op.create_table(
        "erasures",
        sa.Column("user_digest", sa.LargeBinary(16), primary_key=True),
        sa.Column("erased_at", sa.BigInteger, nullable=False, comment="microseconds since 1970, UTC; kept for minutes"),
        if_not_exists=True,
    )
