"""Likelihoods of several leaves in one pass: the bits of as many passes."""

import pytest
import torch
from torch import Tensor, nn

from recsys_vae.native import multinomial
from recsys_vae.nn.joint_softmax import Deferred, is_deferrable, joint_nll
from recsys_vae.nn.objective import Likelihood
from recsys_vae.nn.softmax import chunked_nll, exact_nll
from recsys_vae.nn.sparse_layers import SparseRows

ITEMS, WIDTH = 400, 37
SIZES = (5, 17, 16, 1)


def bfloat16() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def rows(size: int, seed: int) -> SparseRows:
    generator = torch.Generator().manual_seed(seed)
    chosen = [torch.randperm(ITEMS, generator=generator)[: 3 + row].sort().values for row in range(size)]
    offsets = torch.tensor([0, *(len(some) for some in chosen)]).cumsum(0)
    indices = torch.cat(chosen)
    return SparseRows(indices, offsets, torch.rand(len(indices), generator=generator) + 0.5)


def layer() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(WIDTH, ITEMS)


def hidden(number: int) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.randn(SIZES[number], WIDTH, generator=generator).requires_grad_()


@pytest.mark.parametrize("likelihood", [exact_nll, chunked_nll])
@pytest.mark.parametrize("leaves", [1, 2, 4])
def test_leaves_together_are_as_one_after_the_other(likelihood: Likelihood, leaves: int) -> None:
    with bfloat16():
        if not multinomial.suits(hidden(0), torch.bfloat16):
            pytest.skip("the processor does not multiply bfloat16, or it was not compiled")
    output, upstream = layer(), [torch.linspace(0.1, 1, SIZES[number]) for number in range(leaves)]
    nll, of_hidden, of_weight, of_bias = [], [], [], []
    for number, one in enumerate(upstream):
        given = hidden(number)
        with bfloat16():
            found = likelihood(given, output, rows(SIZES[number], number))
        gradients = torch.autograd.grad(found, [given, output.weight, output.bias], one)
        for kept, new in zip((nll, of_hidden, of_weight, of_bias), (found.detach(), *gradients), strict=True):
            kept.append(new)
    deferred = [Deferred(likelihood) for _ in range(leaves)]
    with bfloat16():
        for number, one in enumerate(deferred):
            assert torch.equal(one(hidden(number), output, rows(SIZES[number], number)), torch.zeros(SIZES[number]))
    joint = joint_nll(deferred, upstream)
    for number in range(leaves):
        assert torch.equal(joint.nll[number], nll[number])
        assert torch.equal(joint.hidden[number], of_hidden[number])
    assert joint.weight is not None
    assert joint.bias is not None
    assert torch.equal(joint.weight, in_a_tree(of_weight))
    assert torch.equal(joint.bias, in_a_tree(of_bias))


def in_a_tree(tensors: list[Tensor]) -> Tensor:
    while len(tensors) > 1:
        tensors = [one + other for one, other in zip(tensors[::2], tensors[1::2], strict=True)]
    return tensors[0]


def test_what_is_not_compiled_is_answered_at_once() -> None:
    deferred, output = Deferred(exact_nll), layer()
    given = hidden(0)
    found = deferred(given, output, rows(5, 0))  # products in float32
    assert deferred.nll is None
    assert torch.equal(found, exact_nll(given, output, rows(5, 0)))
    assert is_deferrable(exact_nll)
    assert not is_deferrable(deferred)
