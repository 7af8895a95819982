"""The order of a user's interactions: whether what is kept as position agrees with the times."""

import polars as pl

from pipelines.dataset.directory import DatasetDir
from recsys_vae.data.columns import TIMESTAMP, USER


def users_against_time(dataset: DatasetDir) -> int:
    """Users with an interaction that stands after a later one: a column `position` of the log orders them otherwise."""
    user, time = pl.col(USER), pl.col(TIMESTAMP)
    stands_after_a_later = (user == user.shift()) & (time < time.shift())
    found = dataset.interactions().filter(stands_after_a_later).select(user.n_unique())
    return int(found.collect(engine="streaming").item())
