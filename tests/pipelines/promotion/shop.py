"""A shop whose customers have tastes and whose fashions move with time, and models of it, good and bad."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.dataset.matrices import encode
from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.features import Field
from recsys_vae.data.interactions import Interactions
from recsys_vae.evaluation import entries
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.models.popularity import Popularity, PopularityConfig
from recsys_vae.protocols import Float32Array, Int64Array
from tests.pipelines import logs_of_tastes

START = datetime(2025, 1, 1, tzinfo=UTC)
DAYS, EVERGREENS, N_TASTES = 120, 10, 3
LAST_WEEK = START + timedelta(days=100)

Fit = Callable[[Interactions, Path, Provenance], None]


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def shop(path: Path, n_users: int = 600, seed: int = 0) -> DatasetDir:
    """Customers come at any day and stay for forty; each likes a third of the items, of these evergreens and
    what came lately."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        taste, came = user % N_TASTES, rng.uniform(-30, DAYS - 2)
        for when in np.sort(rng.uniform(came, came + 40, 12)):
            if 0 <= when < DAYS:
                place = _evergreen(rng) if rng.random() < 0.5 else _in_fashion(rng, when)
                rows.append((f"u{user:04}", f"i{place * N_TASTES + taste:03}", day(float(when))))
    log = pl.DataFrame(rows, schema=("user_id", "item_id", "timestamp"), orient="row")
    log = log.unique(("user_id", "item_id"), keep="first", maintain_order=True).sort("user_id", "timestamp", "item_id")
    empty = {"event_type": pl.lit(None, pl.String), "weight": pl.lit(1.0, pl.Float32)}
    log = log.with_columns(
        **empty, position=pl.lit(None, pl.UInt32), timestamp=pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    )
    dataset = logs_of_tastes.dataset(path, log)
    users = log.select(pl.col("user_id").unique().sort())
    users.with_columns(
        country=pl.when(pl.int_range(pl.len()) % 4 == 0).then(pl.lit("NZ")).otherwise(pl.lit("FI"))
    ).write_parquet(dataset.users_path)
    Fields((Field("country", "category"),)).write(dataset.fields_path)
    return dataset


def _evergreen(rng: np.random.Generator) -> int:
    return min(int(rng.exponential(2.5)), EVERGREENS - 1)


def _in_fashion(rng: np.random.Generator, when: float) -> int:
    """Something new of each taste comes every ten days, and most ask for the latest."""
    return EVERGREENS + max(0, int(when / 10) - int(rng.exponential(1.0)))


def until(dataset: DatasetDir, end: datetime) -> Interactions:
    return encode(dataset.interactions().filter(pl.col("timestamp") <= end))


def bundle(path: Path, dataset: DatasetDir, end: datetime = LAST_WEEK, fit: "Fit | None" = None) -> Path:
    """A bundle that has learned from all until a moment, and says so."""
    known = until(dataset, end)
    last = dataset.interactions().filter(pl.col("timestamp") <= end).select(pl.col("timestamp").max()).collect().item()
    provenance = Provenance(dataset=dataset.name, trained_on="all", training_cutoff=last.isoformat())
    (fit or good)(known, path, provenance)
    return path


def good(known: Interactions, path: Path, provenance: Provenance, l2: float = 20.0) -> None:
    write(path, ease(known, l2), known, provenance)


def nearly_as_good(known: Interactions, path: Path, provenance: Provenance) -> None:
    good(known, path, provenance, l2=21.0)


def shuffled(known: Interactions, path: Path, provenance: Provenance) -> None:
    """Every interaction with an item that was drawn: there is nothing to be learned."""
    rng = np.random.default_rng(1)
    rows = entries.entry_rows(known.matrix)
    drawn = rng.permutation(known.matrix.indices)
    mixed = Interactions.from_rows(rows, drawn, np.ones(len(rows), np.float32), users=known.users, items=known.items)
    write(path, ease(mixed), mixed, provenance)


def bad_for_new_users(known: Interactions, path: Path, provenance: Provenance) -> None:
    """The same model, and its least popular items to those of whom nothing is known."""
    counts = known.item_counts()
    write(path, ease(known), known, provenance, counts.max() - counts)


def the_same_for_all(known: Interactions, path: Path, provenance: Provenance) -> None:
    model = Popularity(known.n_items, PopularityConfig())
    model.fit(known.matrix)
    write(path, model, known, provenance)


def ease(known: Interactions, l2: float = 20.0) -> EASE:
    model = EASE(known.n_items, EASEConfig(l2=l2))
    model.fit(known.matrix)
    return model


def write(
    path: Path,
    model: "EASE | Popularity",
    known: Interactions,
    provenance: Provenance,
    popularity: "Int64Array | Float32Array | None" = None,
) -> None:
    counts = known.item_counts() if popularity is None else popularity
    write_bundle(path, model, known.items, popularity=counts, provenance=provenance)
