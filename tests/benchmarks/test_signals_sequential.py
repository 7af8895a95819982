"""What the benchmark of models that go by order learns from."""

import os

import polars as pl
import pytest

from tests.benchmarks.signals_sequential import ml_1m, of_films_in_use


def test_films_with_few_ratings_are_left_out_and_what_stays_has_places() -> None:
    told = [(user, "often", user) for user in range(5)] + [(user, "seldom", None) for user in range(4)]
    ratings = pl.DataFrame(told, ["user_id", "movie_id", "position"], orient="row")
    assert of_films_in_use(ratings).rows() == [(user, "often", user) for user in range(5)]
    with pytest.raises(SystemExit, match="1 ratings of films with 5 or more"):
        of_films_in_use(
            pl.concat([ratings, pl.DataFrame({**ratings.row(0, named=True), "position": None}, ratings.schema)])
        )


@pytest.mark.slow
@pytest.mark.skipif("RECSYS_DATA_DIR" not in os.environ, reason="RECSYS_DATA_DIR names no data")
def test_every_user_is_asked() -> None:
    split = ml_1m()
    assert (len(split.test.users), split.train.n_items) == (6040, 3416)
