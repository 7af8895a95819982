"""Erasures that last and are ordered; events of datasets known by their content; who answers from this store."""

from hashlib import blake2b, sha256

import sqlalchemy as sa
from alembic import op

revision, down_revision = "v4", "v3"

# As far as is known: the places of events without times were not kept, so they are numbered in their order.
MOMENT = (
    "CASE WHEN timestamp IS NULL THEN '#' || (row_number() OVER "
    "(PARTITION BY source, user_id, item_id, event_type, timestamp ORDER BY sequence) - 1) "
    "ELSE CAST(timestamp AS {text}) END"
)
CONTENT = (
    "SELECT sequence, user_id || {separator} || item_id || {separator} || coalesce(event_type, '') || {separator} || "
    "{moment} AS content FROM events WHERE source LIKE 'dataset:%'"
)
DIALECTS = {
    "sqlite": {"separator": "char(31)", "text": "TEXT", "digest": "recsys_content_digest(content)"},
    "postgresql": {
        "separator": "chr(31)",
        "text": "TEXT",
        "digest": "substring(sha256(convert_to(content, 'UTF8')) from 1 for 16)",
    },
}


def upgrade() -> None:
    """Make what is new, from what is there."""
    _keep_erasures()
    _know_by_content()
    op.create_table(
        "replicas",
        sa.Column("replica", sa.String, primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False, comment="of what it answers with"),
        sa.Column("seen_at", sa.BigInteger, nullable=False, comment="seconds since 1970, by the database's clock"),
        if_not_exists=True,
    )


def _keep_erasures() -> None:
    connection = op.get_bind()
    before = connection.execute(sa.text("SELECT user_digest, erased_at FROM erasures ORDER BY erased_at")).all()
    here = _digests_of_users(connection) if before else set()
    op.drop_table("erasures")
    op.create_table(
        "erasures",
        sa.Column("user_digest", sa.LargeBinary(16), primary_key=True),
        sa.Column("erased_at", sa.BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
        sa.Column("sequence", sa.BigInteger, nullable=False, unique=True, comment="in the order of the erasures"),
        sa.Column("returned_at", sa.BigInteger, comment="microseconds since 1970, UTC; null while not"),
    )
    for sequence, (digest, erased_at) in enumerate(before, start=1):
        returned_at = erased_at if bytes(digest) in here else None
        connection.execute(
            sa.text("INSERT INTO erasures VALUES (:digest, :erased_at, :sequence, :returned_at)"),
            {"digest": digest, "erased_at": erased_at, "sequence": sequence, "returned_at": returned_at},
        )


def _digests_of_users(connection: sa.Connection) -> set[bytes]:
    users = connection.execute(sa.text("SELECT user_id FROM users")).scalars()
    return {blake2b(user_id.encode(), digest_size=16).digest() for user_id in users}


def _know_by_content() -> None:
    connection = op.get_bind()
    words = DIALECTS[connection.dialect.name]
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        driver.create_function("recsys_content_digest", 1, _content_digest, deterministic=True)  # type: ignore[union-attr]
    contents = CONTENT.format(moment=MOMENT.format(**words), **words)
    op.execute(f"CREATE TEMPORARY TABLE contents AS SELECT sequence, {words['digest']} AS identity FROM ({contents}) c")
    op.execute(
        "CREATE TEMPORARY TABLE kept AS SELECT min(sequence) AS sequence, identity FROM contents GROUP BY identity"
    )
    op.execute("CREATE UNIQUE INDEX kept_by_sequence ON kept (sequence)")
    _keep_once()
    op.execute("UPDATE events SET identity = kept.identity FROM kept WHERE kept.sequence = events.sequence")
    op.execute("DROP TABLE contents")
    op.execute("DROP TABLE kept")


def _keep_once() -> None:
    """What several datasets brought is kept as the first one brought it; that changes the users' histories."""
    doubled = "SELECT c.sequence FROM contents c LEFT JOIN kept k ON k.sequence = c.sequence WHERE k.sequence IS NULL"
    op.execute(
        "UPDATE users SET version = CASE WHEN version < 9000000000000000000 THEN version + 1 ELSE 1 END "
        f"WHERE user_id IN (SELECT user_id FROM events WHERE sequence IN ({doubled}))"
    )
    op.execute(f"DELETE FROM events WHERE sequence IN ({doubled})")


def _content_digest(content: str) -> bytes:
    return sha256(content.encode()).digest()[:16]
