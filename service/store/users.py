"""Users of the store by name: those whose ids begin with something, and those of whom something came last."""

from sqlalchemy import select

from service.store.database import Database
from service.store.tables import EVENTS, USERS

LATEST_EVENTS = 500
"""That are looked through for the users of the latest."""
LAST_CHARACTER = "\U0010ffff"


def users_beginning_with(database: Database, prefix: str, limit: int) -> list[str]:
    """Ids of users that begin so, in order of their characters."""
    # Not LIKE, which SQLite answers without its index and without regard to case.
    user_id = USERS.c.user_id if database.has_one_writer else USERS.c.user_id.collate("C")
    query = select(USERS.c.user_id).where(user_id >= prefix, user_id < prefix + LAST_CHARACTER)
    with database.reading() as connection:
        return list(connection.execute(query.order_by(user_id).limit(limit)).scalars())


def users_of_late(database: Database, limit: int) -> list[str]:
    """Ids of the users of the latest events, latest first."""
    query = select(EVENTS.c.user_id).order_by(EVENTS.c.sequence.desc()).limit(LATEST_EVENTS)
    with database.reading() as connection:
        return list(dict.fromkeys(connection.execute(query).scalars()))[:limit]
