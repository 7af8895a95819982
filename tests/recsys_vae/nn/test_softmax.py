from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from recsys_vae.nn import softmax
from recsys_vae.nn.objective import Likelihood
from recsys_vae.nn.softmax import chunked_nll, exact_nll
from recsys_vae.nn.sparse_layers import SparseRows
from tests.worlds import csr

N_ITEMS = 150
HISTORIES = [[0, 2, 149], [], [1, 63, 64, 65], [70]]
ROWS = SparseRows.from_csr(csr(HISTORIES, N_ITEMS))
UPSTREAM = torch.tensor([1.0, 2.0, -0.5, 3.0])


def dense_nll(hidden: Tensor, output: nn.Linear, counts: Tensor) -> Tensor:
    return -(counts * torch.log_softmax(output(hidden), dim=1)).sum(dim=1)


@pytest.fixture(params=[exact_nll, chunked_nll])
def likelihood(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Likelihood:
    monkeypatch.setitem(softmax.CHUNK_BYTES, "cpu", 1)  # 64 items a chunk: three chunks, the last one narrower
    found: Likelihood = request.param
    return found


def gradients(loss: Callable[[Tensor, nn.Linear], Tensor]) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    hidden, output = torch.randn(4, 7, requires_grad=True), nn.Linear(7, N_ITEMS)
    value = loss(hidden, output)
    (value * UPSTREAM).sum().backward()
    return value.detach(), *(p.grad for p in (hidden, output.weight, output.bias) if p.grad is not None)


def test_value_and_gradients_equal_the_dense_formula(likelihood: Likelihood) -> None:
    counts = torch.from_numpy(csr(HISTORIES, N_ITEMS).toarray())
    ours = gradients(lambda hidden, output: likelihood(hidden, output, ROWS))
    theirs = gradients(lambda hidden, output: dense_nll(hidden, output, counts))
    torch.testing.assert_close(ours, theirs)


def test_counts_weigh_their_items(likelihood: Likelihood) -> None:
    output, hidden = nn.Linear(2, 3), torch.randn(1, 2)
    rows = SparseRows(torch.tensor([0, 2]), torch.tensor([0, 2]), torch.tensor([2.0, 3.0]))
    expected = dense_nll(hidden, output, torch.tensor([[2.0, 0.0, 3.0]]))
    torch.testing.assert_close(likelihood(hidden, output, rows), expected)


def test_huge_logits_do_not_overflow(likelihood: Likelihood) -> None:
    output = nn.Linear(1, N_ITEMS)
    nn.init.constant_(output.weight, 1.0)
    nn.init.zeros_(output.bias)
    loss = likelihood(torch.full((4, 1), 500.0), output, ROWS)
    torch.testing.assert_close(
        loss, torch.tensor([3.0, 0.0, 4.0, 1.0]) * torch.tensor(N_ITEMS).log(), rtol=1e-4, atol=0
    )


def test_a_frozen_output_layer_gets_no_gradient(likelihood: Likelihood) -> None:
    output, hidden = nn.Linear(7, N_ITEMS).requires_grad_(False), torch.randn(4, 7, requires_grad=True)
    likelihood(hidden, output, ROWS).sum().backward()
    assert hidden.grad is not None
    assert output.weight.grad is None


def test_bfloat16_products_stay_close_to_float32(likelihood: Likelihood) -> None:
    output, hidden = nn.Linear(7, N_ITEMS), torch.randn(4, 7)
    exact = likelihood(hidden, output, ROWS)
    with torch.autocast("cpu", torch.bfloat16):
        rough = likelihood(hidden, output, ROWS)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=5e-3, atol=0.0)
    assert not torch.equal(rough, exact)
