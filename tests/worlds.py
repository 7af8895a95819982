"""Small worlds whose answers are known."""

from dataclasses import replace

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend, BlendConfig, Part
from recsys_vae.models.conditional_vae import ConditionalVAEConfig
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.models.edlae import EDLAEConfig
from recsys_vae.models.elsa import ELSAConfig
from recsys_vae.models.graph_filter import GraphFilterConfig
from recsys_vae.models.h_vamp import HVampConfig
from recsys_vae.models.ials import IALSConfig
from recsys_vae.models.mult_dae import MultDAEConfig
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.rec_vae import RecVAEConfig
from recsys_vae.models.sasrec import SASRecConfig
from recsys_vae.models.svae import SVAEConfig
from recsys_vae.protocols import ClosedFormRecommender, Float32Array, Recommender, takes_order

SMALL = {
    "popularity": None,
    "ease": EASEConfig(l2=1.0),
    "edlae": EDLAEConfig(l2=1.0),
    "elsa": ELSAConfig(factors=4),
    "graph-filter": GraphFilterConfig(rank=2, popularity_exponent=0.2, sharpening=1.0),
    "ials": IALSConfig(factors=4, dislikes=1.0),
    "mult-dae": MultDAEConfig(hidden=8, l2=0.0),
    "mult-vae": MultVAEConfig(hidden=16, latent=4),
    "rec-vae": RecVAEConfig(hidden=16, latent=4),
    "h-vamp": HVampConfig(hidden=16, latent=4, pseudo_inputs=5),
    "conditional-vae": ConditionalVAEConfig(hidden=16, latent=4, prior_hidden=8, metadata=(2, 3)),
    "sasrec": SASRecConfig(width=8, blocks=1, heads=2, length=3, dropout=0.0),
    "svae": SVAEConfig(embedding=8, recurrent=8, hidden=8, latent=4, ahead=2, length=3, dropout=0.0),
    "blend": BlendConfig(
        Part("mult-vae", MultVAE, MultVAEConfig(hidden=16, latent=4)), Part("ease", EASE, EASEConfig(l2=1.0)), 0.4
    ),
}
"""A small configuration of every model of the catalogue."""


def csr(rows: list[list[int]], n_items: int) -> csr_array:
    """Binary histories from lists of item rows."""
    matrix = csr_array((len(rows), n_items), dtype=np.float32).tolil()
    for user, items in enumerate(rows):
        matrix[user, items] = 1.0
    found = csr_array(matrix, dtype=np.float32)
    found.sort_indices()
    return found


def by_row(histories: csr_array) -> csr_array:
    """An order of histories: by item row, so that it is the same however many users there are."""
    places = histories.indices.astype(np.float32) + 1
    return csr_array((places, histories.indices, histories.indptr), shape=histories.shape)


def scores(model: Recommender, histories: csr_array) -> Float32Array:
    """Of any model; those that go by order are given one."""
    return model.score(histories, order=by_row(histories)) if takes_order(model) else model.score(histories)


def two_tastes(n_users: int = 40, n_items: int = 12, seed: int = 0) -> Interactions:
    """Even users like four of the first half of the items, odd users four of the second: a model must see which."""
    rng = np.random.default_rng(seed)
    half = n_items // 2
    liked = [np.sort(rng.choice(half, 4, replace=False) + half * (user % 2)).tolist() for user in range(n_users)]
    users = IdMap.from_values(f"u{user:03}" for user in range(n_users))
    items = IdMap.from_values(f"i{item:03}" for item in range(n_items))
    return Interactions(csr(liked, n_items), users, items)


def untrained(name: str, n_items: int, metadata: tuple[int, ...] = ()) -> Recommender:
    """A small model with fresh weights, always the same; closed-form models are fitted to `two_tastes`.

    One with a prior from metadata has it from `metadata`, the widths of a schema's fields, where they are given.
    """
    torch.manual_seed(0)
    config = SMALL[name]
    if metadata and isinstance(config, ConditionalVAEConfig):
        config = replace(config, metadata=metadata)
    model = catalog.create(name, n_items, config)
    solved = model.linear if isinstance(model, Blend) else model
    if isinstance(solved, ClosedFormRecommender):
        solved.fit(two_tastes(n_items=n_items).matrix)
    return model
