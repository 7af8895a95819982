"""A small dataset on disk with item titles and a split, as train, publish and recommend find it."""

from pathlib import Path

import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import make_split
from recsys_vae.data.features import Field
from tests.pipelines import logs_of_tastes


def dataset_of_tastes(path: Path, n_users: int = 60) -> DatasetDir:
    """`two_tastes`, ingested and cut by `strong` with ten users held out for validation and ten for test."""
    interactions = logs_of_tastes.frame(n_users)
    dataset = logs_of_tastes.dataset(path, interactions)
    titles = interactions.select("item_id").unique().with_columns(title="Title of " + pl.col("item_id"))
    titles.write_parquet(dataset.items_path)
    make_split(dataset, recipe("strong", heldout=10, min_items=4, fold_in=0.5))
    return dataset


def with_user_metadata(dataset: DatasetDir) -> DatasetDir:
    """The same with a table of users, which names everybody's taste but the last one's."""
    users = dataset.interactions().select(pl.col("user_id").unique().sort()).collect()
    side = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("left")).otherwise(pl.lit("right"))
    users.with_columns(side=side, age=20 + pl.int_range(pl.len())).head(-1).write_parquet(dataset.users_path)
    Fields((Field("side", "category"), Field("age", "number"))).write(dataset.fields_path)
    return dataset
