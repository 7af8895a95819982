"""Named sets of users, kept to compare bundles on the same ones again. Whoever is erased leaves them."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete, func, insert, select

from service.errors import FieldError
from service.store.database import Database
from service.store.tables import USER_SETS

MOST_USERS: Final = 200
MOST_SETS: Final = 100


class UserSets:
    """The sets of a store; every method may raise UnavailableError: the store does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sizes(self) -> dict[str, int]:
        """Name -> users, in order."""
        query = select(USER_SETS.c.name, func.count()).group_by(USER_SETS.c.name).order_by(USER_SETS.c.name)
        with self._database.reading() as connection:
            return dict([tuple(row) for row in connection.execute(query)])

    def users(self, name: str) -> list[str]:
        """Those of a set, in their order; empty where there is none of that name."""
        query = select(USER_SETS.c.user_id).where(USER_SETS.c.name == name).order_by(USER_SETS.c.place)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def save(self, name: str, user_ids: Sequence[str]) -> None:
        """Keep a set, in place of one of that name.

        Raises:
            FieldError: it is empty or too large, or there are too many sets.
        """
        users = list(dict.fromkeys(user_ids))
        if not 0 < len(users) <= MOST_USERS:
            raise FieldError("users", f"a set has 1 to {MOST_USERS} users, and these are {len(users):,}")
        with self._database.writing() as connection:
            connection.execute(delete(USER_SETS).where(USER_SETS.c.name == name))
            if connection.execute(select(func.count(USER_SETS.c.name.distinct()))).scalar_one() >= MOST_SETS:
                raise FieldError("name", f"{MOST_SETS} sets are kept already; delete one")
            rows = [{"name": name, "user_id": user, "place": place} for place, user in enumerate(users)]
            connection.execute(insert(USER_SETS), rows)

    def drop(self, name: str) -> None:
        """Forget a set."""
        with self._database.writing() as connection:
            connection.execute(delete(USER_SETS).where(USER_SETS.c.name == name))
