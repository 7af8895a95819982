from itertools import pairwise

import pytest
import torch
from torch import Tensor

from recsys_vae.native.row_gradient import row_gradient, row_products, suits

pytestmark = pytest.mark.usefixtures("compiled")
WIDTHS = (1, 16, 37)


def problem(width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of 20 sums of some of nine rows: row 4 is in none, and one sum is of nothing."""
    draw = torch.Generator().manual_seed(width)
    weights = torch.randn(20, 9, generator=draw) * (torch.rand(20, 9, generator=draw) < 0.4)
    weights[:, 4] = weights[7] = 0
    rows, columns = weights.nonzero(as_tuple=True)
    return torch.randn(20, width, generator=draw), columns, rows, weights


@pytest.mark.parametrize("width", WIDTHS)
def test_equals_the_product(width: int) -> None:
    upstream, columns, rows, weights = problem(width)
    found = row_gradient(upstream, columns, rows, weights[rows, columns], [0, 5, 5, 12, 20], 9)
    torch.testing.assert_close(found, (weights.double().T @ upstream.double()).float())
    assert not found[4].any()


@pytest.mark.parametrize("width", WIDTHS)
def test_leaves_together_come_to_the_bits_of_each_by_itself_in_a_tree(width: int) -> None:
    upstream, columns, rows, weights = problem(width)
    values, borders = weights[rows, columns], [0, 3, 8, 8, 11, 14, 15, 18, 20]
    sums = []
    for start, end in pairwise(borders):
        own = (rows >= start) & (rows < end)
        of_leaf = (upstream[start:end], columns[own], rows[own] - start, values[own])
        sums.append(row_gradient(*of_leaf, [0, end - start], 9))
    while len(sums) > 1:
        sums = [a + b for a, b in zip(sums[::2], sums[1::2], strict=True)]
    together = row_gradient(upstream, columns, rows, values, borders, 9)
    assert torch.equal(together.view(torch.int32), sums[0].view(torch.int32))


@pytest.mark.parametrize("width", WIDTHS)
def test_products_of_rows(width: int) -> None:
    draw = torch.Generator().manual_seed(width)
    left, right = torch.randn(4, width, generator=draw), torch.randn(7, width, generator=draw)
    lefts, rights = torch.tensor([0, 3, 3, 1]), torch.tensor([6, 0, 6, 2])
    expected = (left.double() @ right.double().T)[lefts, rights].float()
    torch.testing.assert_close(row_products(left, right, lefts, rights), expected)
    assert not len(row_products(left, right, lefts[:0], rights[:0]))


def test_it_is_for_numbers_of_32_bits() -> None:
    assert suits(torch.zeros(2, 2))
    assert not suits(torch.zeros(2, 2, dtype=torch.float64))
