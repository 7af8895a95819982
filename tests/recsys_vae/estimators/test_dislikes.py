"""What users dislike, at the front door."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from recsys_vae import EASE
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import DataError
from recsys_vae.estimators.inputs import as_dislikes, as_histories

ITEMS = IdMap.from_values(["a", "b", "c"])
LIKED = {"u": ["a"], "v": ["b", "c"]}


@pytest.mark.parametrize(
    "dislikes",
    [
        {"v": ["a", "new"], "stranger": ["b"]},
        pl.DataFrame({"user_id": ["v"], "item_id": ["a"]}),
        [[], ["a"]],
        csr_array(np.array([[0, 0, 0], [1, 0, 0]], dtype=np.float32)),
    ],
)
def test_dislikes_find_their_users_in_every_form(dislikes: Any) -> None:
    users, matrix = as_histories(LIKED, ITEMS, dislikes)
    assert users.to_list() == ["u", "v"]
    assert matrix.toarray().tolist() == [[1, 0, 0], [-1, 1, 1]]


def test_lists_are_as_many_as_histories() -> None:
    with pytest.raises(DataError, match="Give one list each"):
        as_histories(LIKED, ITEMS, [["a"]])


def test_weights_of_the_data_are_kept() -> None:
    frame = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "c"], "weight": [2.5, 1.0]})
    assert as_histories(frame, ITEMS)[1].toarray().tolist() == [[2.5, 0, 1]]


def test_dislikes_are_laid_over_the_interactions() -> None:
    data = Interactions.from_frame(pl.DataFrame({"u": ["x", "y"], "i": ["a", "b"]}), user="u", item="i")
    dislikes = pl.DataFrame({"user_id": ["y", "z", "x"], "item_id": ["a", "a", "q"]})
    assert as_dislikes(dislikes, data).toarray().tolist() == [[0, 0], [1, 0]]
    with pytest.raises(DataError, match="have shape"):
        as_dislikes(csr_array((3, 3), dtype=np.float32), data)


def test_nobody_is_recommended_what_they_dislike() -> None:
    log = pl.DataFrame({"user_id": list("uuvvww"), "item_id": list("abbcac")})
    model = EASE(l2=1.0).fit(log, dislikes=pl.DataFrame({"user_id": ["u"], "item_id": ["c"]}))
    assert model.recommend(["a"], k=3)["item_id"].sort().to_list() == ["b", "c"]
    for keep_seen in (False, True):
        found = model.recommend(["a"], k=3, dislikes=["c"], keep_seen=keep_seen)
        assert "c" not in found["item_id"]
