"""Parts of item tables: of a layer over all items, a process may make only the rows that are its own.

Row i of a table is row i // size of part i % size, so that parts are alike however the items are ordered. What is drawn
for a part is what the whole table would hold there, and random numbers go on as if all of it had been drawn.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

DRAWN_AT_ONCE = 1 << 22
"""Numbers that are drawn at a time where most of them are not kept."""
ALIGNED = 16
"""Rows to a multiple of which a part of a bias is filled up: torch's fused Adam rounds the last few numbers of a tensor
in another way than those before, and which ones are last must not depend on the parts."""


@dataclass(frozen=True)
class ItemPart:
    """One of several parts of every item table.

    Attributes:
        rank: number of the part, from 0.
        size: number of parts.
        dtype: of its weights; biases are float32.
    """

    rank: int
    size: int
    dtype: torch.dtype = torch.float32

    def length(self, n_rows: int) -> int:
        """Rows of this part of a table of n_rows."""
        return len(range(self.rank, n_rows, self.size))

    def of(self, table: Tensor) -> Tensor:
        """Its rows of a whole table."""
        return table[self.rank :: self.size]


_CURRENT: ContextVar[ItemPart | None] = ContextVar("part of item tables", default=None)


def current_part() -> ItemPart | None:
    """Of which part item tables are made now; None where they are made whole."""
    return _CURRENT.get()


@contextmanager
def item_tables_of(part: ItemPart | None) -> Iterator[None]:
    """Make item tables of one part only, or whole as ever where it is None."""
    before = _CURRENT.set(part)
    try:
        yield
    finally:
        _CURRENT.reset(before)


def draw_part(part: ItemPart, kept: Tensor, n_rows: int, bound: float) -> None:
    """Fill a part, shape (length, width), of a table of n_rows that is drawn uniformly between -bound and bound."""
    width = kept.shape[1]
    at_once = max(1, DRAWN_AT_ONCE // width)
    for start in range(0, n_rows, at_once):
        drawn = torch.empty(min(at_once, n_rows - start), width).uniform_(-bound, bound)
        first = (part.rank - start) % part.size
        some = drawn[first :: part.size]
        place = (start + first) // part.size
        kept[place : place + len(some)] = some


def pass_over(n: int) -> None:
    """Let n uniform random numbers go by."""
    for start in range(0, n, DRAWN_AT_ONCE):
        torch.empty(min(DRAWN_AT_ONCE, n - start)).uniform_()


def padded(bias: Tensor) -> Tensor:
    """A part of a bias with zeros behind it, see `ALIGNED`."""
    filled = bias.new_zeros(-(-len(bias) // ALIGNED) * ALIGNED)
    filled[: len(bias)] = bias
    return filled
