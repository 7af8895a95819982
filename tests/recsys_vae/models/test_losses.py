import pytest
import torch

from recsys_vae.models.layers import SparseLinear, SparseRows
from recsys_vae.models.losses import multinomial_nll_
from tests.worlds import csr

ROWS = SparseRows.from_csr(csr([[0, 2], [], [1, 3, 4]], 5))
DENSE = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 1, 1.0]])


def test_nll_and_its_gradient_equal_the_dense_formula() -> None:
    ours = torch.randn(3, 5, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    loss = multinomial_nll_(ours * 1, ROWS)
    dense = -(DENSE * torch.log_softmax(theirs, dim=1)).sum(dim=1)
    torch.testing.assert_close(loss, dense)
    weights = torch.tensor([1.0, 2.0, -0.5])
    (loss * weights).sum().backward()
    (dense * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_counts_weigh_their_items() -> None:
    logits = torch.randn(1, 3)
    rows = SparseRows(torch.tensor([0, 2]), torch.tensor([0, 2]), torch.tensor([2.0, 3.0]))
    expected = -(torch.tensor([[2.0, 0.0, 3.0]]) * torch.log_softmax(logits, dim=1)).sum(dim=1)
    torch.testing.assert_close(multinomial_nll_(logits.clone(), rows), expected)


def test_the_sparse_layer_equals_a_dense_one() -> None:
    layer = SparseLinear(5, 4)
    torch.testing.assert_close(layer(ROWS), DENSE @ layer.weight + layer.bias)


def test_rows_are_normalised_before_they_are_dropped() -> None:
    """Kept entries are 1 / sqrt(length) / (1 - rate): the norm is that of the whole history."""
    rows = SparseRows.from_csr(csr([list(range(100))], 100))
    kept = rows.l2_normalised().dropped(0.5, torch.Generator().manual_seed(0)).values
    assert sorted(set(kept.tolist())) == pytest.approx([0.0, 0.2])
    assert 30 < int((kept > 0).sum()) < 70


def test_an_empty_row_stays_empty() -> None:
    assert torch.isfinite(ROWS.l2_normalised().values).all()
