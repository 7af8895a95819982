import pytest
import torch
from torch import Tensor

from recsys_vae.native.adam import AdamRows

pytestmark = pytest.mark.usefixtures("compiled")

WIDTH = 37
"""Two cache lines and a rest."""


MISSED = torch.tensor([[0, 0, 1, 1, 1], [9, 9, 9, 9, 9], [0.2, 0.01, 0.96, 0.81, 0.98]])
"""What being idle for 0, 1 and 2 steps comes to."""


def matrix() -> AdamRows:
    draw = torch.Generator().manual_seed(0)
    weight, first, second = (torch.rand(9, WIDTH, generator=draw) for _ in range(3))
    return AdamRows(weight, first, second, torch.full((9,), 3.0))


def in_float64(rows: AdamRows, chosen: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor[chosen].double() for tensor in (rows.weight, rows.first, rows.second))


def test_a_step_equals_the_formula_and_leaves_other_rows_alone() -> None:
    rows, chosen = matrix(), torch.tensor([7, 0, 4])
    untouched = [1, 2, 3, 5, 6, 8]
    before, (weight, first, second) = rows.weight.clone(), in_float64(rows, chosen)
    gradients = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(1))
    rows.step(chosen, gradients, 4, MISSED, betas=(0.9, 0.99), scalars=(0.1, 0.98, 1.5, 1e-3))
    first = 0.9 * first + 0.1 * gradients
    second = 0.99 * second + 0.01 * gradients.double() ** 2
    weight = weight * 0.98 - 0.1 * first / (second.sqrt() * 1.5 + 1e-3)
    for found, exact in zip((rows.weight, rows.first, rows.second), (weight, first, second), strict=True):
        torch.testing.assert_close(found[chosen], exact.float(), rtol=1e-5, atol=1e-6)
    assert torch.equal(rows.weight[untouched], before[untouched])
    assert rows.last.tolist() == [4, 3, 3, 3, 4, 3, 3, 4, 3]


def test_idle_rows_are_caught_up_once_however_often_they_are_named() -> None:
    rows, chosen = matrix(), torch.tensor([2, 5, 2, 2])
    weight, first, second = in_float64(rows, torch.tensor([2, 5]))
    rows.catch_up(chosen, 5, MISSED)
    weight = (weight - 0.2 * first / (second.sqrt() + 0.01)) * 0.96
    for found, exact in zip((rows.weight, rows.first, rows.second), (weight, first * 0.81, second * 0.98), strict=True):
        torch.testing.assert_close(found[[2, 5]], exact.float(), rtol=1e-5, atol=1e-6)
    assert rows.last.tolist() == [3, 3, 5, 3, 3, 5, 3, 3, 3]


def test_a_step_of_idle_rows_begins_where_they_are_caught_up() -> None:
    rows, caught_up, chosen = matrix(), matrix(), torch.tensor([6, 1])
    rows.last[1] = caught_up.last[1] = 5
    gradients = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(1))
    caught_up.catch_up(chosen, 5, MISSED)
    for some in (rows, caught_up):
        some.step(chosen, gradients, 6, MISSED, betas=(0.9, 0.99), scalars=(0.1, 0.98, 1.5, 1e-3))
    for name in ("weight", "first", "second", "last"):
        torch.testing.assert_close(getattr(rows, name), getattr(caught_up, name), rtol=1e-5, atol=1e-6)
    assert not torch.equal(rows.weight[6], matrix().weight[6])
