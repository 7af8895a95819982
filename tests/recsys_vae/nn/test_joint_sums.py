"""Gradients of layers on sparse rows, asked of several leaves at once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import Tensor

from recsys_vae.native import row_gradient
from recsys_vae.nn.joint_sums import DeferredSums, joint_gradient
from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows

compiled = pytest.mark.skipif(not row_gradient.suits(torch.zeros(1)), reason="the loops are not compiled")


def world() -> tuple[SparseLinear, SparseRows, Tensor]:
    """A layer, six histories, one of them empty, and gradients of what the layer makes of them."""
    torch.manual_seed(0)
    dense = np.random.default_rng(0).integers(0, 3, (6, 5)).astype(np.float32)
    dense[3] = 0
    return SparseLinear(5, 4), SparseRows.from_csr(csr_array(dense)), torch.randint(-4, 5, (6, 4)).float()


def part(rows: SparseRows, first: int, end: int) -> SparseRows:
    """Some of the rows."""
    start, stop = int(rows.offsets[first]), int(rows.offsets[end])
    return SparseRows(rows.indices[start:stop], rows.offsets[first : end + 1] - start, rows.values[start:stop])


@compiled
def test_the_gradient_of_two_leaves_is_that_of_autograd() -> None:
    layer, rows, upstream = world()
    expected = torch.autograd.grad(layer(rows), (layer.weight, layer.bias), upstream)
    calls, found, biases = [], [], []
    for first, end in ((0, 4), (4, 6)):
        deferred = DeferredSums()
        made = layer(replace(part(rows, first, end), sums=deferred))
        (call,) = deferred.calls
        of_sums, of_weight, of_bias = torch.autograd.grad(
            made, (call.sums, layer.weight, layer.bias), upstream[first:end], allow_unused=True
        )
        assert of_weight is None
        calls.append(call)
        found.append(of_sums)
        biases.append(of_bias)
    assert torch.equal(joint_gradient(calls, found), expected[0])
    assert torch.equal(sum(biases, torch.zeros(4)), expected[1])
    nothing = joint_gradient(calls, [None, found[1]])
    alone = torch.autograd.grad(layer(part(rows, 4, 6)), layer.weight, upstream[4:])[0]
    assert torch.equal(nothing, alone)


@compiled
def test_a_second_call_and_what_does_not_learn_are_left_to_the_layer() -> None:
    layer, rows, _ = world()
    deferred = DeferredSums()
    first, second = (layer(replace(rows, sums=deferred)) for _ in range(2))
    assert torch.equal(first, second)
    assert len(deferred.calls) == 1
    assert torch.autograd.grad(second.sum(), layer.weight)[0].any()
    with torch.no_grad():
        layer(replace(rows, sums=(idle := DeferredSums())))
    layer.sparse_gradient = True
    layer(replace(rows, sums=idle))
    layer.sparse_gradient = False
    layer.weight.requires_grad_(False)
    layer(replace(rows, sums=idle))
    assert idle.calls == []


def test_the_first_rows_come_with_all_that_is_known_of_them() -> None:
    _, rows, _ = world()
    known = replace(rows, metadata=part(rows, 0, 6), targets=part(rows, 0, 6)).first(2)
    for one in (known, known.metadata, known.targets):
        assert one is not None
        assert (len(one), one.indices.tolist()) == (2, part(rows, 0, 2).indices.tolist())
    assert known.unwanted is None
