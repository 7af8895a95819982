import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from recsys_vae.nn.ranking_penalty import ranking_penalty
from recsys_vae.nn.sparse_layers import SparseRows


def rows(dense: list[list[float]]) -> SparseRows:
    return SparseRows.from_csr(csr_array(np.array(dense, dtype=np.float32)))


def layer() -> nn.Linear:
    output = nn.Linear(1, 4)
    with torch.no_grad():
        output.weight.copy_(torch.tensor([[1.0], [3.0], [0.0], [-1.0]]))
        output.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0]))
    return output


def test_by_hand() -> None:
    """Logits 1, 3, 1, -1 of the first user, twice of the second but for the bias; the third dislikes nothing."""
    liked, disliked = rows([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]), rows([[0, 0, 0.5, 0], [0, 0, 1, 1], [0] * 4])
    found = ranking_penalty(torch.tensor([[1.0], [2.0], [1.0]]), layer(), liked, disliked)
    expected = [0.5 * np.log1p(np.exp(1 - 2)), np.log1p(np.exp(1)) + np.log1p(np.exp(-2)), 0.0]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_its_gradient_pushes_dislikes_down_and_is_as_sparse_as_asked(sparse: bool) -> None:
    output = layer()
    liked, disliked = rows([[1, 0, 0, 0]]), rows([[0, 1, 0, 0]])
    penalty = ranking_penalty(torch.ones(1, 1), output, liked, disliked, sparse_gradient=sparse).sum()
    penalty.backward()  # type: ignore[no-untyped-call]
    gradient = output.weight.grad
    assert gradient is not None
    assert gradient.is_sparse == sparse
    push = torch.sigmoid(torch.tensor(2.0)).item()
    assert gradient.to_dense().ravel().tolist() == pytest.approx([-push, push, 0.0, 0.0])
