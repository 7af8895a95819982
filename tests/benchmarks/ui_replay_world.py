"""World of the replay benchmark: MovieLens 1M, six bundles of it, and what is asked and changed while they follow."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import MANIFEST, Provenance
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import UnavailableError
from recsys_vae.estimators.models import EASE, MultVAE
from recsys_vae.home import home
from service.store.events import Event, EventStore

BUNDLES = ("ease-100", "mult-vae-0", "ease-300", "mult-vae-1", "ease-1000", "mult-vae-2")
"""In the order in which they are in service: EASE by its l2, Mult-VAE by its seed."""
N_USERS = 2_000
NEW_ITEMS = tuple(f"new-{number}" for number in range(40))
"""That no bundle knows; changes bring them, and lists have places for them."""


@dataclass(frozen=True)
class ReplayWorld:
    """What is asked about.

    Attributes:
        root: folder of the bundles.
        users: those whose histories are stored.
        items: ids that the bundles know.
        genres: of the items.
    """

    root: Path
    users: tuple[str, ...]
    items: tuple[str, ...]
    genres: tuple[str, ...]


def movielens() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Likes (ratings of 4 and 5) as user_id and item_id, and titles, genres and years by item_id.

    Raises:
        UnavailableError: RECSYS_DATA_DIR holds no MovieLens 1M.
    """
    folder = Path(os.environ.get("RECSYS_DATA_DIR", "")) / "movielens-1m"
    if not (folder / "ratings.parquet").is_file():
        raise UnavailableError("This needs MovieLens 1M as movielens-1m/ratings.parquet below RECSYS_DATA_DIR.")
    item = pl.col("movie_id").cast(pl.String).alias("item_id")
    likes = pl.read_parquet(folder / "ratings.parquet").filter(pl.col("rating") >= 4)
    films = pl.read_parquet(folder / "movies.parquet").select(
        item,
        "title",
        pl.col("genres").str.split("|"),
        pl.col("title").str.extract(r"\((\d{4})\)$").cast(pl.Int64).alias("year"),
    )
    return likes.select(pl.col("user_id").cast(pl.String), item), films


def bundles() -> Path:
    """Folder of the bundles."""
    return home() / "bench-ui" / "bundles"


def build(store: str) -> ReplayWorld:
    """Bundles, written where they have not been before, below RECSYS_HOME/bench-ui; and a store with histories."""
    likes, films = movielens()
    data = Interactions.from_frame(likes, user="user_id", item="item_id")
    root = bundles()
    for name in BUNDLES:
        if not (root / name / MANIFEST).is_file():
            _write(root / name, data, films)
    users = tuple(data.users.values.to_list()[:N_USERS])
    _remember(store, likes.filter(pl.col("user_id").is_in(users)))
    genres = films["genres"].explode().unique().sort().to_list()
    return ReplayWorld(root, users, tuple(data.items.values.to_list()), tuple(genres))


def _write(directory: Path, data: Interactions, films: pl.DataFrame) -> None:
    name, _, number = directory.name.rpartition("-")
    known = EASE(l2=float(number)) if name == "ease" else MultVAE(latent=64, hidden=200, epochs=3, seed=int(number))
    model = known.fit(data).model
    origin = Provenance(dataset="movielens-1m", trained_on="all", n_users=len(data.users))
    directory.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(directory, model, data.items, popularity=data.item_counts(), provenance=origin, item_table=films)


def _remember(url: str, likes: pl.DataFrame) -> None:
    store = EventStore(url)
    for part in likes.iter_slices(5_000):
        rows = [Event(f"{user} {item}", user, item, None, 1.0, None) for user, item in part.iter_rows()]
        store.append([rows], "movielens-1m")
    store.close()


def bodies(world: ReplayWorld, number: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Requests: nine in ten name a user, and of thirteen kinds each comes as often as the others."""
    draw = np.random.default_rng(seed)
    for place in range(number):
        body = {"k": int(draw.integers(5, 51)), **_kind(place % 13, world, draw)}
        if draw.random() < 0.9:
            body["user_id"] = str(draw.choice(world.users))
        yield body


def _kind(kind: int, world: ReplayWorld, draw: np.random.Generator) -> dict[str, Any]:
    """What a request says besides its user and k."""
    genre, year = str(draw.choice(world.genres)), int(draw.integers(1950, 2000))
    of_genre = {"op": "eq", "column": "genres", "value": genre}
    history = [str(item) for item in draw.choice(world.items, int(draw.integers(1, 40)), replace=False)]
    kinds: tuple[dict[str, Any], ...] = (
        {},
        {"history": history},
        {"history": [{"item_id": item, "weight": 1.0} for item in history]},
        {"filter": of_genre},
        {"filter": {"op": "range", "column": "year", "min": year}},
        {"boost": [{"by": "multiply", "value": 2.0, "where": of_genre}]},
        {"boost": [{"by": "add", "value": 0.5, "items": history}]},
        {"at_most": [{"column": "genres", "n": 4}]},
        {"diversity": round(float(draw.random()), 2)},
        {"exclude": history},
        {"repeat": "allow", "candidates": history},
        {"quotas": [{"n": 2, "group": "long-tail"}]},
        {"calibration": {"column": "genres", "strength": 0.5}},
    )
    return kinds[kind]


def change(world: ReplayWorld, draw: np.random.Generator) -> tuple[str, str, dict[str, Any] | None]:
    """A change of an item: method, address and body; one in three is of an item that no bundle knows."""
    known = draw.random() < 2 / 3
    path = f"/v1/items/{draw.choice(world.items if known else NEW_ITEMS)}"
    fields = {"genres": [str(draw.choice(world.genres))], "year": int(draw.integers(1950, 2000))}
    kind = draw.integers(4)
    if kind == 0:
        return "PATCH", path, {"hidden": bool(draw.random() < 0.5)}
    if kind == 1:
        return "PUT", path, {"fields": fields}
    return ("DELETE", path, None) if kind == 2 else ("PATCH", path, {"fields": fields})


def event(world: ReplayWorld, draw: np.random.Generator) -> dict[str, Any]:
    """One event of a stored user."""
    told = {"user_id": str(draw.choice(world.users)), "item_id": str(draw.choice(world.items)), "event_type": "view"}
    return {"events": [told]}
