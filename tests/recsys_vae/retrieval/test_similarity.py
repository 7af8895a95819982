"""Similar items: neighbours by behaviour first, the model for the rest."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError
from recsys_vae.retrieval.similarity import ItemSimilarity

VECTORS = np.array([[1, 0, 9], [2, 0, 0], [1, 1, 0], [-1, 0, 5]], np.float32)  # the last column is a bias
NEAR = csr_array(np.array([[0, 0, 2, 4], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], np.float32))


class Alone:
    """Scores of a model without vectors."""

    n_items = 4

    def score(self, histories: csr_array) -> np.ndarray:
        return np.array([[9, 3, 0, -3]], np.float32)


def test_without_neighbours_it_is_the_cosine_without_the_bias() -> None:
    found = ItemSimilarity(Alone(), VECTORS).similar(0, 3)
    assert found.rows.tolist() == [[1, 2, 3]]
    assert found.scores[0] == pytest.approx([1, 0.5**0.5, -1])


@pytest.mark.parametrize("vectors", [VECTORS, None])
def test_neighbours_come_first_by_weight_and_the_rest_follows_by_the_model(vectors: np.ndarray | None) -> None:
    found = ItemSimilarity(Alone(), vectors, NEAR).similar(0, 4)
    assert found.rows.tolist() == [[3, 2, 1, -1]]
    assert found.scores[0, :2].tolist() == [2, 1.5]
    assert -1 <= found.scores[0, 2] <= 1


def test_behind_a_filter_there_are_k_all_the_same() -> None:
    allowed = np.array([True, True, False, False])
    assert ItemSimilarity(Alone(), VECTORS, NEAR).similar(0, 1, allowed=allowed).rows.tolist() == [[1]]


def test_an_item_without_neighbours_is_as_the_model_has_it() -> None:
    alike, plain = (ItemSimilarity(Alone(), VECTORS, near).scores(1) for near in (NEAR, None))
    assert (alike == np.clip(plain, -1, 1)).all()
    with pytest.raises(ConfigError, match=r"0\.\.3"):
        ItemSimilarity(Alone(), VECTORS, NEAR).scores(4)
