from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from recsys_vae.native.multinomial import Multinomial, suits

LEVELS = ("avx512bf16", "amx")
pytestmark = pytest.mark.usefixtures("compiled")

SHAPES = [(1, 1, 1), (4, 7, 150), (17, 33, 193), (64, 64, 384), (70, 130, 1000)]
"""Users, dimensions, items: below, at and above the borders of tiles, panels and chunks."""


def problem(n: int, d: int, n_items: int) -> tuple[Multinomial, Tensor, Tensor]:
    """A layer whose numbers bfloat16 holds exactly, the values of its entries, and a gradient for each row."""
    draw = torch.Generator().manual_seed(n + d + n_items)
    hidden = torch.randint(-8, 9, (n, d), generator=draw) / 8
    weight = torch.randint(-8, 9, (n_items, d), generator=draw) / 16
    counts = torch.randint(0, 3, (n, n_items), generator=draw) * (torch.rand(n, n_items, generator=draw) < 0.2)
    counts[0] = 0  # a user without targets
    columns, rows = counts.T.nonzero(as_tuple=True)
    layer = Multinomial(hidden, weight, torch.randn(n_items, generator=draw), rows.contiguous(), columns.contiguous())
    return layer, counts.T[columns, rows].float(), torch.rand(n, generator=draw)


def in_float64(layer: Multinomial, values: Tensor, upstream: Tensor) -> tuple[Tensor, ...]:
    """The formula, and the gradients that autograd finds for it."""
    hidden, weight, bias = (t.double().requires_grad_() for t in (layer.hidden, layer.weight, layer.bias))
    logits = hidden @ weight.T + bias
    log_likelihood = torch.log_softmax(logits, dim=1)[layer.rows, layer.columns] * values
    (-log_likelihood * upstream[layer.rows]).sum().backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    assert bias.grad is not None
    found = (logits[layer.rows, layer.columns], logits.logsumexp(dim=1), hidden.grad, weight.grad, bias.grad)
    return tuple(t.detach().float() for t in found)


def compute(layer: Multinomial, values: Tensor, upstream: Tensor, *, keep: bool) -> tuple[Tensor, ...]:
    target_logits, normaliser, *kept = layer.forward(keep=keep)
    counts = torch.zeros(len(upstream)).index_add_(0, layer.rows, values)
    pulls = upstream[layer.rows] * values
    gradients = layer.backward(upstream * counts, pulls, normaliser, *kept, learns=True)
    return target_logits, normaliser, *(gradient for gradient in gradients if gradient is not None)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_formula(shape: tuple[int, int, int], keep: bool) -> None:
    layer, values, upstream = problem(*shape)
    ours, theirs = compute(layer, values, upstream, keep=keep), in_float64(layer, values, upstream)
    for name, mine, exact in zip(("logits", "normaliser"), ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    for name, mine, exact in zip(("hidden", "weight", "bias"), ours[2:], theirs[2:], strict=True):
        error = (mine - exact).norm() / exact.norm().clamp(
            min=1e-6
        )  # probabilities are rounded to bfloat16 once or twice
        assert error < 4e-3, f"gradient of {name} is off by {error:.1%}"


@pytest.mark.parametrize("shape", SHAPES)
def test_computing_the_logits_again_gives_the_same_bits(shape: tuple[int, int, int]) -> None:
    layer, values, upstream = problem(*shape)
    kept, again = (compute(layer, values, upstream, keep=keep) for keep in (True, False))
    for one, other in zip(kept, again, strict=True):
        assert torch.equal(one, other)


def test_two_runs_give_the_same_bits() -> None:
    layer, values, upstream = problem(*SHAPES[-1])
    one, other = (compute(layer, values, upstream, keep=True) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        assert torch.equal(first, second)


def test_threads_change_the_order_of_sums_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, values, upstream = problem(*SHAPES[-1])
    alone = compute(layer, values, upstream, keep=True)
    monkeypatch.setattr("recsys_vae.native.multinomial.threads", lambda: 3)
    together = compute(layer, values, upstream, keep=True)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    for place in (0, 1, 3, 4):  # sums that no two threads share
        assert torch.equal(together[place], alone[place])


def test_leaves_together_come_to_the_bits_of_each_by_itself_in_a_tree() -> None:
    layer, values, upstream = problem(128, 33, 400)
    borders = torch.tensor([0, 32, 64, 96, 128])
    scale = upstream * torch.zeros(128).index_add_(0, layer.rows, values)
    pulls = upstream[layer.rows] * values
    _, normaliser, *kept = layer.forward(keep=True)
    together = layer.backward(scale, pulls, normaliser, *kept, learns=True, borders=borders)
    alone = []
    for start, end in pairwise(borders.tolist()):
        own = (layer.rows >= start) & (layer.rows < end)
        some = replace(layer, hidden=layer.hidden[start:end], rows=layer.rows[own] - start, columns=layer.columns[own])
        _, normaliser, *kept = some.forward(keep=True)
        alone.append(some.backward(scale[start:end], pulls[own], normaliser, *kept, learns=True))
    assert torch.equal(together[0], torch.cat([of_hidden for of_hidden, *_ in alone]))
    for place in (1, 2):
        one, two, three, four = (gradients[place] for gradients in alone)
        assert torch.equal(together[place], (one + two) + (three + four))


def test_a_diverged_layer_gives_no_number() -> None:
    layer, *_ = problem(4, 7, 150)
    layer.hidden[1, 0] = torch.nan
    normaliser = layer.forward(keep=True)[1]
    assert torch.isnan(normaliser[1])
    assert torch.isfinite(normaliser[[0, 2, 3]]).all()


def test_where_torch_has_tiles_only_tiles_suit(compiled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert suits(torch.zeros(2, 3), torch.bfloat16) == (compiled == "amx")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert suits(torch.zeros(2, 3), torch.bfloat16)


def test_only_bfloat16_on_a_processor_suits() -> None:
    assert not suits(torch.zeros(2, 3), torch.float32)
    assert not suits(torch.zeros(0, 3), torch.bfloat16)
    assert not suits(torch.zeros(2, 3, device="meta"), torch.bfloat16)
