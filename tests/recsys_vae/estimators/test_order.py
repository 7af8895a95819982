import numpy as np
import polars as pl
import pytest

from recsys_vae import SASRec, evaluate, split
from recsys_vae.errors import DataError

SETTINGS = {"width": 8, "blocks": 1, "length": 4, "epochs": 2, "batch_size": 8, "device": "cpu", "dropout": 0.0}


def log(n_users: int = 30) -> pl.DataFrame:
    """Users go through five of ten items, each from their own on."""
    users = np.repeat(np.arange(n_users), 5)
    steps = np.tile(np.arange(5), n_users)
    return pl.DataFrame({"user_id": users, "item_id": (users + steps) % 10, "timestamp": steps}).sample(
        fraction=1.0, shuffle=True, seed=0
    )


def test_a_frame_with_times_tells_the_order_of_training_and_of_histories() -> None:
    model = SASRec(**SETTINGS).fit(log())
    by_frame = model.recommend(log(), 3)
    lists = {user: [(user + step) % 10 for step in range(5)] for user in range(30)}
    by_lists = model.recommend(lists, 3)
    assert by_frame["item_id"].to_list() == by_lists["item_id"].to_list()
    other = model.recommend({user: one[::-1] for user, one in lists.items()}, 3)
    assert not np.allclose(other["score"].to_numpy(), by_lists["score"].to_numpy())


def test_a_split_of_such_a_frame_is_learned_and_evaluated() -> None:
    cut = split(log(), heldout=5, min_items=2)
    model = SASRec(**SETTINGS).fit(cut.train, cut.validation, order=cut.train_order)
    assert 0 <= evaluate(model, cut.test, ["ndcg@5"]).means["ndcg@5"] <= 1
    assert model.recommend(cut.test, 2).height


def test_without_an_order_it_says_what_is_missing() -> None:
    frame = log().drop("timestamp")
    with pytest.raises(DataError, match="goes by the order"):
        SASRec(**SETTINGS).fit(frame)
    model = SASRec(**SETTINGS).fit(log())
    with pytest.raises(DataError, match="goes by the order"):
        model.recommend(frame, 2)
