import numpy as np

from service.ranking.mmr import LARGEST_POOL, diversify, pool_size

NONE = np.empty((0, 2), dtype=np.float32)
VECTORS = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], dtype=np.float32)
SCORES = np.array([4, 3, 2, 1], dtype=np.float32)


def test_without_diversity_the_order_is_that_of_the_scores() -> None:
    assert diversify(SCORES, VECTORS, NONE, 4, 0.0).tolist() == [0, 1, 2, 3]


def test_the_best_comes_first_and_then_what_differs() -> None:
    # After 0: item 1 gains .5 * 2/3 - .5 * 1, item 2 .5 * 1/3 - 0, item 3 0 + .5.
    assert diversify(SCORES, VECTORS, NONE, 4, 0.5).tolist() == [0, 3, 2, 1]


def test_what_earlier_pages_showed_counts_as_chosen() -> None:
    shown = np.array([[1, 0]], dtype=np.float32)
    assert diversify(SCORES[1:], VECTORS[1:], shown, 1, 1.0).tolist() == [2]


def test_equal_scores_and_no_items_are_fine() -> None:
    assert diversify(np.ones(4, np.float32), VECTORS, NONE, 2, 0.5).tolist() == [0, 3]
    assert diversify(SCORES[:0], VECTORS[:0], NONE, 3, 0.5).tolist() == []


def test_the_pool_holds_what_is_wanted() -> None:
    assert pool_size(1) == 400
    assert pool_size(100) == 1000
    assert pool_size(1000) == LARGEST_POOL
    assert pool_size(5000) == 5000
