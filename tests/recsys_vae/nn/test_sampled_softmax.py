import copy

import pytest
import torch
from torch import Tensor, nn

from recsys_vae.nn.sampled_softmax import SampledSoftmax
from recsys_vae.nn.softmax import exact_nll
from recsys_vae.nn.sparse_layers import SparseRows
from tests.worlds import csr

N_ITEMS = 40
ROWS = SparseRows.from_csr(csr([[0, 3, 39], [5], [], [7, 8]], N_ITEMS))
COUNTS = torch.arange(N_ITEMS, 0, -1)


def layer() -> tuple[Tensor, nn.Linear]:
    torch.manual_seed(0)
    return torch.randn(4, 5), nn.Linear(5, N_ITEMS)


def mean_gradient(negatives: int, draws: int) -> tuple[Tensor, Tensor]:
    """Mean over draws of the loss and of the output weight's gradient."""
    hidden, output = layer()
    sampled = SampledSoftmax(COUNTS, negatives, torch.Generator().manual_seed(1))
    total = torch.stack([sampled(hidden, output, ROWS).sum() for _ in range(draws)]).mean()
    total.backward()
    assert output.weight.grad is not None
    return total.detach(), output.weight.grad.to_dense()


def test_the_mean_of_the_gradient_converges_to_the_exact_one() -> None:
    hidden, output = layer()
    exact = exact_nll(hidden, output, ROWS).sum()
    exact.backward()
    assert output.weight.grad is not None
    scale = output.weight.grad.norm()
    errors = []
    for negatives in (2, 20, 200):
        loss, gradient = mean_gradient(negatives, draws=400)
        errors.append(((gradient - output.weight.grad).norm() / scale).item())
    assert errors[0] > 3 * errors[1] > 6 * errors[2]
    assert errors[2] < 0.02
    torch.testing.assert_close(loss, exact.detach(), rtol=2e-3, atol=0.0)


def test_without_the_correction_it_would_not() -> None:
    """The guard of the test above: the same estimate with a wrong proposal misses the exact loss."""
    hidden, output = layer()
    sampled = SampledSoftmax(COUNTS, 2000, torch.Generator().manual_seed(1))
    sampled._proposal = torch.full((N_ITEMS,), 1.0)
    exact = exact_nll(hidden, output, ROWS).sum()
    assert (sampled(hidden, output, ROWS).sum() - exact).abs() > 0.1 * exact.abs()


def test_targets_that_are_drawn_are_not_counted_twice() -> None:
    hidden, output = layer()
    sampled = SampledSoftmax(COUNTS, 3, None)
    with_hit = sampled.with_draws(
        hidden[1:2], output, SparseRows.from_csr(csr([[5]], N_ITEMS)), torch.tensor([5, 5, 9])
    )
    q = sampled._proposal
    logits = output(hidden[1:2])[0]
    denominator = logits[5].exp() + logits[9].exp() / (3 * q[9])
    torch.testing.assert_close(with_hit[0], denominator.log() - logits[5])


@pytest.mark.parametrize("native", ["1", "0"])
def test_the_gradients_are_those_of_the_formula(native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_NATIVE", native)
    hidden, output = layer()
    hidden.requires_grad_()
    drawn, upstream = torch.tensor([5, 5, 9, 39, 11]), torch.tensor([0.5, 1.0, 2.0, -1.0])
    sampled = SampledSoftmax(COUNTS, len(drawn), None)
    found = sampled.with_draws(hidden, output, ROWS, drawn)
    found.backward(upstream)
    exact, layer_in_float64 = hidden.detach().double().requires_grad_(), copy.deepcopy(output).double()
    logits, targets = layer_in_float64(exact), torch.tensor(csr([[0, 3, 39], [5], [], [7, 8]], N_ITEMS).toarray())
    weights = torch.bincount(drawn, minlength=N_ITEMS) / (len(drawn) * sampled._proposal.double())
    denominator = (logits.exp() * torch.where(targets > 0, 1.0, weights)).sum(dim=1)
    formula = targets.sum(dim=1) * denominator.log() - (targets * logits).sum(dim=1)
    formula.backward(upstream)
    torch.testing.assert_close(found, formula.float())
    pairs = [(hidden, exact), (output.weight, layer_in_float64.weight), (output.bias, layer_in_float64.bias)]
    for ours, theirs in pairs:
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad.to_dense(), theirs.grad.float())


def test_draws_follow_the_proposal_and_reach_every_item() -> None:
    sampled = SampledSoftmax(torch.tensor([100, 0, 0, 4]), 100_000, torch.Generator().manual_seed(0))
    shares = torch.bincount(sampled.draw(), minlength=4) / 100_000
    torch.testing.assert_close(shares, torch.tensor([0.775, 0.025, 0.025, 0.175]), rtol=0.05, atol=0.0)


def test_the_gradient_names_only_the_rows_looked_at() -> None:
    hidden, output = layer()
    sampled = SampledSoftmax(COUNTS, 3, None)
    sampled.with_draws(hidden, output, ROWS, torch.tensor([1, 1, 20])).sum().backward()
    assert output.weight.grad is not None
    assert output.weight.grad.coalesce().indices()[0].tolist() == [0, 1, 3, 5, 7, 8, 20, 39]
