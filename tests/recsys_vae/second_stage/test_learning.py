import numpy as np
import pytest

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.second_stage.learning import LearningConfig, Lists, learn, ndcg
from tests.second_stages import NEEDS_LIGHTGBM

CONFIG = LearningConfig(leaves=4, least=5, most_trees=30, patience=5, folds=3, at=3)


def lists(n_users: int = 30, seed: int = 0) -> Lists:
    """Of ten items that are shown to a user, the two with the largest second feature are taken; the first is noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_users, 10, 2)).astype(np.float32)
    taken = np.argsort(np.argsort(-features[:, :, 1], axis=1), axis=1) < 2
    users = np.repeat(np.arange(n_users), 10)
    return Lists(features.reshape(-1, 2), taken.ravel(), users, users)


@NEEDS_LIGHTGBM
def test_what_decides_is_learned_and_holds_for_users_that_were_held_out() -> None:
    learned = learn(lists(), CONFIG)
    assert 0 < learned.trees.n_trees <= 30
    assert ndcg(learned.lists, learned.held_out_scores, 3) > 0.8 > ndcg(learned.lists, learned.lists.features[:, 0], 3)
    fresh = lists(seed=1)
    assert ndcg(fresh, learned.trees.score(fresh.features), 3) > 0.8
    assert str(learn(lists(), CONFIG).trees) == str(learned.trees)


@NEEDS_LIGHTGBM
def test_lists_that_tell_nothing_are_left_out() -> None:
    known = lists()
    known.taken[known.users == 3] = False
    known.taken[known.users == 4] = True
    assert set(range(30)) - set(learn(known, CONFIG).lists.users.tolist()) == {3, 4}


def test_ndcg_of_lists_by_hand() -> None:
    taken = np.array([True, False, False, True, True])
    made = Lists(np.zeros((5, 1), np.float32), taken, np.array([0, 0, 0, 1, 1]), np.zeros(5, np.int64))
    # The first list has its one hit in second place; the second has nothing but hits.
    assert ndcg(made, np.array([1.0, 2, 0, 0, 1]), 3) == pytest.approx((1 / np.log2(3) + 1) / 2)
    assert ndcg(made, np.array([1.0, 2, 0, 0, 1]), 1) == pytest.approx(0.5)


def test_too_few_users_and_settings_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="2 users have a list"):
        learn(lists(2), CONFIG)
    with pytest.raises(ConfigError, match="learning_rate is above 0"):
        LearningConfig(learning_rate=0)
    with pytest.raises(ConfigError, match="leaves and folds"):
        LearningConfig(leaves=1)
