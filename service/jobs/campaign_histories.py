"""Histories for a campaign: of many users at a time, from a dataset's tables or from the event store.

From the dataset they are what the store holds once `recsys load-history` has filled it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from sqlalchemy import func, select

from recsys_vae.data.changed_tables import scan_changed
from recsys_vae.data.columns import EVENT_TYPE, ITEM, TIMESTAMP, USER, WEIGHT
from recsys_vae.errors import ConfigError
from service.jobs.history_import import TABLE
from service.jobs.signed_events import REPEATS, by_ranges
from service.store.events import HISTORY, EventStore, in_order
from service.store.tables import EVENTS
from service.store.user_history import NOTHING, UserEvents
from service.timestamps import from_microseconds, to_microseconds

ROWS_AT_ONCE = 1_000_000
USERS_AT_ONCE = 500
"""Whom one statement asks the store about."""


@dataclass(frozen=True)
class Window:
    """Events of a kind that hide their items: those after `since`, up to `until`."""

    event_type: str
    since: datetime
    until: datetime


class Histories(Protocol):
    """Where histories are read."""

    def latest(self, before: datetime) -> datetime | None:
        """Time of the last event up to a moment; None where no event has a time."""

    def event_types(self) -> list[str]:
        """Kinds of events."""

    def read(self, users: Sequence[str]) -> Iterator[UserEvents]:
        """The events of each of these users, who ascend."""

    def bought(self, users: Sequence[str], window: Window) -> dict[str, list[str]]:
        """Items of the events in a window, by user."""


class DatasetHistories:
    """Histories of a dataset, read by ranges of users.

    Args:
        folder: of the dataset.
    """

    def __init__(self, folder: Path) -> None:
        found = scan_changed(folder, Path(TABLE).stem)
        assert found is not None
        self._folder, self._once, self._repeats = folder, found, scan_changed(folder, REPEATS)

    def latest(self, before: datetime) -> datetime | None:
        """Time of the last event up to a moment."""
        found = self._events(TIMESTAMP).filter(_time() <= before).select(_time().max()).collect(engine="streaming")
        time: datetime | None = found.item()
        return time

    def event_types(self) -> list[str]:
        """Kinds of events."""
        kinds = self._events(EVENT_TYPE).select(pl.col(EVENT_TYPE).cast(pl.String).drop_nulls().unique())
        return kinds.collect(engine="streaming")[EVENT_TYPE].sort().to_list()

    def read(self, users: Sequence[str]) -> Iterator[UserEvents]:
        """The events of each of these users, who ascend."""
        if not users:
            return
        found = by_user(by_ranges(self._folder, pl.Series(users), ROWS_AT_ONCE))
        current = next(found, None)
        for user in users:
            while current is not None and current[0] < user:
                current = next(found, None)
            yield current[1] if current is not None and current[0] == user else NOTHING

    def bought(self, users: Sequence[str], window: Window) -> dict[str, list[str]]:
        """Items of the events in a window, by user."""
        inside = (_time() > window.since) & (_time() <= window.until)
        of_kind = pl.col(EVENT_TYPE).cast(pl.String) == window.event_type
        ours = pl.col(USER).is_between(pl.lit(users[0]), pl.lit(users[-1]))
        found = self._events(USER, ITEM, EVENT_TYPE, TIMESTAMP).filter(ours & of_kind & inside)
        grouped = found.group_by(USER).agg(pl.col(ITEM).unique().sort()).collect(engine="streaming")
        return dict(grouped.iter_rows())

    def _events(self, *names: str) -> pl.LazyFrame:
        """All events: where a pair has several, the row that stands for it is one of them."""
        tables = [self._once] if self._repeats is None else [self._once, self._repeats]
        return pl.concat([table.select(names) for table in tables])


class StoredHistories:
    """Histories of the event store as they were after an event.

    Args:
        store: which holds them.
        through: sequence of that event: what has come later does not count.
    """

    def __init__(self, store: EventStore, through: int) -> None:
        self._store, self._past = store, EVENTS.c.sequence <= through

    def latest(self, before: datetime) -> datetime | None:
        """Time of the last event up to a moment."""
        time = EVENTS.c.timestamp
        query = select(func.max(time)).where(self._past, time <= to_microseconds(before))
        with self._store.database.reading() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else from_microseconds(found)

    def event_types(self) -> list[str]:
        """Kinds of events."""
        kind = EVENTS.c.event_type
        with self._store.database.reading() as connection:
            found = connection.execute(select(kind.distinct()).where(self._past, kind.is_not(None)))
            return sorted(found.scalars())

    def read(self, users: Sequence[str]) -> Iterator[UserEvents]:
        """The events of each of these users."""
        for start in range(0, len(users), USERS_AT_ONCE):
            some = users[start : start + USERS_AT_ONCE]
            found = self._read(some)
            yield from (in_order(found[user]) if user in found else NOTHING for user in some)

    def bought(self, users: Sequence[str], window: Window) -> dict[str, list[str]]:
        """Items of the events in a window, by user."""
        time = EVENTS.c.timestamp
        query = select(EVENTS.c.user_id, EVENTS.c.item_id).distinct().order_by(EVENTS.c.user_id, EVENTS.c.item_id)
        query = query.where(self._past, EVENTS.c.event_type == window.event_type)
        query = query.where(time > to_microseconds(window.since), time <= to_microseconds(window.until))
        found: dict[str, list[str]] = defaultdict(list)
        for start in range(0, len(users), USERS_AT_ONCE):
            ours = EVENTS.c.user_id.in_(users[start : start + USERS_AT_ONCE])
            with self._store.database.reading() as connection:
                for user_id, item_id in connection.execute(query.where(ours)):
                    found[user_id].append(item_id)
        return found

    def _read(self, users: Sequence[str]) -> dict[str, list[Any]]:
        query = HISTORY.add_columns(EVENTS.c.user_id).where(EVENTS.c.user_id.in_(users), self._past)
        found: dict[str, list[Any]] = defaultdict(list)
        with self._store.database.reading() as connection:
            for row in connection.execute(query):
                found[row.user_id].append(row)
        return found


def find_now(histories: Histories, now: datetime | None) -> datetime | None:
    """The moment that lists are for: the one that is given, or that of the latest event that is past."""
    return now or histories.latest(datetime.now(UTC))


def find_window(histories: Histories, written: str, until: datetime | None) -> Window:
    """The window of `--exclude-bought DAYS[:EVENT_TYPE]`, which ends at a moment.

    Raises:
        ConfigError: it is written in another way, there are no such events, or none has a time.
    """
    days, sign, named = written.partition(":")
    event_type = named if sign else "purchase"
    if not days.isdecimal() or not 1 <= int(days) <= 36_500 or not event_type:
        raise ConfigError(f"--exclude-bought {written!r} is not understood. Write DAYS or DAYS:EVENT_TYPE, as in 30.")
    kinds = histories.event_types()
    if event_type not in kinds:
        known = f"There are: {', '.join(kinds)}." if kinds else "Its events have no type."
        raise ConfigError(f"--exclude-bought {written}: there is no event of type {event_type!r}. {known}")
    if until is None:
        raise ConfigError(f"--exclude-bought {written}: no event has a time, so nobody knows what was bought when.")
    return Window(event_type, until - timedelta(days=int(days)), until)


def _time() -> pl.Expr:
    return pl.col(TIMESTAMP).cast(pl.Datetime("us", "UTC"))


def by_user(pieces: Iterable[pl.DataFrame]) -> Iterator[tuple[str, UserEvents]]:
    """Each user's events, in pieces that are sorted by user; a piece may end within a user."""
    user, known = "", UserEvents()
    for piece in pieces:
        users, times = piece[USER], piece.select(_time().dt.epoch("us")).to_series()
        items, kinds, weights = (tuple(piece[name]) for name in (ITEM, EVENT_TYPE, WEIGHT))
        moments = tuple(times)
        starts = (users != users.shift()).fill_null(value=True).arg_true().to_list()
        for start, end in zip(starts, [*starts[1:], len(users)], strict=True):
            some = UserEvents(
                items[start:end], kinds[start:end], weights[start:end], moments[start:end], (True,) * (end - start)
            )
            if users[start] != user:
                if len(known):
                    yield user, known
                user, known = users[start], some
            else:
                known = known.plus(some)
    if len(known):
        yield user, known
