"""When users of a dataset were last there: the days of their last events that speak for an item."""

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.purchases import first_days
from recsys_vae.data.columns import TIMESTAMP, USER
from recsys_vae.data.ids import IdMap
from recsys_vae.data.purchases import DAY
from recsys_vae.data.recency import Recency

_TIME = pl.col(TIMESTAMP).dt.epoch("us")


def read_recency(dataset: DatasetDir, users: IdMap, day: int) -> Recency:
    """Of some users, ascending, all looked at from a day since 1970."""
    return Recency.of(np.full(len(users), float(day)), _last_days(dataset, users))


def recency_in_window(dataset: DatasetDir, users: IdMap, since: int) -> Recency:
    """Of users by their events before a moment, in microseconds since 1970, each looked at from the first day that they
    come after it, as a request would.
    """
    now = first_days(dataset, users, since).astype(np.float64)
    return Recency.of(now, _last_days(dataset, users, since))


def _last_days(dataset: DatasetDir, users: IdMap, before: int | None = None) -> np.ndarray:
    days = np.full(len(users), np.nan)
    if not len(users):
        return days
    ours = dataset.events().filter(pl.col(USER).is_between(pl.lit(users.values[0]), pl.lit(users.values[-1])))
    past = ours.filter(_TIME.is_not_null()) if before is None else ours.filter(before > _TIME)
    found = past.group_by(USER).agg(_TIME.max()).collect(engine="streaming")
    rows = users.rows(found[USER])
    days[rows[rows >= 0]] = found[TIMESTAMP].to_numpy()[rows >= 0] // DAY
    return days
