"""Sessions of pages that were ended, and keys that were tried at their login: the same for all processes."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v10_logins", "v9_actions"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ended_sessions",
        sa.Column("nonce", sa.LargeBinary(16), primary_key=True),
        sa.Column(
            "expiry", sa.BigInteger, nullable=False, comment="in seconds since 1970; it opens nothing after that"
        ),
        if_not_exists=True,
    )
    op.create_table(
        "login_attempts",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("network", sa.String, nullable=False, comment="that a key was tried from"),
        sa.Column("tried_at", sa.BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
        if_not_exists=True,
        sqlite_autoincrement=True,
    )
    for name, columns in (("network", ["network", "tried_at"]), ("time", ["tried_at"])):
        op.create_index(f"login_attempts_by_{name}", "login_attempts", columns, if_not_exists=True)
