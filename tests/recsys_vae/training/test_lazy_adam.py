from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from recsys_vae.native import adam
from recsys_vae.training.lazy_adam import LazyAdam

SHAPE = (6, 19)
"""Wide enough for a whole vector of the processor, and a rest."""


@pytest.fixture(autouse=True, params=["compiled", "torch"])
def moved_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are moved by compiled code where there is some, and by torch."""
    if request.param == "torch":
        monkeypatch.setattr(adam, "suits", lambda _: False)


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
    return nn.Parameter(torch.linspace(-1, 1, SHAPE[0] * SHAPE[1]).reshape(SHAPE))


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


def test_rows_that_are_caught_up_before_they_are_read_equal_dense_adam_then() -> None:
    ours, theirs = start(), start()
    lazy, dense = LazyAdam([ours], lr=0.01), torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.0)
    for gradient in gradients(60):
        read = gradient.any(dim=1).nonzero().squeeze(1)
        lazy.catch_up_rows(ours, torch.cat([read, read]))
        torch.testing.assert_close(ours[read], theirs[read], rtol=0.0, atol=1e-5)
        run(lazy, ours, [gradient], sparse=True)
        run(dense, theirs, [gradient], sparse=False)


def test_parameters_with_dense_gradients_have_nothing_to_catch_up() -> None:
    ours = start()
    lazy = LazyAdam([ours], lr=0.01)
    run(lazy, ours, gradients(3), sparse=False)
    before = ours.detach().clone()
    lazy.catch_up_rows(ours, torch.tensor([0, 1]))
    assert torch.equal(ours, before)


def test_a_gradient_may_name_a_row_twice() -> None:
    ours, theirs = start(), start()
    rows, values = torch.tensor([[4, 1, 4]]), torch.ones(3, SHAPE[1])
    ours.grad = torch.sparse_coo_tensor(rows, values, SHAPE, check_invariants=True)
    theirs.grad = ours.grad.to_dense()
    LazyAdam([ours]).step()
    torch.optim.AdamW([theirs], weight_decay=0.0).step()
    torch.testing.assert_close(ours, theirs)
