"""Purchases of a dataset's users, as a repeat-purchase head goes by them: of every event that speaks for an item."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from recsys_vae.data.columns import ITEM, TIMESTAMP, USER
from recsys_vae.data.ids import IdMap
from recsys_vae.data.purchases import DAY, Purchases, purchases_of
from recsys_vae.data.signals import UNTIMED
from recsys_vae.protocols import Int64Array

_TIME = pl.col(TIMESTAMP).dt.epoch("us")


def read_purchases(
    dataset: DatasetDir, users: IdMap, items: IdMap, at: Int64Array, before: int | None = None
) -> Purchases:
    """What some users have bought, shape (n_users, n_items); items outside the catalogue are left out.

    Args:
        users: ascending.
        items: the catalogue.
        at: the day that each is seen from, since 1970, shape (n_users,).
        before: only events before this moment, in microseconds since 1970; all when None.
    """
    ours = dataset.events().filter(pl.col(USER).is_between(pl.lit(users.values[0]), pl.lit(users.values[-1])))
    # One without a time is the oldest of all: it lies before any moment.
    past = ours if before is None else ours.filter((before > _TIME).fill_null(value=True))
    events = past.select(USER, ITEM, _TIME.fill_null(UNTIMED)).collect(engine="streaming")
    owners, rows = users.rows(events[USER]), items.rows(events[ITEM])
    known = (owners >= 0) & (rows >= 0)
    times = events[TIMESTAMP].to_numpy().astype(np.int64)
    return purchases_of(owners[known], rows[known], times[known], (len(users), len(items)), at)


def first_days(dataset: DatasetDir, users: IdMap, since: int) -> Int64Array:
    """Day of each user's first event from a moment on, since 1970, shape (n_users,); that of the moment without one.

    Args:
        since: microseconds since 1970.
    """
    found = dataset.signed_events().filter(since <= _TIME).group_by(USER).agg(_TIME.min()).collect(engine="streaming")
    rows = users.rows(found[USER])
    days = np.full(len(users), since // DAY)
    days[rows[rows >= 0]] = found[TIMESTAMP].to_numpy()[rows >= 0] // DAY
    return days


def seen_from(dataset: DatasetDir, now: datetime | None) -> int | None:
    """The day of a moment, or of the latest event that is past, since 1970, UTC; None where no event has a time."""
    if now is None:
        past = pl.col(TIMESTAMP).filter(pl.col(TIMESTAMP) <= datetime.now(UTC)).max()
        now = dataset.signed_events().select(past).collect(engine="streaming").item()
    if now is None:
        return None
    aware = now if now.tzinfo else now.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(days=1)
