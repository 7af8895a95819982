"""A tiny world: eight items, six users, bundles over them."""

from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.item_lists import NEVER, ItemLists, ListRules, Windows
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.neighbours import Neighbours
from recsys_vae.bundles.shelves import Shelves
from recsys_vae.data.co_occurrence import co_views, lifts
from recsys_vae.data.ids import IdMap
from recsys_vae.models import catalog
from recsys_vae.models.mult_vae import MultVAEConfig
from recsys_vae.protocols import ClosedFormRecommender
from recsys_vae.recommender import FallbackChain
from service.deployment.variants import Variant, VariantSet
from service.ranking.served_model import Catalogue
from service.settings import MAIN
from service.store.events import Event, EventStore

HIDDEN = 16
"""Wide enough for the compiled search and lists; without compiled loops the same tests go the plain way."""
ITEMS = tuple("abcdefgh")
USERS = ("u0", "u1", "u2", "u3", "u4", "u5")
MATRIX = np.array(
    [
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 0, 1, 0, 0, 0, 0],
        [1, 0, 1, 0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 0, 0, 1, 0],
        [1, 0, 0, 0, 0, 0, 1, 1],
    ],
    dtype=np.float32,
)
POPULARITY = MATRIX.sum(axis=0)  # a 5, b 4, c 3, d 1, e 1, f 1, g 2, h 1
METADATA = pl.DataFrame({"item_id": ITEMS, "genre": ["drama", "comedy"] * 4, "year": range(1990, 1998)})
NO_SEGMENTS = csr_array((0, len(ITEMS)), dtype=np.float32)
SHELVES = Shelves(  # h trends, then g; nobody has touched e, and c is newest of the others
    ItemLists(
        ListRules(shrinkage=1.0),
        Windows(
            np.array([9, 8, 1, 7, NEVER, 6, 5, 4], np.float32),
            np.array([4, 4, 2, 0, 0, 0, 4, 6], np.float32),
            np.array([9, 8, 2, 1, 0, 0, 0, 0], np.float32),
            NO_SEGMENTS,
            NO_SEGMENTS,
        ),
    ),
    Neighbours(
        co_views(csr_array(MATRIX), damping=0.3, longest=8, most=3),
        lifts(csr_array(MATRIX), shrinkage=1.0, at_least=1, most=3),
    ),
)
HISTORIES = {
    user: tuple(ITEMS[column] for column in np.flatnonzero(row)) for user, row in zip(USERS, MATRIX, strict=True)
}


def write_tiny_bundle(directory: Path, model_name: str) -> Path:
    """A bundle over eight items: fitted where the model has a closed form, else with fresh weights."""
    config = MultVAEConfig(hidden=HIDDEN, latent=2) if model_name == "mult-vae" else None
    model = catalog.create(model_name, len(ITEMS), config)
    if isinstance(model, ClosedFormRecommender):
        model.fit(csr_array(MATRIX))
    origin = Provenance(dataset="tiny", trained_on="all", n_users=len(USERS), metrics={"ndcg@100": 0.5})
    write_bundle(
        directory,
        model,
        IdMap.from_values(ITEMS),
        popularity=POPULARITY,
        provenance=origin,
        item_table=METADATA,
        shelves=SHELVES,
    )
    return directory


def lineup_of(**chains: FallbackChain) -> VariantSet:
    """A set of variants of variants with equal weights, by name."""
    return VariantSet(0, tuple(Variant(name, 1.0, "tests", Catalogue(chain)) for name, chain in chains.items()))


def only(chain: FallbackChain) -> VariantSet:
    """A set of variants of one."""
    return lineup_of(**{MAIN: chain})


def fill(url: str) -> None:
    """Put the histories of the six users into a store."""
    events = [
        Event(f"{user} {item_id}", user, item_id, None, 1.0, None)
        for user, item_ids in HISTORIES.items()
        for item_id in item_ids
    ]
    store = EventStore(url)
    store.append([events], "tiny")
    store.close()
