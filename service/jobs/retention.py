"""Retention: events, shown lists and actions that are older than their limits leave the store, some at a time.

Users whose events went have another version, as after any change, so that no process answers by what it held in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Table, delete, func, select

from service.store import item_versions
from service.store.bulk_insert import drop_users, touch_users
from service.store.database import Database
from service.store.shown_items import forget_days
from service.store.tables import ACTIONS, EVENTS, IMPRESSIONS

BATCH: Final = 5_000
"""Rows that are removed in one transaction: other processes get their turn in between."""


@dataclass(frozen=True)
class Cleaned:
    """What went, or would go.

    Attributes:
        events: older than the limit.
        impressions: likewise.
        users: whose events went, where that was done.
        actions: older than their limit.
    """

    events: int
    impressions: int
    users: int = 0
    actions: int = 0


def clean_events(
    database: Database,
    *,
    events_before: int | None,
    impressions_before: int | None,
    actions_before: int | None = None,
    dry_run: bool = False,
    batch: int = BATCH,
    say: Callable[[int], None] = lambda removed: None,
) -> Cleaned:
    """Remove events, impressions and actions of before a moment each, in microseconds since 1970, UTC; None keeps all.

    Events of unknown time stay: nobody knows how old they are. A cut-off in between leaves whole batches removed, and
    the next call goes on.

    Args:
        say: told how many rows went with each batch.

    Raises:
        UnavailableError: the store does not answer.
    """
    old_events = None if events_before is None else EVENTS.c.timestamp < events_before
    old_lists = None if impressions_before is None else IMPRESSIONS.c.answered_at < impressions_before
    old_actions = None if actions_before is None else ACTIONS.c.done_at < actions_before
    if dry_run:
        olds = ((EVENTS, old_events), (IMPRESSIONS, old_lists), (ACTIONS, old_actions))
        events, lists, actions = (_count(database, table, old) for table, old in olds)
        return Cleaned(events, lists, actions=actions)
    users: set[str] = set()
    events = 0 if old_events is None else _remove_events(database, old_events, batch, users, say)
    lists = 0 if old_lists is None else _remove(database, IMPRESSIONS, old_lists, batch, say)
    if impressions_before is not None:
        _remove_versions(database, impressions_before, batch)
        with database.writing() as connection:
            forget_days(connection, impressions_before)
    actions = 0 if old_actions is None else _remove(database, ACTIONS, old_actions, batch, say)
    if events or lists or actions:
        database.empty_log()
    return Cleaned(events, lists, len(users), actions)


def _count(database: Database, table: Table, old: ColumnElement[bool] | None) -> int:
    if old is None:
        return 0
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table).where(old)).scalar_one())


def _remove_events(
    database: Database, old: ColumnElement[bool], batch: int, touched: set[str], say: Callable[[int], None]
) -> int:
    removed, after = 0, 0
    sequence, user_id = EVENTS.c.sequence, EVENTS.c.user_id
    while True:
        with database.reading() as connection:
            query = select(sequence, user_id).where(old, sequence > after).order_by(sequence).limit(batch)
            rows = connection.execute(query).all()
        if not rows:
            return removed
        after = rows[-1][0]
        users = {user for _, user in rows}
        with database.writing() as connection:
            touch_users(connection, users)
            gone = connection.execute(delete(EVENTS).where(old, sequence.in_([number for number, _ in rows])))
            held = set(connection.execute(select(user_id).where(user_id.in_(users)).distinct()).scalars())
            drop_users(connection, users - held)
        removed += gone.rowcount
        touched |= users
        say(gone.rowcount)


def _remove(database: Database, table: Table, old: ColumnElement[bool], batch: int, say: Callable[[int], None]) -> int:
    removed, sequence = 0, table.c.sequence
    while True:
        with database.writing() as connection:
            some = connection.execute(select(sequence).where(old).order_by(sequence).limit(batch)).scalars().all()
            if some:
                connection.execute(delete(table).where(sequence.in_(some)))
        if not some:
            return removed
        removed += len(some)
        say(len(some))


def _remove_versions(database: Database, before: int, batch: int) -> None:
    """What items were before changes of then, which lists of since then have not seen."""
    while True:
        with database.writing() as connection:
            if not item_versions.forget(connection, before, batch):
                return
