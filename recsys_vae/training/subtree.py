"""A subtree of leaves: their losses, and their gradients added up, by one thread.

Where the likelihood is one that is compiled, it is computed for all of them at once (`nn.joint_softmax`), and so are
the gradients of layers on sparse rows (`nn.joint_sums`): the bits are those of one leaf after the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from recsys_vae.nn.joint_softmax import Deferred, is_deferrable, joint_nll
from recsys_vae.nn.joint_sums import DeferredSums, joint_gradient
from recsys_vae.nn.objective import Likelihood, Loss
from recsys_vae.nn.sparse_layers import Sums

Gradients: TypeAlias = list[Tensor | None]
"""One a parameter; None where there is none for it."""
LeafLoss: TypeAlias = Callable[[Likelihood, Sums | None], tuple[float, Loss]]
"""Computes a leaf with a likelihood, and with the same noise each time: the share of the batch that it is, its loss."""


@dataclass(frozen=True, eq=False)
class Grown:
    """What came of a subtree.

    Attributes:
        gradients: sums over the leaves, of each parameter that learns, and then of those in `apart`.
        figures: loss, nll and KL of each leaf, times its share.
        apart: parameters whose gradients were computed for all leaves together, in part or whole.
    """

    gradients: Gradients
    figures: list[list[float]]
    apart: list[nn.Parameter]


def grow(some: Sequence[LeafLoss], learning: Sequence[Tensor], likelihood: Likelihood, *, joint: bool) -> Grown:
    """Losses and gradients of leaves, as many as a power of two.

    Args:
        learning: what gradients are asked of.
        joint: whether the likelihood may be computed for all of them together, see `may_join`.
    """
    if joint:
        deferred, sums = [Deferred(likelihood) for _ in some], [DeferredSums() for _ in some]
        losses = [compute(late, its) for compute, late, its in zip(some, deferred, sums, strict=True)]
        if all(one.nll is not None for one in deferred):
            return _joined(deferred, sums, losses, learning)
    if len(some) == 1:
        share, loss = some[0](likelihood, None)
        gradients = _own(torch.autograd.grad(share * loss.total, learning, allow_unused=True))
        return Grown(gradients, [_figures(share, loss)], [])
    half = len(some) // 2
    first, second = (grow(part, learning, likelihood, joint=False) for part in (some[:half], some[half:]))
    return Grown(list(map(add, first.gradients, second.gradients)), first.figures + second.figures, [])


def may_join(compute: LeafLoss, likelihood: Likelihood) -> bool:
    """Whether leaves like this one may be computed jointly: their loss is linear in the likelihood."""
    if not is_deferrable(likelihood):
        return False
    found = []
    for at in (0.0, 1.5):
        one = Deferred(likelihood, at)
        _, loss = compute(one, None)
        if one.nll is None:
            return False
        found.append(torch.autograd.grad(loss.total, one.nll, allow_unused=True)[0])
    return found[0] is not None and found[1] is not None and torch.equal(found[0], found[1])


def add(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Both together, in the place of the first."""
    if first is None or second is None:
        return second if first is None else first
    return (first + second).coalesce() if first.is_sparse else first.add_(second)


def _joined(
    deferred: Sequence[Deferred],
    asked: Sequence[DeferredSums],
    losses: Sequence[tuple[float, Loss]],
    learning: Sequence[Tensor],
) -> Grown:
    upstream: list[Tensor] = []
    answers = [one.nll for one in deferred if one.nll is not None]
    for answer, (share, loss) in zip(answers, losses, strict=True):
        upstream += torch.autograd.grad(share * loss.total, answer, retain_graph=True)
    joint = joint_nll(deferred, upstream)
    sums, figures, of_sums = _Sums(), [], []
    for number, (one, (share, loss)) in enumerate(zip(deferred, losses, strict=True)):
        outputs, causes = [share * loss.total], [torch.ones_like(loss.total)]
        if one.hidden.requires_grad:
            outputs, causes = [*outputs, one.hidden], [*causes, joint.hidden[number]]
        inputs = [*learning, *(call.sums for call in asked[number].calls)]
        found = torch.autograd.grad(outputs, inputs, causes, allow_unused=True)
        sums.take(_own(found[: len(learning)]))
        of_sums.append(found[len(learning) :])
        late = float(torch.dot(upstream[number], joint.nll[number]))
        total, nll, kl = _figures(share, loss)
        figures.append([total + late, nll + late, kl])
    layers = list(zip(*(one.calls for one in asked), strict=True))
    of_layers = [joint_gradient(calls, some) for calls, some in zip(layers, zip(*of_sums, strict=True), strict=True)]
    output = deferred[0].output
    apart = [output.weight, output.bias, *(calls[0].weight for calls in layers)]
    return Grown([*sums.total(), joint.weight, joint.bias, *of_layers], figures, apart)


def _figures(share: float, loss: Loss) -> list[float]:
    return [share * part.item() for part in (loss.total, loss.nll, loss.kl)]


class _Sums:
    """Gradients that come leaf by leaf, added up in a binary tree: no more of them are held than it is high."""

    def __init__(self) -> None:
        self._pending: list[Gradients] = []
        self._count = 0

    def take(self, gradients: Gradients) -> None:
        done = self._count
        while done & 1:
            gradients = list(map(add, self._pending.pop(), gradients))
            done >>= 1
        self._pending.append(gradients)
        self._count += 1

    def total(self) -> Gradients:
        (found,) = self._pending
        return found


def _own(gradients: Sequence[Tensor | None]) -> Gradients:
    """Gradients of one leaf, each in memory of its own, as it may not be where parameters are added up themselves."""
    taken: set[int] = set()
    found: Gradients = []
    for one in gradients:
        if one is None or one.is_sparse:
            found.append(None if one is None else _coalesced(one))
            continue
        place = one.untyped_storage().data_ptr()
        found.append(one.clone() if place in taken or not one.is_contiguous() else one)
        taken.add(place)
    return found


def _coalesced(gradient: Tensor) -> Tensor:
    """A sparse gradient that is known to name each row once, in their order; autograd forgets that it does."""
    rows = gradient._indices()
    if not bool((rows.squeeze(0).diff() > 0).all()):
        return gradient.coalesce()
    return torch.sparse_coo_tensor(rows, gradient._values(), gradient.shape, is_coalesced=True, check_invariants=False)
