"""The tables of the store as they are after the last migration. A change here needs a migration beside it."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table

METADATA = MetaData()

EVENTS = Table(
    "events",
    METADATA,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("identity", LargeBinary(16), nullable=False, unique=True),
    Column("source", String, nullable=False),
    Column("user_id", String, nullable=False),
    Column("item_id", String, nullable=False),
    Column("event_type", String),
    Column("weight", Float, nullable=False),
    Column("timestamp", BigInteger, comment="microseconds since 1970, UTC"),
    Column("request_id", String, comment="of the answer that the event follows"),
    Index("events_by_user", "user_id", "sequence"),
    sqlite_autoincrement=True,  # else SQLite hands the sequence of an erased last event out again
)

# Why a row a user, and not the largest sequence of its events: sequences are handed out before commit, so a smaller one
# may become visible after a larger one, and then neither the largest nor, once events are replaced or erased, their
# count says that anything has changed. The row is written in the transaction that changes the user's events, before
# they are: the second of two writers waits for the first to commit. So no change is without a new version, and the
# sequences of one user become visible in their order. Versions are drawn at random: one that counts would come back
# after an erasure, which must not leave the user's name behind to count on.
USERS = Table(
    "users",
    METADATA,
    Column("user_id", String, primary_key=True),
    Column("version", BigInteger, nullable=False, comment="another one whenever the user's events change"),
)
