import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.protocols import Float32Array
from recsys_vae.second_stage.candidates import Candidates, places_in
from recsys_vae.second_stage.item_columns import ItemColumns, number_columns, value_columns
from tests.worlds import csr

TABLE = pl.DataFrame(
    {
        "item_id": list("abcdef"),
        "popularity": [6, 5, 4, 3, 2, 1],
        "title": [f"The {name}" for name in "abcdef"],
        "year": [1990, 1991, 1992, None, 1994, 1995],
        "same": [1] * 6,
        "genres": [["x"], ["x", "y"], ["y"], ["y"], [], ["x"]],
    }
)
SCORES = np.array([[9, 5, 4, 3, 2, 1], [9, 5, 4, 3, 2, 1]], dtype=np.float32)
HISTORIES = csr([[0, 1], []], 6)


class Backwards:
    """The last item first."""

    n_items = 6

    def score(self, histories: csr_array) -> Float32Array:
        return np.tile(np.arange(6, dtype=np.float32), (histories.shape[0], 1))


def columns() -> ItemColumns:
    return ItemColumns.of(TABLE, {}, number_columns(TABLE), value_columns(TABLE))


def made(depth: int = 1, *, has_position: bool = False) -> Candidates:
    return Candidates("first", [("backwards", Backwards())], columns(), depth, has_position)


def test_columns_that_say_something_count() -> None:
    assert number_columns(TABLE) == ["year"]
    assert value_columns(TABLE) == ["genres"]
    assert np.isnan(columns().numbers["year"][3])
    days = pl.DataFrame({"item_id": ["a", "b"], "out": ["1970-01-02", "1970-01-05"]}).with_columns(
        pl.col("out").str.to_date()
    )
    assert ItemColumns.of(days, {}, number_columns(days), ()).numbers["out"].tolist() == [1, 4]


def test_each_model_finds_its_best_and_nothing_of_the_history() -> None:
    pairs = made().of(SCORES.copy(), HISTORIES)
    assert list(zip(pairs.users.tolist(), pairs.items.tolist(), strict=True)) == [(0, 2), (0, 5), (1, 0), (1, 5)]
    assert set(made(depth=99).of(SCORES.copy(), HISTORIES).items[:4].tolist()) == {2, 3, 4, 5}


def test_the_scores_that_are_given_stay() -> None:
    given = SCORES.copy()
    made().of(given, HISTORIES)
    np.testing.assert_array_equal(given, SCORES)


def test_features_are_what_they_are_called() -> None:
    candidates = made(has_position=True)
    pairs = candidates.of(SCORES.copy(), HISTORIES)
    first = dict(zip(candidates.names, pairs.features[0].tolist(), strict=True))  # item c of the first user
    spread, mean = SCORES[0].std(), SCORES[0].mean()
    assert first["score:first"] == pytest.approx((4 - mean) / spread, rel=1e-5)
    assert first["score:backwards"] == pytest.approx((2 - 2.5) / np.arange(6).std(), rel=1e-5)
    assert first["score:mean"] == pytest.approx((first["score:first"] + first["score:backwards"]) / 2, rel=1e-5)
    assert (first["rank:first"], first["rank:backwards"]) == (0, pytest.approx(np.log(2)))
    assert first["history"] == pytest.approx(np.log(3))
    assert (first["year"], first["year:history"]) == (1992, 1.5)
    # The history is a, x alone, and b, half x and half y: a quarter of it is y, which c is alone.
    assert first["genres:history"] == pytest.approx(0.25)
    assert first["position"] == 1
    nobodys = dict(zip(candidates.names, pairs.features[2].tolist(), strict=True))
    assert np.isnan(nobodys["year:history"])
    assert (nobodys["history"], nobodys["genres:history"]) == (0, 0)


def test_users_have_the_same_features_alone_and_together() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    together = made(depth=2).of(scores, HISTORIES)
    for user in range(2):
        alone = made(depth=2).of(scores[[user]], HISTORIES[[user]])
        np.testing.assert_array_equal(alone.features, together.features[together.users == user])


def test_wanted_pairs_come_beside_but_for_those_of_the_history() -> None:
    pairs = made().of(SCORES.copy(), HISTORIES, csr([[0, 3], [3]], 6))
    assert pairs.items[pairs.users == 0].tolist() == [2, 3, 5]
    assert pairs.items[pairs.users == 1].tolist() == [0, 3, 5]


def test_places_count_from_one_in_each_list() -> None:
    places = places_in(np.array([3, 3, 3, 7, 7]), np.array([0.1, 0.5, 0.5, -2, -1]))
    assert places.tolist() == [3, 1, 2, 2, 1]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1; got 0"):
        made(depth=0)
    with pytest.raises(DataError, match="no column 'price'"):
        ItemColumns.of(TABLE, {}, ["price"], [])
    with pytest.raises(DataError, match="'title' of the items holds no numbers"):
        ItemColumns.of(TABLE, {}, ["title"], [])
