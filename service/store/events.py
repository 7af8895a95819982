"""EventStore: who did what, append-only, in SQLite (one machine) or PostgreSQL (several).

An event has an identity within its source: loading or sending it again changes nothing. `sequence` grows with every
event that is taken; a user's `version` is another one whenever that user's events have changed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, delete, func, select, text

from service.store.actions import erase_actions
from service.store.admission import without_erased, without_sent
from service.store.bulk_insert import Row, drop_users, insert_few, insert_many, touch_users
from service.store.connections import WAIT_SECONDS
from service.store.database import Database, KeptConnection
from service.store.erasures import bury, tombstones, welcome_back
from service.store.group_commit import GroupCommit
from service.store.identities import digest, is_dataset
from service.store.impressions import erase_impressions
from service.store.tables import EVENTS, METADATA, USERS
from service.store.user_history import UserEvents, UserHistory

CHUNK = 5_000
"""Identities asked for in one statement."""
LARGEST_GROUP = 5_000
"""Events that are taken in one transaction, of several requests: so many that its cost counts little, and so few that
other processes get their turn within a fraction of a second."""

VERSION = "SELECT version FROM users WHERE user_id = ?"
"""In SQLite's words."""
OLDEST = -(2**63)
"""Before all times."""
HISTORY: Select[Any] = select(
    EVENTS.c.item_id, EVENTS.c.event_type, EVENTS.c.weight, EVENTS.c.timestamp, EVENTS.c.source, EVENTS.c.sequence
).order_by(EVENTS.c.sequence)
"""What histories are made of."""


NOT_SAID: Final = 0.0
"""As the weight of an event: nobody said how much. It counts as 1, and no bound is held against it."""


class Event(NamedTuple):
    """One event.

    Attributes:
        identity: what makes it the same event within its source when it comes again.
        user_id: who.
        item_id: with what.
        event_type: how; None where the source knows one kind only.
        weight: how much, > 0, or `NOT_SAID`; of datasets signed: below 0 it speaks against the item.
        timestamp: when, in microseconds since 1970, UTC; None where unknown.
        request_id: of the answer that it follows; None where unknown.
    """

    identity: str
    user_id: str
    item_id: str
    event_type: str | None
    weight: float
    timestamp: int | None
    request_id: str | None = None


class Fate(StrEnum):
    """What has become of an event that was sent."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    """Its identity belongs to another event."""
    ERASED = "erased"
    """Its user was erased after it happened."""


class HeldEvent(NamedTuple):
    """An event as it is held; attributes as those of `Event`."""

    sequence: int
    source: str
    item_id: str
    event_type: str | None
    weight: float
    timestamp: int | None
    request_id: str | None


class Erased(NamedTuple):
    """How much there was of a user who was erased."""

    events: int
    exposures: int


@dataclass(frozen=True)
class UserRecord:
    """What is held about a user.

    Attributes:
        n_events: all of them.
        n_items: distinct ones among their items.
        first: time of the earliest event, in microseconds since 1970, UTC; None where no event has a time.
        last: likewise of the latest.
        sources: source -> events from it.
        events: a page of them, newest first.
    """

    n_events: int
    n_items: int
    first: int | None
    last: int | None
    sources: dict[str, int]
    events: tuple[HeldEvent, ...]


class EventStore:
    """Events in a database, reached when they are asked for: a store that was down is used again once it is back.

    Every method may raise UnavailableError: the store does not answer.

    Args:
        url: of SQLAlchemy's form, such as `sqlite:///events.db` or `postgresql+psycopg://user:password@host/name`.
        on_failure: told when it does not answer, and whether to a `read` or a `write`.
        wait_seconds: how long a connection, a lock, or a network that has gone silent is waited for.

    Raises:
        ConfigError: the URL is malformed, names another kind of database, or its driver is not installed.
    """

    def __init__(
        self,
        url: str,
        on_failure: Callable[[str], None] = lambda operation: None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self.database = Database(url, on_failure, wait_seconds)
        self._groups = GroupCommit(self._take_groups, lambda sent: len(sent[1]), LARGEST_GROUP)
        self._kept = KeptConnection(self.database)

    @property
    def address(self) -> str:
        """The URL without its password."""
        return self.database.address

    def take(self, events: Sequence[Event], source: str) -> list[Fate]:
        """Take events that were sent, in one transaction, and say what became of each. When this returns, they are
        committed.
        """  # fmt: skip
        if self.database.has_one_writer:
            return self._groups.submit((source, events))
        [fates] = self._take_groups([(source, events)])
        return fates

    def append(
        self, batches: Iterable[list[Event]], source: str, on_erased: Callable[[int], None] = lambda number: None
    ) -> int:
        """Import many events, a transaction a batch, and say how many of them were new.

        Args:
            batches: of the events.
            source: of all of them.
            on_erased: told how many were left out because their users were erased.

        Raises:
            UnavailableError: the store does not answer; whole batches may have been taken, and come to no harm again.
        """
        taken = 0
        for batch in batches:
            with self.database.writing() as connection:
                new = _import(connection, batch, source, on_erased)
                if not new:
                    connection.rollback()
            taken += new
        return taken

    def replace(
        self, batches: Iterable[list[Event]], source: str, on_erased: Callable[[int], None] = lambda number: None
    ) -> int:
        """Forget all events of a source and import these, in one transaction; say how many were taken."""
        of_source = EVENTS.c.source == source
        with self.database.writing() as connection:
            touch_users(connection, connection.execute(select(EVENTS.c.user_id).where(of_source).distinct()).scalars())
            connection.execute(delete(EVENTS).where(of_source))
            return sum(_import(connection, batch, source, on_erased) for batch in batches)

    def version(self, user_id: str) -> int:
        """Of a user's events; 0 for a user who was never seen."""
        with self.database.looking_up() as connection:
            return _version(connection, user_id)

    def version_at_once(self, user_id: str) -> int:
        """The same for whoever asks again and again: SQLite by a connection that is kept, unless another thread asks
        it at this moment.
        """  # fmt: skip
        if not self.database.has_one_writer or self._kept.is_busy:
            return self.version(user_id)
        return self._kept_version(user_id)

    def version_at_hand(self, user_id: str) -> int | None:
        """The same where nothing has to be waited for: a file is asked, and no other thread asks it at this moment."""
        if not self.database.has_one_writer or self._kept.is_busy or not self._kept.is_open:
            return None
        return self._kept_version(user_id)

    def _kept_version(self, user_id: str) -> int:
        return next((int(version) for (version,) in self._kept.rows(VERSION, user_id)), 0)

    def history(self, user_id: str, until: int | None = None) -> UserHistory:
        """What is known of a user; empty for a user who was never seen.

        Args:
            user_id: whose.
            until: leave out the events after this sequence.
        """
        query = HISTORY.where(EVENTS.c.user_id == user_id)
        if until is not None:
            query = query.where(EVENTS.c.sequence <= until)
        with self.database.reading() as connection:
            # The version first: read after the events, it could be that of events which came in between.
            version = _version(connection, user_id)
            rows = connection.execute(query).all()
        if not rows:
            return UserHistory(version=version)
        return UserHistory(in_order(rows), rows[-1].sequence, version)

    def record(self, user_id: str, limit: int, before: int | None = None) -> UserRecord:
        """What is held about a user, with the newest `limit` events, or those before a sequence."""
        mine = EVENTS.c.user_id == user_id
        time = EVENTS.c.timestamp
        facts = select(func.count(), func.count(EVENTS.c.item_id.distinct()), func.min(time), func.max(time))
        sources = select(EVENTS.c.source, func.count()).where(mine).group_by(EVENTS.c.source).order_by(EVENTS.c.source)
        page = select(*(EVENTS.c[name] for name in HeldEvent._fields)).where(mine)
        if before is not None:
            page = page.where(EVENTS.c.sequence < before)
        with self.database.reading() as connection:
            n_events, n_items, first, last = connection.execute(facts.where(mine)).one()
            by_source = dict([tuple(row) for row in connection.execute(sources)])
            held = connection.execute(page.order_by(EVENTS.c.sequence.desc()).limit(limit)).all()
        return UserRecord(n_events, n_items, first, last, by_source, tuple(HeldEvent(*row) for row in held))

    def erase(self, user_id: str) -> Erased:
        """Forget a user in every table that names users, for good; say how much there was.

        What was erased is overwritten in SQLite's file, and its write-ahead log is emptied.
        """
        with self.database.writing() as connection:
            touch_users(connection, [user_id])
            bury(connection, user_id)
            exposures = erase_impressions(connection, user_id)
            erase_actions(connection, user_id)
            events = connection.execute(delete(EVENTS).where(EVENTS.c.user_id == user_id)).rowcount
            for table in METADATA.sorted_tables:
                if "user_id" in table.c:
                    connection.execute(delete(table).where(table.c.user_id == user_id))
        self.database.empty_log()
        return Erased(events, exposures)

    def _take_groups(self, groups: Sequence[tuple[str, Sequence[Event]]]) -> list[list[Fate]]:
        """Take events of several requests, (source, events) each, in one transaction."""
        found: list[list[Fate]] = []
        with self.database.writing() as connection:
            for source, same in groupby(groups, key=itemgetter(0)):
                requests = [events for _, events in same]
                fates = iter(take_within(connection, list(chain.from_iterable(requests)), source))
                found += [list(islice(fates, len(events))) for events in requests]
            if Fate.ACCEPTED not in chain.from_iterable(found):
                connection.rollback()
        return found

    def stream(self, query: Select[Any], size: int) -> Iterator[Sequence[Any]]:
        """Rows of a query, as of one moment, in batches."""
        with self.database.reading() as connection:
            rows = connection.execution_options(stream_results=True, max_row_buffer=size).execute(query)
            yield from rows.partitions(size)

    def holds(self, query: Select[Any]) -> bool:
        """Whether a query finds anything."""
        with self.database.reading() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def count(self, query: Select[Any]) -> int:
        """How many rows a query finds."""
        with self.database.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())

    def last_sequence(self) -> int:
        """Sequence of the last event; every event that is committed later has a larger one. 0 where there is none."""
        with self.database.writing() as connection:
            if connection.dialect.name == "postgresql":
                # Sequences are handed out before commit: whoever holds a smaller one ends first.
                connection.execute(text("LOCK TABLE events IN SHARE MODE"))
            found = connection.execute(select(func.max(EVENTS.c.sequence))).scalar() or 0
            connection.rollback()
        return int(found)

    def sources(self) -> list[str]:
        """Where the events come from, in order."""
        with self.database.reading() as connection:
            return list(connection.execute(select(EVENTS.c.source).distinct().order_by(EVENTS.c.source)).scalars())

    def check(self) -> None:
        """Raise UnavailableError unless the store answers."""
        self.version("")

    def close(self) -> None:
        """Give all connections back."""
        self._kept.close()
        self.database.close()


def in_order(rows: Sequence[Any]) -> UserEvents:
    """Events of one user, rows of `HISTORY`, by time and then as they came; those without a time first."""
    timed = sorted(rows, key=_time)
    item_ids, kinds, weights, times, sources = zip(*(row[:5] for row in timed), strict=True)
    values = tuple(None if weight == NOT_SAID else weight for weight in weights)
    return UserEvents(item_ids, kinds, values, times, tuple(map(is_dataset, sources)))


def _time(row: Any) -> int:
    return OLDEST if row.timestamp is None else row.timestamp


def take_within(connection: Connection, events: Sequence[Event], source: str) -> list[Fate]:
    """Take events that were sent within a transaction, and say what became of each."""
    users = {event.user_id for event in events}
    touch_users(connection, users)
    buried = tombstones(connection, users)
    is_late = [event.user_id in buried and not buried[event.user_id].admits_sent(event.timestamp) for event in events]
    taken = iter(_take(connection, [event for event, late in zip(events, is_late, strict=True) if not late], source))
    fates = [Fate.ERASED if late else next(taken) for late in is_late]
    accepted = {event.user_id for event, fate in zip(events, fates, strict=True) if fate is Fate.ACCEPTED}
    gone = {user_id for user_id, tombstone in buried.items() if tombstone.returned_at is None}
    drop_users(connection, gone - accepted)
    welcome_back(connection, gone & accepted)
    return fates


def _take(connection: Connection, events: Sequence[Event], source: str) -> list[Fate]:
    identities = [digest(source, event.identity) for event in events]
    first = {identity: at for at, identity in reversed(list(enumerate(identities)))}
    rows = [_row(source, events[at]) for at in sorted(first.values())]
    new = insert_few(connection, rows) if rows else set()
    held = _contents(connection, [identity for identity in first if identity not in new])
    held |= {identity: _content(events[first[identity]]) for identity in new}
    return [
        Fate.ACCEPTED
        if identity in new and first[identity] == at
        else Fate.DUPLICATE
        if held[identity] == _content(events[at])
        else Fate.CONFLICT
        for at, identity in enumerate(identities)
    ]


def _import(connection: Connection, events: Sequence[Event], source: str, on_erased: Callable[[int], None]) -> int:
    touch_users(connection, (event.user_id for event in events))
    rows = without_erased(connection, [_row(source, event) for event in events])
    if len(rows) < len(events):
        on_erased(len(events) - len(rows))
    return insert_many(connection, without_sent(connection, rows) if is_dataset(source) else rows)


def _version(connection: Connection, user_id: str) -> int:
    return connection.execute(select(USERS.c.version).where(USERS.c.user_id == user_id)).scalar() or 0


def _row(source: str, event: Event) -> Row:
    """In the order of `bulk_insert.COLUMNS`."""
    return (digest(source, event.identity), source, *event[1:])


def _content(event: Event) -> tuple[Any, ...]:
    return _told(event.user_id, event.item_id, event.event_type, event.weight)


def _told(user_id: str, item_id: str, event_type: str | None, weight: float) -> tuple[Any, ...]:
    """What makes events the same.

    Without the time: one that came without is given the time at which it came. Stores of before keep 1 where no weight
    was said.
    """
    return (user_id, item_id, event_type, 1.0 if weight == NOT_SAID else weight)


def _contents(connection: Connection, identities: list[bytes]) -> dict[bytes, tuple[Any, ...]]:
    columns = (EVENTS.c.user_id, EVENTS.c.item_id, EVENTS.c.event_type, EVENTS.c.weight)
    query = select(EVENTS.c.identity, *columns)
    found: dict[bytes, tuple[Any, ...]] = {}
    for start in range(0, len(identities), CHUNK):
        chunk = identities[start : start + CHUNK]
        found |= {row[0]: _told(*row[1:]) for row in connection.execute(query.where(EVENTS.c.identity.in_(chunk)))}
    return found
