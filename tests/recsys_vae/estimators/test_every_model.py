"""Every model of the catalogue through the same door."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import recsys_vae
from recsys_vae import Estimator, evaluate, load, split
from recsys_vae.models.catalog import CATALOG

TRAINED = {"epochs": 2, "batch_size": 20, "device": "cpu"}
NARROW = TRAINED | {"hidden": 8, "latent": 4}
SETTINGS: dict[str, dict[str, Any]] = {
    "elsa": TRAINED | {"factors": 4},
    "graph-filter": {"rank": 4},
    "ials": {"factors": 4},
    "mult-dae": TRAINED | {"hidden": 8},
    "mult-vae": NARROW,
    "rec-vae": NARROW,
    "h-vamp": NARROW | {"pseudo_inputs": 5},
    "conditional-vae": NARROW,
    "sasrec": TRAINED | {"width": 8, "blocks": 1},
    "svae": NARROW | {"embedding": 8, "recurrent": 8},
    "blend": TRAINED | {"autoencoder": recsys_vae.MultVAE(hidden=8, latent=4), "linear": recsys_vae.EASE(l2=10)},
}


def of_name(name: str) -> Estimator:
    made: Estimator = getattr(recsys_vae, CATALOG[name].model.__name__)(**SETTINGS.get(name, {}))
    return made


def tastes(ids: str) -> pl.DataFrame:
    """60 users of two tastes among 12 items, in the order of time."""
    rng = np.random.default_rng(0)
    rows = [(u, (u % 2) * 6 + i) for u in range(60) for i in rng.permutation(6)[:5]]
    rows += [(u, int(rng.integers(12))) for u in range(60)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").unique(maintain_order=True)
    frame = frame.with_columns(timestamp=pl.int_range(pl.len()))
    if ids == "strings":
        return frame.with_columns(pl.col("user_id").cast(pl.String), pl.col("item_id").cast(pl.String).str.zfill(4))
    return frame


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("ids", ["strings", "integers"])
def test_fits_answers_and_comes_back_the_same(name: str, ids: str, tmp_path: Path) -> None:
    parts = split(tastes(ids), "strong", seed=0)
    model = of_name(name)
    assert model.fit(parts.train, validation=parts.validation, order=parts.train_order) is model

    history = ["0000", "0001"] if ids == "strings" else [0, 1]
    answer = model.recommend([history, []], k=3)
    assert answer.columns == ["user_id", "item_id", "rank", "score", "tier"]
    assert answer["rank"].to_list() == [1, 2, 3] * 2
    assert answer["tier"].to_list() == ["history"] * 3 + ["popular"] * 3
    recommended = answer["item_id"].to_list()
    assert set(recommended) <= set(tastes(ids)["item_id"])
    assert not set(recommended[:3]) & set(history)

    similar = model.similar_items(history[0], k=3)
    assert len(model.similar_items(history[0], k=10**12)) == len(model.similar_items(history[0], k=model.n_items))
    assert len(model.recommend(history, k=10**12)) == len(model.recommend(history, k=model.n_items))
    assert history[0] not in similar["item_id"].to_list()
    assert len(similar) == 3

    means = evaluate(model, parts.test, ["recall@20", "ndcg@100"]).means
    assert all(math.isfinite(value) for value in means.values())

    model.save(tmp_path / "bundle")
    loaded = load(tmp_path / "bundle")
    assert_frame_equal(loaded.recommend([history, []], k=3), answer, abs_tol=1e-5)
    assert_frame_equal(loaded.similar_items(history[0], k=3), similar, abs_tol=1e-5)
    assert loaded.bundle.manifest.provenance.n_users == parts.train.n_users


def test_every_model_has_a_class_and_every_class_is_public() -> None:
    assert {entry.model.__name__ for entry in CATALOG.values()} <= set(recsys_vae.__all__)
    assert {of_name(name).name for name in CATALOG} == set(CATALOG)
