"""A small ingested dataset for tests of splits and evaluation."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from pipelines.dataset.directory import DatasetDir
from tests.worlds import two_tastes

START = datetime(2024, 1, 1, tzinfo=UTC)


def frame(n_users: int = 60) -> pl.DataFrame:
    """The interactions of `two_tastes`, one an hour, user by user."""
    world = two_tastes(n_users=n_users)
    pairs = world.matrix.tocoo()
    n = world.matrix.nnz
    return pl.DataFrame(
        {
            "user_id": world.users.ids(pairs.coords[0]),
            "item_id": world.items.ids(pairs.coords[1]),
            "event_type": [None] * n,
            "weight": [1.0] * n,
            "timestamp": [START + timedelta(hours=(7 * place) % n) for place in range(n)],
            "position": [None] * n,
        },
        schema_overrides={
            "event_type": pl.String,
            "weight": pl.Float32,
            "timestamp": pl.Datetime("us", "UTC"),
            "position": pl.UInt32,
        },
    )


def dataset(path: Path, interactions: pl.DataFrame, given_test: pl.DataFrame | None = None) -> DatasetDir:
    """Write a dataset directory as ingest does."""
    path.mkdir(parents=True, exist_ok=True)
    found = DatasetDir(path)
    interactions.write_parquet(found.interactions_path)
    if given_test is not None:
        given_test.write_parquet(found.given_test_path)
    return found
