"""Sequences as tensors: histories in windows of a bounded length, and windows in groups of like length.

Every item of a history is asked for once: what comes before it in its window is the input, a start token for the first
item of a history. A history that is longer than a window is cut into several, from its end.

Groups are padded on the right, where causal attention and recurrent layers do not look: no mask is needed, and what
they make of the padding is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_vae.nn.sparse_layers import SparseRows

START = -1
"""Input before the first item of a history."""
WASTE = 0.1
"""Share of a group that may be padding."""


@dataclass(frozen=True)
class Windows:
    """Stretches of inputs.

    Attributes:
        inputs: item rows of all histories one after the other, each after a START, shape (n_inputs,).
        begins: where each window begins, shape (n_windows,).
        lengths: of each window, at least 1, shape (n_windows,).
    """

    inputs: Tensor
    begins: Tensor
    lengths: Tensor

    def groups(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Windows of like length together: their numbers, places in `inputs`, and which of these are no padding.

        Shapes (m,), (m, longest) and (m, longest). Every window is in one group.
        """
        order = self.lengths.argsort(descending=True, stable=True)
        for numbers in torch.split(order, _sizes(self.lengths[order])):
            begins, lengths = self.begins[numbers], self.lengths[numbers]
            steps = torch.arange(int(lengths[0]), device=begins.device)
            places = (begins[:, None] + steps).clamp(max=len(self.inputs) - 1)
            yield numbers, places, steps < lengths[:, None]


def _sizes(lengths: Tensor) -> list[int]:
    """Windows of each group, of lengths that fall, so that little of a group is padding."""
    sizes, real, longest = [0], 0, 0
    for length in lengths.tolist():
        longest = longest or length
        if real + length < (1 - WASTE) * longest * (sizes[-1] + 1):
            sizes.append(0)
            real, longest = 0, length
        sizes[-1] += 1
        real += length
    return sizes


def to_learn(rows: SparseRows, length: int) -> tuple[Windows, Tensor]:
    """Windows over all but the last item of each history, and the item that follows each input.

    Args:
        rows: in the order of time.
        length: of the longest window.

    Returns:
        Windows, and targets, shape (n_inputs,): -1 at inputs that are in no window, the last of each history.
    """
    inputs = _with_starts(rows)
    targets = torch.full_like(inputs, -1)
    is_item = inputs != START
    targets[:-1][is_item[1:]] = inputs[is_item]
    counts = rows.lengths()
    pieces = (counts + length - 1) // length
    owners = torch.repeat_interleave(torch.arange(len(rows), device=counts.device), pieces)
    firsts = torch.cumsum(pieces, 0) - pieces
    number = torch.arange(len(owners), device=counts.device) - firsts[owners]
    starts = rows.offsets[:-1] + torch.arange(len(rows), device=counts.device)
    ends = counts[owners] - number * length
    begins = (ends - length).clamp(min=0)
    return Windows(inputs, starts[owners] + begins, ends - begins), targets


def to_ask(rows: SparseRows, length: int) -> Windows:
    """One window a history, its latest inputs; of an empty history, START alone."""
    counts = rows.lengths() + 1
    lengths = counts.clamp(max=length)
    ends = torch.cumsum(counts, 0)
    return Windows(_with_starts(rows), ends - lengths, lengths)


def _with_starts(rows: SparseRows) -> Tensor:
    inputs = rows.indices.new_full((len(rows.indices) + len(rows),), START)
    places = torch.arange(len(rows.indices), device=rows.indices.device) + rows.row_numbers() + 1
    inputs[places] = rows.indices
    return inputs


def next_items(inputs: Tensor, places: Tensor, ahead: int) -> SparseRows:
    """The items after some inputs, at most so many each, of the same history; one row a place.

    Args:
        inputs: of `Windows`.
        places: of inputs that an item follows, shape (n,).
        ahead: items a row, at least 1.
    """
    steps = places[:, None] + torch.arange(1, ahead + 1, device=inputs.device)
    items = inputs[steps.clamp(max=len(inputs) - 1)]
    follows = ((steps < len(inputs)) & (items != START)).cumprod(dim=1).bool()
    offsets = torch.cat([places.new_zeros(1), follows.sum(dim=1).cumsum(0)])
    found = items[follows]
    return SparseRows(found, offsets, torch.ones(len(found), device=inputs.device))


def one_target_each(items: Tensor) -> SparseRows:
    """Rows of one item each, shape (n, n_items)."""
    offsets = torch.arange(len(items) + 1, device=items.device)
    return SparseRows(items, offsets, torch.ones(len(items), device=items.device))
