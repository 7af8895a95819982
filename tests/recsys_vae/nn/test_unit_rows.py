import torch
from torch.nn import functional

from recsys_vae.nn.unit_rows import BLOCK, gram, unit_rows


def test_rows_have_length_one_and_the_gradient_of_normalize() -> None:
    table = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(unit_rows(table), functional.normalize(table, dim=1))
    assert torch.autograd.gradcheck(unit_rows, table)


def test_a_row_of_zeros_stays_one() -> None:
    table = torch.zeros(2, 3, requires_grad=True)
    rows = unit_rows(table)
    rows.sum().backward()
    assert torch.equal(rows, torch.zeros(2, 3))
    assert table.grad is not None
    assert table.grad.isfinite().all()


def test_gram_matrix_of_more_than_a_block() -> None:
    table = torch.randn(9, 2 * BLOCK + 3, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(table.shape[1], table.shape[1], dtype=torch.float64)
    found, expected = gram(table), table.T @ table
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad((found * upstream).sum(), table)
    torch.testing.assert_close(gradient, torch.autograd.grad((expected * upstream).sum(), table)[0])
