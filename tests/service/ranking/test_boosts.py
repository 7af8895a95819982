import numpy as np
import pytest

from service.ranking import boosts
from service.ranking.mmr import diversify


def test_a_factor_above_one_moves_up_whatever_the_sign() -> None:
    scores = np.array([-2.0, 0.0, 2.0, 2.0], dtype=np.float32)
    boosts.apply(scores, "multiply", 4.0, np.array([True, True, True, False]))
    assert scores.tolist() == [-0.5, 0.0, 8.0, 2.0]
    boosts.apply(scores, "add", -1.5, np.array([0, 3]))
    assert scores.tolist() == [-2.0, 0.0, 8.0, 0.5]


@pytest.mark.parametrize(("by", "value"), [("multiply", 1e6), ("multiply", 1e-6), ("add", 1e6)])
def test_scores_stay_finite_however_often_they_are_boosted(by: str, value: float) -> None:
    scores = np.array([-3e38, -4.0, 0.0, 4.0, 3e38], dtype=np.float32)
    for _ in range(20):
        boosts.apply(scores, by, value, np.ones(5, dtype=bool))
    assert np.isfinite(scores).all()
    assert (np.diff(scores) >= 0).all()
    order = np.argsort(-scores)
    assert sorted(diversify(scores[order], np.eye(5, dtype=np.float32), np.empty((0, 5), np.float32), 5, 0.5)) == [
        *range(5)
    ]
