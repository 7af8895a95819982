from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from recsys_vae.training.lazy_adam import LazyAdam

SHAPE = (6, 3)


def gradients(steps: int) -> list[Tensor]:
    """Gradients in which each row is idle most of the time, one of them for good after the start, one always."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for step in range(steps):
        touched = torch.rand(SHAPE[0], generator=generator) < 0.15
        touched[0], touched[5] = step < 3, False
        found.append(torch.randn(SHAPE, generator=generator) * touched.unsqueeze(1))
    return found


def run(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, steps: list[Tensor], *, sparse: bool) -> None:
    for gradient in steps:
        parameter.grad = gradient.to_sparse(1) if sparse else gradient.clone()
        optimizer.step()


def start() -> nn.Parameter:
    return nn.Parameter(torch.linspace(-1, 1, 18).reshape(SHAPE))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("steps", [1, 5, 400])
def test_rows_updated_lazily_equal_dense_adam(steps: int, weight_decay: float) -> None:
    ours, theirs = start(), start()
    lazy = LazyAdam([ours], lr=0.01, weight_decay=weight_decay)
    run(lazy, ours, gradients(steps), sparse=True)
    lazy.catch_up()
    run(torch.optim.AdamW([theirs], lr=0.01, weight_decay=weight_decay), theirs, gradients(steps), sparse=False)
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-7 * steps + 1e-6 + 2e-2 * weight_decay)


def test_without_catching_up_idle_rows_lag() -> None:
    ours = start()
    lazy = LazyAdam([ours], lr=0.01)
    run(lazy, ours, gradients(30), sparse=True)
    before = ours.detach().clone()
    lazy.catch_up()
    assert (ours[0] != before[0]).all()
    assert torch.equal(ours[5], start()[5])


def test_dense_gradients_equal_adamw() -> None:
    ours, theirs = start(), start()
    run(LazyAdam([ours], lr=0.01, weight_decay=0.1), ours, gradients(20), sparse=False)
    run(torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1), theirs, gradients(20), sparse=False)
    torch.testing.assert_close(ours, theirs)


def test_a_dense_gradient_after_sparse_ones_goes_on_from_there() -> None:
    ours, theirs = start(), start()
    lazy, dense = LazyAdam([ours], lr=0.01), torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.0)
    run(lazy, ours, gradients(10), sparse=True)
    run(lazy, ours, gradients(3), sparse=False)
    run(lazy, ours, gradients(5), sparse=True)
    lazy.catch_up()
    run(dense, theirs, gradients(10) + gradients(3) + gradients(5), sparse=False)
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-5)


def test_its_state_can_be_carried_over() -> None:
    ours, theirs = start(), start()
    first = LazyAdam([ours], lr=0.01)
    run(first, ours, gradients(9), sparse=True)
    with torch.no_grad():
        theirs.copy_(ours)
    second = LazyAdam([theirs], lr=0.01)
    second.load_state_dict(deepcopy(first.state_dict()))
    run(first, ours, gradients(4), sparse=True)
    run(second, theirs, gradients(4), sparse=True)
    assert torch.equal(ours, theirs)
