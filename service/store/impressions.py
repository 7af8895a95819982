"""Exposures: which list was shown to whom, by which variant; written in batches, some time after the answers."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select

from service.store.database import Database
from service.store.erasures import last_erasure, let_nobody_be_buried, tombstones
from service.store.recipes import Recipe
from service.store.shown_items import count_lists
from service.store.tables import EVENTS, IMPRESSIONS

LONGEST_WAIT_SECONDS = 300
"""An exposure that could not be written for so long is given up."""
MICROSECONDS = 1_000_000


class Impression(NamedTuple):
    """A list that was answered.

    Attributes:
        request_id: of the request.
        user_id: whom it was for; None where the request named nobody.
        variant: that answered.
        model_version: of its bundle.
        is_dealt: whether the variant was assigned, and not chosen by the caller.
        items: ids, best first.
        answered_at: in microseconds since 1970, UTC.
        last_erasure: sequence of the last erasure of any user that was known here when the request came.
        teams: of an interleaved list, the variant that each item is credited to, None for nobody; None for other lists.
        propensities: how likely each item was to be in the list; None where not known.
        recipe: says what it can be made again from, when it is written down; None where it cannot.
    """

    request_id: str
    user_id: str | None
    variant: str
    model_version: str
    is_dealt: bool
    items: tuple[str, ...]
    answered_at: int
    last_erasure: int = 0
    teams: tuple[str | None, ...] | None = None
    propensities: tuple[float, ...] | None = None
    recipe: Callable[[], Recipe] | None = None


class Added(NamedTuple):
    """What became of exposures that were to be written.

    Attributes:
        written: how many were; the users of the others were erased since.
        last_erasure: sequence of the last erasure by then.
    """

    written: int
    last_erasure: int


class HeldExposure(NamedTuple):
    """An exposure as it is held; attributes as those of `Exposure`."""

    sequence: int
    request_id: str
    variant: str
    model_version: str
    is_dealt: bool
    items: tuple[str, ...]
    answered_at: int
    teams: tuple[str | None, ...] | None = None
    propensities: tuple[float, ...] | None = None
    recipe: str | None = None


class ImpressionTable:
    """The record of what was shown; every method may raise UnavailableError: the store does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, exposures: Sequence[Impression]) -> Added:
        """Write exposures in one transaction, but for those of users who were erased since.

        By the order of the erasures and not by clocks, of which every process may have another: an exposure counts as
        one of before an erasure that its process did not know of.
        """
        with self._database.writing() as connection:
            let_nobody_be_buried(connection)
            buried = tombstones(connection, {one.user_id for one in exposures if one.user_id is not None})
            erased = {user_id: tombstone.sequence for user_id, tombstone in buried.items()}
            kept = [one for one in exposures if one.last_erasure >= erased.get(one.user_id or "", 0)]
            if kept:
                connection.execute(insert(IMPRESSIONS), [_row(one) for one in kept])
                count_lists(connection, ((one.answered_at, one.variant, one.items) for one in kept))
            return Added(len(kept), last_erasure(connection))

    def of_user(self, user_id: str, limit: int, before: int | None = None) -> list[HeldExposure]:
        """The newest `limit` exposures of a user, or those before a sequence."""
        query = select(*(IMPRESSIONS.c[name] for name in HeldExposure._fields)).where(about(user_id))
        if before is not None:
            query = query.where(IMPRESSIONS.c.sequence < before)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(IMPRESSIONS.c.sequence.desc()).limit(limit)).all()
        return [_held(row) for row in rows]

    def of_request(self, request_id: str, user_id: str | None, limit: int) -> list[tuple[str | None, HeldExposure]]:
        """Users and lists that were answered under an id, the first ones; of one user only, if one is named."""
        columns = (IMPRESSIONS.c.user_id, *(IMPRESSIONS.c[name] for name in HeldExposure._fields))
        query = select(*columns).where(IMPRESSIONS.c.request_id == request_id)
        if user_id is not None:
            query = query.where(IMPRESSIONS.c.user_id == user_id)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(IMPRESSIONS.c.sequence).limit(limit)).all()
        return [(row.user_id, _held(row)) for row in rows]

    def count(self, user_id: str) -> int:
        """Exposures of a user."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(IMPRESSIONS).where(about(user_id))).scalar_one()


def about(user_id: str) -> ColumnElement[bool]:
    """What tells of a user: lists for the user by name, and those without a name that the user's events follow."""
    followed = select(EVENTS.c.request_id).where(EVENTS.c.user_id == user_id, EVENTS.c.request_id.is_not(None))
    unnamed = IMPRESSIONS.c.user_id.is_(None) & IMPRESSIONS.c.request_id.in_(followed)
    return or_(IMPRESSIONS.c.user_id == user_id, unnamed)


def erase_impressions(connection: Connection, user_id: str) -> int:
    """Forget what was shown to a user who is being erased; say how many lists there were.

    It must come before the user's events are erased: they lead to lists without a name.
    """
    return connection.execute(delete(IMPRESSIONS).where(about(user_id))).rowcount


def _row(impression: Impression) -> dict[str, Any]:
    teams = None if impression.teams is None else json.dumps(impression.teams)
    fields = impression._asdict() | {
        "items": json.dumps(impression.items),
        "teams": teams,
        "propensities": _written(impression.propensities),
        "recipe": None if impression.recipe is None else impression.recipe().write(),
    }
    return {name: fields[name] for name in fields if name in IMPRESSIONS.c}


def _held(row: Row[Any]) -> HeldExposure:
    teams = None if row.teams is None else tuple(json.loads(row.teams))
    items = tuple(json.loads(row.items))
    told = {"items": items, "teams": teams, "propensities": read_propensities(row.propensities, len(items))}
    found = row._asdict() | told
    return HeldExposure(**{name: found[name] for name in HeldExposure._fields})


def _written(propensities: tuple[float, ...] | None) -> str | None:
    """One number where all are alike, as most are."""
    if propensities is None:
        return None
    return json.dumps(propensities[0] if len(set(propensities)) == 1 else propensities)


def read_propensities(written: str | None, n: int) -> tuple[float, ...] | None:
    """Those of n items; None where they are not known."""
    if written is None:
        return None
    told = json.loads(written)
    return tuple(told) if isinstance(told, list) else (told,) * n
