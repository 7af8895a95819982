"""The grocer's log as an ingested dataset, and a bundle over its items."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.models.ials import IALS, IALSConfig
from recsys_vae.models.repeat import RepeatHead
from tests.pipelines import logs_of_tastes
from tests.recsys_vae.models.test_repeat import N_ITEMS, grocer

START = datetime(2024, 1, 1, tzinfo=UTC)
ITEMS = IdMap.from_values(f"i{item}" for item in range(N_ITEMS))
SHELF = pl.DataFrame({"item_id": ITEMS.values, "aisle": ["cold", "dry", "pans", "dry", "dry", "cold"]})


def events() -> pl.DataFrame:
    """One row a purchase."""
    visits = grocer()
    return pl.DataFrame(
        {
            "user_id": [f"u{user:03}" for user in visits.users.tolist()],
            "item_id": [f"i{item}" for item in visits.items.tolist()],
            "event_type": [None] * len(visits.users),
            "weight": [1.0] * len(visits.users),
            "timestamp": [START + timedelta(days=day) for day in visits.days.tolist()],
            "position": [None] * len(visits.users),
        },
        schema_overrides={
            "event_type": pl.String, "weight": pl.Float32, "timestamp": pl.Datetime("us", "UTC"), "position": pl.UInt32,
        },
    )  # fmt: skip


def dataset(path: Path) -> DatasetDir:
    """What was bought again lies with the repeats, as ingest keeps it."""
    log = events()
    latest = log.unique(["user_id", "item_id"], keep="last", maintain_order=True).sort("user_id", "item_id")
    made = logs_of_tastes.dataset(path, latest)
    again = log.filter(pl.len().over("user_id", "item_id") > 1)
    again.sort("user_id", "item_id", "timestamp").write_parquet(made.repeats_path)
    return made


def bundle(path: Path, *, with_head: bool = False) -> Path:
    """Of iALS."""
    model, head = IALS(N_ITEMS, IALSConfig(factors=2)), RepeatHead(N_ITEMS)
    model.fit(grocer().matrix())
    head.fit(grocer())
    counts = np.diff(grocer().matrix().tocsc().indptr)
    write_bundle(
        path, model, ITEMS, popularity=counts, provenance=Provenance(dataset="grocer"), item_table=SHELF,
        repeat=head if with_head else None,
    )  # fmt: skip
    return path
