"""The tables of the store as they are after the last migration. A change here needs a migration beside it."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

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
    Index("events_by_item", "item_id", "timestamp"),
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

# The deployment of the largest generation is the one in service. Rows are never changed: they are the record of what
# was in service when, and what a rollback goes back to.
DEPLOYMENTS = Table(
    "deployments",
    METADATA,
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("previous", BigInteger, comment="generation that a rollback goes back to; null for none"),
    Column("plan", Text, nullable=False, comment="JSON: variants, weights, sources and versions"),
    Column("created_at", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
)

IMPRESSIONS = Table(
    "exposures",
    METADATA,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("request_id", String, nullable=False),
    Column("user_id", String, comment="null where the request named no user"),
    Column("variant", String, nullable=False),
    Column("model_version", String, nullable=False),
    Column("is_dealt", Boolean, nullable=False, comment="false where the caller chose the variant"),
    Column("items", Text, nullable=False, comment="JSON: ids, best first"),
    Column("answered_at", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
    Column("teams", Text, comment="JSON: variant that each item of an interleaved list is credited to"),
    Column("propensities", Text, comment="JSON: one a list, or one an item; null where not known"),
    Column("recipe", Text, comment="JSON: what the list can be made again from; null where it cannot"),
    Index("exposures_by_user", "user_id", "sequence"),
    Index("exposures_by_request", "request_id"),
    sqlite_autoincrement=True,
)

# The day comes first: what is written at one time lies together, and a day is removed as a whole. Who looks for an item
# names its days.
SHOWN_BY_DAY = Table(
    "shown_by_day",
    METADATA,
    Column("day", Integer, primary_key=True, autoincrement=False, comment="since 1970, UTC"),
    Column("item_id", String, primary_key=True),
    Column("variant", String, primary_key=True),
    Column("lists", BigInteger, nullable=False, comment="that held the item"),
)

LISTS_BY_DAY = Table(
    "lists_by_day",
    METADATA,
    Column("day", Integer, primary_key=True, autoincrement=False, comment="since 1970, UTC"),
    Column("variant", String, primary_key=True),
    Column("lists", BigInteger, nullable=False, comment="that were shown"),
)

# Without these, what lies elsewhere would bring an erased user back: a dataset that is loaded again, a request that is
# sent again, a list that waits in another process to be recorded. Rows are never removed: then a sequence would come
# again, and a list that waits since before an erasure would pass for one of after it.
ERASURES = Table(
    "erasures",
    METADATA,
    Column("user_digest", LargeBinary(16), primary_key=True),
    Column("erased_at", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
    Column("sequence", BigInteger, nullable=False, unique=True, comment="in the order of the erasures"),
    Column("returned_at", BigInteger, comment="microseconds since 1970, UTC; null while not"),
)

REPLICAS = Table(
    "replicas",
    METADATA,
    Column("replica", String, primary_key=True),
    Column("generation", BigInteger, nullable=False, comment="of what it answers with"),
    Column("seen_at", BigInteger, nullable=False, comment="seconds since 1970, by the database's clock"),
)

# Rows are never changed: what a sequential test was planned as is not to be changed while it is looked at.
LIVE_TESTS = Table(
    "live_tests",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("plan", Text, nullable=False, comment="JSON: variants, start, metric, error rate, tuning"),
    Column("created_at", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
)

# What is in a bundle is not here: only what was changed since, and when. Rows are never removed, deleted items neither:
# a bundle that comes later holds them again.
ITEMS = Table(
    "items",
    METADATA,
    Column("item_id", String, primary_key=True),
    Column("number", BigInteger, nullable=False, comment="sequence of the first change; it stays"),
    Column("sequence", BigInteger, nullable=False, comment="of the last change"),
    Column("document", Text, nullable=False, comment="JSON: fields, hidden and deleted, each with its time"),
    Index("items_by_sequence", "sequence", unique=True),
)

# What items were before their last changes, for lists that are given again: kept while any list that was shown is.
ITEM_VERSIONS = Table(
    "item_versions",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, comment="of the change that made it"),
    Column("until", BigInteger, nullable=False, comment="sequence of the change that ended it"),
    Column("item_id", String, nullable=False),
    Column("number", BigInteger, nullable=False, comment="as that of the item"),
    Column("document", Text, nullable=False, comment="JSON: as that of the item"),
    Column("ended_at", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
    Index("item_versions_by_until", "until"),
)

ITEM_FIELDS = Table(
    "item_fields",
    METADATA,
    Column("name", String, primary_key=True),
    Column("kind", String, nullable=False, comment="text, number, flag, texts or numbers"),
)

# One row, which every transaction that changes items locks before it reads them: so changes become visible in the order
# of their sequences, and whoever has read up to the number here has read all.
ITEM_CLOCK = Table(
    "item_clock",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False, comment="of the last change of any item"),
)

# Rows are never changed. A subject of `user:ID` names a user, whose erasure reaches them.
ACTIONS = Table(
    "actions",
    METADATA,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("actor", String, nullable=False, comment="name of the key that asked"),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False, comment="what it was done to, such as item:318"),
    Column("detail", Text, nullable=False, comment="JSON"),
    Column("request_id", String, nullable=False),
    Column("done_at", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
    Index("actions_by_subject", "subject", "sequence"),
    sqlite_autoincrement=True,
)

# A row a user, so that whoever is erased leaves the sets too.
USER_SETS = Table(
    "user_sets",
    METADATA,
    Column("name", String, primary_key=True),
    Column("user_id", String, primary_key=True),
    Column("place", Integer, nullable=False, comment="in the set, from 0"),
    Index("user_sets_by_user", "user_id"),
)

# A session stands here from the moment when it was ended until it would have expired.
ENDED_SESSIONS = Table(
    "ended_sessions",
    METADATA,
    Column("nonce", LargeBinary(16), primary_key=True),
    Column("expiry", BigInteger, nullable=False, comment="in seconds since 1970; it opens nothing after that"),
)

LOGIN_ATTEMPTS = Table(
    "login_attempts",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("network", String, nullable=False, comment="that a key was tried from"),
    Column("tried_at", BigInteger, nullable=False, comment="microseconds since 1970, UTC"),
    Index("login_attempts_by_network", "network", "tried_at"),
    Index("login_attempts_by_time", "tried_at"),
    sqlite_autoincrement=True,
)
