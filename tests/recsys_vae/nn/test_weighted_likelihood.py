"""The multinomial likelihood of targets with weights, however it is computed."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from recsys_vae.nn.sampled_softmax import SampledSoftmax
from recsys_vae.nn.softmax import chunked_nll, exact_nll
from recsys_vae.nn.sparse_layers import SparseRows

N, WIDTH, N_ITEMS = 6, 5, 40


def problem() -> tuple[Tensor, nn.Linear, SparseRows, Tensor]:
    rng = np.random.default_rng(0)
    dense = (rng.random((N, N_ITEMS)) * 3 * (rng.random((N, N_ITEMS)) < 0.2)).astype(np.float32)
    torch.manual_seed(0)
    return torch.randn(N, WIDTH), nn.Linear(WIDTH, N_ITEMS), SparseRows.from_csr(csr_array(dense)), torch.tensor(dense)


def naive(hidden: Tensor, output: nn.Linear, dense: Tensor) -> Tensor:
    return -(dense * torch.log_softmax(output(hidden), dim=1)).sum(dim=1)


@pytest.mark.parametrize("likelihood", [exact_nll, chunked_nll])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_exact(likelihood: object, dtype: torch.dtype) -> None:
    hidden, output, rows, dense = problem()
    expected = naive(hidden, output, dense)
    expected_gradient = torch.autograd.grad(expected.sum(), output.weight)[0]
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found = likelihood(hidden, output, rows)  # type: ignore[operator]
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    gradient = torch.autograd.grad(found.sum(), output.weight)[0]
    torch.testing.assert_close(gradient, expected_gradient, rtol=10 * tolerance, atol=10 * tolerance)


def test_a_sample_of_all_items_is_exact() -> None:
    """Every item is drawn as often as its share says, so that the estimate has no error."""
    hidden, output, rows, dense = problem()
    drawn = torch.arange(N_ITEMS)
    sampled = SampledSoftmax(torch.ones(N_ITEMS), N_ITEMS).with_draws(hidden, output, rows, drawn)
    torch.testing.assert_close(sampled, naive(hidden, output, dense), rtol=1e-5, atol=1e-5)
