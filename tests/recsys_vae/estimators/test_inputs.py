from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array, csr_matrix

from recsys_vae import EASE, Blend, Interactions, MultVAE, Popularity, split
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, ModelError, SchemaError, UnknownNameError
from recsys_vae.estimators.inputs import as_histories, as_interactions

USERS, ITEMS = ["b", "a", "a"], ["010", "010", "9"]
DENSE = np.array([[0, 1, 1], [1, 0, 0]], dtype=np.float32)


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"user_id": USERS, "item_id": ITEMS}),
        pl.LazyFrame({"user_id": USERS, "item_id": ITEMS}),
        pl.DataFrame({"user_id": USERS, "item_id": pl.Series(ITEMS, dtype=pl.Categorical)}),
        pd.DataFrame({"user_id": USERS, "item_id": ITEMS}),
        pd.DataFrame({"user_id": USERS, "item_id": pd.Categorical(ITEMS)}),
    ],
)
def test_frames_of_every_kind_are_the_same_interactions(frame: Any) -> None:
    data = as_interactions(frame)
    assert data.items.labels().to_list() == ["010", "9"]
    assert data.matrix.toarray().tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame])
def test_whole_numbers_come_out_as_they_went_in(kind: Callable[[Any], Any]) -> None:
    frame = kind({"u": [7, 7, 12], "i": [-3, 20, 100], "w": [0.5, 2.0, 1.0]})
    data = Interactions.from_frame(frame, user="u", item="i", weight="w")
    assert sorted(data.items.labels().to_list()) == [-3, 20, 100]
    assert data.items.labels(data.items.find([100, 20, 5])[:2]).to_list() == [100, 20]
    assert data.items.find([5]).tolist() == [-1]
    assert data.matrix.sum() == 3.5


@pytest.mark.parametrize("kind", [csr_matrix, csr_array])
def test_columns_of_a_matrix_are_its_ids(kind: Callable[[Any], Any]) -> None:
    wide = np.tile(DENSE, (6, 4))
    model = Popularity().fit(kind(wide))
    assert model.recommend([[0, 11]], k=12)["item_id"].is_in(range(1, 11)).all()
    assert model.items.labels().to_list() == list(range(12))
    assert model.recommend(kind(wide), k=1)["user_id"].to_list() == list(range(12))


@pytest.mark.parametrize(
    "histories",
    [
        [["a", "c"], []],
        [("a", "c"), []],
        {"0": ["c", "a", "new"], "1": []},
        csr_array(np.array([[1, 0, 1], [0, 0, 0]])),
    ],
)
def test_histories_of_every_kind(histories: Any) -> None:
    users, matrix = as_histories(histories, IdMap.from_values(["a", "b", "c"]))
    assert len(users) == 2
    assert matrix.toarray().tolist() == [[1, 0, 1], [0, 0, 0]]


def test_interactions_as_histories_go_by_id_and_keep_their_users() -> None:
    asked = Interactions.from_frame(pl.DataFrame({"u": [5, 4], "i": ["z", "c"]}), user="u", item="i")
    users, matrix = as_histories(asked, IdMap.from_values(["a", "b", "c"]))
    assert users.to_list() == [4, 5]
    assert matrix.toarray().tolist() == [[0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("histories", ["a", 3, [1], [[1, "a"]], csr_array((1, 4))])
def test_other_histories_are_refused(histories: Any) -> None:
    with pytest.raises(DataError):
        as_histories(histories, IdMap.from_values(["a", "b", "c"]))


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (pl.DataFrame({"user": ["a"]}), SchemaError),
        (pl.DataFrame({"user_id": ["a"], "item_id": [1.5]}), DataError),
        (pl.DataFrame({"user_id": ["a", None], "item_id": [1, 2]}), DataError),
        (pd.DataFrame({"user_id": ["a", None], "item_id": [1, 2]}), DataError),
        (pd.DataFrame({"user_id": ["a", 1], "item_id": [1, 2]}), DataError),
        (pl.DataFrame({"user_id": ["a"], "item_id": [1], "weight": [0.0]}), DataError),
        (DENSE, DataError),
    ],
)
def test_other_data_are_refused(frame: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        as_interactions(frame)


@pytest.mark.parametrize(
    "nothing", [csr_array((3, 4)), pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String})]
)
def test_nothing_to_learn_from_is_an_error(nothing: Any) -> None:
    with pytest.raises(EmptyDataError, match="no interactions to learn from"):
        EASE().fit(nothing)


def test_settings_are_checked_before_anything_is_fitted() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'latent'"):
        MultVAE(latnt=3)
    with pytest.raises(ConfigError, match="closed form"):
        EASE(epochs=3)
    with pytest.raises(ConfigError, match="whole number"):
        MultVAE(epochs=2.5)
    with pytest.raises(ModelError, match="fit first"):
        EASE().recommend([])


def test_a_blend_takes_its_parts_as_estimators() -> None:
    blend = Blend(autoencoder=MultVAE(latent=7, epochs=3), linear=EASE(l2=9), seed=5)
    assert (blend.config.autoencoder.config.latent, blend.config.linear.config.l2) == (7, 9.0)
    assert (blend.training.epochs, blend.training.seed) == (3, 5)


def test_validation_of_another_catalogue_is_refused() -> None:
    frame = pl.DataFrame({"user_id": np.repeat(np.arange(30), 6), "item_id": np.tile(np.arange(18), 10)})
    parts = split(frame, "strong", seed=1)
    with pytest.raises(DataError, match="one split"):
        EASE().fit(csr_array(DENSE), validation=parts.validation)
    with pytest.raises(ConfigError, match=r"Events\.from_frame"):
        split(frame, "temporal")


@pytest.mark.parametrize("k", [0, 2.0, "2", None])
def test_a_k_that_is_no_whole_number_is_an_error(k: Any) -> None:
    model = Popularity().fit(pl.DataFrame({"user_id": USERS, "item_id": ITEMS}))
    with pytest.raises(ConfigError, match=f"at least 1; got {k!r}"):
        model.recommend(["9"], k=k)
    with pytest.raises(ConfigError, match=f"at least 1; got {k!r}"):
        model.similar_items("9", k=k)
    assert model.recommend(["9"], k=np.int64(1))["item_id"].to_list() == ["010"]  # type: ignore[arg-type]


def test_one_id_in_the_place_of_the_allowed_ones_is_an_error() -> None:
    model = Popularity().fit(pl.DataFrame({"user_id": USERS, "item_id": ITEMS}))
    with pytest.raises(DataError, match=r"Write \['9'\] for one item"):
        model.recommend([[]], allowed="9")
    with pytest.raises(DataError, match=r"Write \[9\] for one item"):
        model.recommend([[]], allowed=9)  # type: ignore[arg-type]
    assert model.recommend([[]], allowed={"9"})["item_id"].to_list() == ["9"]  # type: ignore[arg-type]


def test_users_of_a_mapping_are_all_strings_or_all_numbers() -> None:
    model = Popularity().fit(pl.DataFrame({"user_id": USERS, "item_id": ITEMS}))
    with pytest.raises(DataError, match="Ids are all strings or all whole numbers"):
        model.recommend({7: ["9"], "8": ["9"]})
