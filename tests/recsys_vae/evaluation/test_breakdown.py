import numpy as np
import pytest

from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.breakdown import by_history_length, by_item_popularity, quantile_groups, recall_by_k
from recsys_vae.evaluation.evaluate import evaluate
from tests.recsys_vae.evaluation.fakes import FixedScores, held_out

# Everybody gets 5 4 3 2 1 0 without what they have seen.
MODEL = FixedScores(np.tile(np.arange(6), (6, 1)))
USERS = held_out([[0], [1], [0, 1], [5], [0, 1, 2]], [[5, 1], [4], [2], [], [3, 5]], 6)


def test_recall_by_k_equals_the_metric() -> None:
    metrics = [f"recall@{k}" for k in (1, 2, 4)]
    found = evaluate(MODEL, USERS, metrics)
    points = recall_by_k(found, USERS, (1, 2, 4))
    assert [p.mean for p in points] == [found.means[name] for name in metrics]
    assert [p.standard_error for p in points] == [found.standard_errors[name] for name in metrics]


def test_by_history_length_groups_users_with_targets() -> None:
    found = evaluate(MODEL, USERS, ["recall@2"])
    groups = by_history_length(found, USERS, "recall@2", n_groups=2)
    assert [(g.low, g.high, g.size, g.label) for g in groups] == [(1, 1, 2, "1"), (2, 3, 2, "2\N{EN DASH}3")]
    assert [g.mean for g in groups] == [0.75, 0.25]


def test_by_item_popularity_counts_targets() -> None:
    found = evaluate(MODEL, USERS, ["recall@2"])
    groups = by_item_popularity(found, USERS, np.array([1, 1, 1, 1, 9, 9]), k=2, n_groups=2)
    assert [(g.low, g.high, g.size) for g in groups] == [(1, 1, 3), (9, 9, 3)]
    assert [g.mean for g in groups] == [0.0, 1.0]
    assert groups[0].standard_error == 0.0


def test_groups_are_about_equal_and_keep_equal_values_together() -> None:
    assert quantile_groups(np.arange(10), 5).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert quantile_groups(np.array([7, 7, 7, 7]), 5).tolist() == [0, 0, 0, 0]
    assert quantile_groups(np.array([1, 1, 1, 1, 2, 3]), 3).tolist() == [0, 0, 0, 0, 1, 1]


def test_asking_deeper_than_was_looked_is_an_error() -> None:
    found = evaluate(MODEL, USERS, ["recall@2", "coverage@2"])
    with pytest.raises(ConfigError, match="2 deep"):
        recall_by_k(found, USERS, [3])
    with pytest.raises(ConfigError, match="user by user"):
        by_history_length(found, USERS, "coverage@2")
