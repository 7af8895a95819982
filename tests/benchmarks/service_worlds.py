"""Worlds of the service's benchmark: bundles with random weights, users, and requests about them.

Weights are random because time does not depend on them; scores are still real ones, so answers can be checked.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import MANIFEST, Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.home import home
from recsys_vae.models import catalog

GOWALLA_ITEMS = 40_981
HISTORY, K, USERS = 30, 20, 256
SHARES = 1000
"""Values of the metadata column `share`: an item has each with equal chance, so `share < n` allows n thousandths."""


@dataclass(frozen=True)
class World:
    """A bundle and what is asked of it.

    Attributes:
        bundle: its directory.
        histories: item ids, one tuple a user.
        users: their ids.
        store: URL of an event store that knows them.
    """

    bundle: Path
    histories: tuple[tuple[str, ...], ...]
    users: tuple[str, ...]
    store: str

    def bodies(self, **extra: object) -> list[bytes]:
        """Requests that carry the history."""
        return [json.dumps({"history": ids, "k": K, **extra}).encode() for ids in self.histories]

    def bodies_by_user(self, **extra: object) -> list[bytes]:
        """Requests about users of the store."""
        return [json.dumps({"user_id": user, "k": K, **extra}).encode() for user in self.users]


def build(model: str, n_items: int, seed: int = 0, **settings: int) -> World:
    """A world, written where it has not been before, below RECSYS_HOME/bench-service."""
    named = "-".join(f"{name}{value}" for name, value in settings.items())
    folder = home() / "bench-service" / f"{model}-{n_items}-{named or 'default'}-seed{seed}"
    if not (folder / "bundle" / MANIFEST).is_file():
        _write(folder / "bundle", model, n_items, seed, settings)
    histories = _histories(n_items)
    users = tuple(f"u{number}" for number in range(USERS))
    store = f"sqlite:///{folder / 'events.db'}"
    if not (folder / "events.db").is_file():
        _load_users(folder / "users", histories, users, store)
    return World(folder / "bundle", histories, users, store)


def _write(directory: Path, model: str, n_items: int, seed: int, settings: dict[str, int]) -> None:
    torch.manual_seed(seed)
    made = catalog.create(model, n_items, catalog.configure(model, settings))
    items = IdMap.from_values(map(str, range(n_items)))
    rng = np.random.default_rng(seed)
    table = pl.DataFrame({"item_id": items.values, "share": rng.integers(0, SHARES, n_items)})
    popularity = rng.zipf(1.5, n_items).clip(max=10_000)
    origin = Provenance(dataset="random", trained_on="nothing", n_users=USERS)
    directory.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(directory, made, items, popularity=popularity, provenance=origin, item_table=table)


def _histories(n_items: int) -> tuple[tuple[str, ...], ...]:
    rng = np.random.default_rng(1)
    return tuple(tuple(map(str, rng.choice(n_items, HISTORY, replace=False))) for _ in range(USERS))


def _load_users(folder: Path, histories: tuple[tuple[str, ...], ...], users: tuple[str, ...], store: str) -> None:
    rows = [(user, item) for user, ids in zip(users, histories, strict=True) for item in ids]
    frame = pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String}, orient="row").with_columns(
        event_type=pl.lit(None, pl.String),
        weight=pl.lit(1.0, pl.Float32),
        timestamp=pl.lit(None, pl.Datetime("us", "UTC")),
        position=pl.lit(None, pl.UInt32),
    )
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "interactions.parquet")
    command = [sys.executable, "-m", "pipelines.cli", "load-history", str(folder), "--store", store]
    subprocess.run(command, check=True, capture_output=True)
