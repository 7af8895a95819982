import numpy as np
import pytest

from recsys_vae.errors import DataError
from recsys_vae.second_stage.candidates import Candidates
from recsys_vae.second_stage.item_columns import ItemColumns
from recsys_vae.second_stage.ranker import Ranker, descending
from recsys_vae.second_stage.trees import Trees
from tests.second_stages import NEEDS_LIGHTGBM, steps
from tests.worlds import csr

SCORES = np.array([[9, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1], [1, 1, 1, 1, 1, 1]], dtype=np.float32)
YEARS = ItemColumns({"year": np.arange(6, dtype=np.float32)}, {})


def ranker(depth: int) -> Ranker:
    candidates = Candidates("first", (), YEARS, depth)
    return Ranker(candidates, Trees(steps(candidates.names.index("year"), [0, 1, 2, 3, 4]), len(candidates.names)))


@NEEDS_LIGHTGBM
def test_candidates_share_the_scores_that_they_had_in_the_order_of_the_trees() -> None:
    scores = SCORES.copy()
    ranker(3).rerank(scores, csr([[0], [], []], 6), np.array([0, 1]))
    assert scores[0].tolist() == [9, 3, 4, 5, 2, 1]  # b, c and d, the latest of them first; a is in the history
    assert scores[1].tolist() == [4, 5, 6, 3, 2, 1]
    assert scores[2].tolist() == SCORES[2].tolist()  # not asked for


@NEEDS_LIGHTGBM
def test_items_of_equal_scores_stand_in_the_order_of_the_trees_too() -> None:
    scores = SCORES.copy()
    ranker(6).rerank(scores, csr([[], [], []], 6), np.array([2]))
    assert np.argsort(-scores[2], kind="stable").tolist() == [5, 4, 3, 2, 1, 0]
    np.testing.assert_allclose(scores[2], 1, rtol=1e-6)


@NEEDS_LIGHTGBM
def test_trees_of_other_features_are_refused() -> None:
    with pytest.raises(DataError, match="of 2 features, not of 6"):
        Ranker(Candidates("first", (), YEARS, 3), Trees(steps(0, [0.0]), 2))


def test_values_fall_within_each_user() -> None:
    users, values = np.array([0, 0, 0, 1, 1]), np.array([2, 2, 1, 1, 1], dtype=np.float32)
    found = descending(users, values)
    assert (found[:2] > found[1:3]).all()
    assert found[3] > found[4]
    np.testing.assert_allclose(found, values, rtol=1e-6)
