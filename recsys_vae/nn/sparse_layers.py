"""Sparse rows and the layer that takes them: no dense (batch, items) input is ever built."""

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.native import products
from recsys_vae.native.products import Packed
from recsys_vae.nn.inner_products import inner_products
from recsys_vae.nn.item_parts import ItemPart, current_part, draw_part, padded, pass_over


class Sums(Protocol):
    """Computes weighted sums in a layer's place, so that its weight's gradient can be asked for otherwise."""

    def __call__(self, layer: "SparseLinear", rows: "SparseRows") -> Tensor | None:
        """Sums, shape (n, width); None where the layer is to compute them itself."""
        ...


@dataclass(frozen=True)
class SparseRows:
    """A batch of histories as torch tensors, in CSR layout.

    Attributes:
        indices: item rows of all histories, one after the other, shape (nnz,) int64.
        offsets: where each history starts, and the end of the last, shape (n + 1,) int64.
        values: weights, shape (nnz,) float32.
        metadata: what else is known of the same users, in columns of a `metadata.Schema`; None where nothing is.
        targets: what is to be predicted of the same users, where that is not what they are shown.
        unwanted: what they dislike, values how much it counts, where that is to be predicted, too.
        sums: what computes the weighted sums of these rows; the layer itself when None.
    """

    indices: Tensor
    offsets: Tensor
    values: Tensor
    metadata: "SparseRows | None" = None
    targets: "SparseRows | None" = None
    unwanted: "SparseRows | None" = None
    sums: Sums | None = None

    @classmethod
    def from_csr(
        cls, matrix: csr_array, device: torch.device | str = "cpu", metadata: csr_array | None = None
    ) -> "SparseRows":
        """Copy a `csr_array`, shape (n, n_items), to a device; metadata with as many rows go with it."""
        return cls(
            torch.from_numpy(matrix.indices.astype(np.int64)).to(device),
            torch.from_numpy(matrix.indptr.astype(np.int64)).to(device),
            torch.from_numpy(np.array(matrix.data, dtype=np.float32)).to(device),
            None if metadata is None else cls.from_csr(metadata, device),
        )

    @classmethod
    def empty(cls, n: int, device: torch.device | str = "cpu") -> "SparseRows":
        """n rows without entries."""
        nothing = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(nothing, torch.zeros(n + 1, dtype=torch.int64, device=device), nothing.float())

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def wanted(self) -> "SparseRows":
        """What is to be predicted: the targets, or these rows."""
        return self if self.targets is None else self.targets

    def row_numbers(self) -> Tensor:
        """Row of each entry, shape (nnz,) int64."""
        if len(self) == 1:
            return torch.zeros_like(self.indices)
        return torch.repeat_interleave(torch.arange(len(self), device=self.offsets.device), self.offsets.diff())

    def first(self, n: int) -> "SparseRows":
        """The first n rows, with all that is known of them."""
        end, others = int(self.offsets[n]), (self.metadata, self.targets, self.unwanted)
        metadata, targets, unwanted = (None if one is None else one.first(n) for one in others)
        return SparseRows(self.indices[:end], self.offsets[: n + 1], self.values[:end], metadata, targets, unwanted)

    def lengths(self) -> Tensor:
        """Number of entries of each row, shape (n,) int64."""
        return self.offsets.diff()

    def only(self, chosen: Tensor) -> "SparseRows":
        """Only some of the entries; `chosen` is one flag an entry."""
        before = functional.pad(chosen.to(torch.int64).cumsum(0), (1, 0))
        return replace(self, indices=self.indices[chosen], offsets=before[self.offsets], values=self.values[chosen])

    def row_sums(self, values: Tensor) -> Tensor:
        """Sum one value an entry over each row, shape (n,)."""
        return values.new_zeros(len(self)).index_add_(0, self.row_numbers(), values)

    def binarised(self) -> "SparseRows":
        """Every weight 1."""
        return replace(self, values=torch.ones_like(self.values))

    def l2_normalised(self) -> "SparseRows":
        """Each row divided by its Euclidean norm; empty rows stay empty."""
        rows = self.row_numbers()
        norms = self.values.new_zeros(len(self)).index_add_(0, rows, self.values.square()).sqrt()
        return replace(self, values=self.values / norms[rows])

    def transposed(self) -> tuple[Tensor, "SparseRows"]:
        """The items that occur, ascending, shape (m,), and for each of them the rows that hold it, m rows."""
        columns, order = self.indices.sort(stable=True)
        items, counts = torch.unique_consecutive(columns, return_counts=True)
        offsets = functional.pad(counts.cumsum(0), (1, 0))
        return items, SparseRows(self.row_numbers()[order], offsets, self.values[order])

    def through(self, table: "SparseRows") -> "SparseRows":
        """These rows times a table that has a row for each of their columns: entries of one column are not added up."""
        starts, lengths = table.offsets[self.indices], table.lengths()[self.indices]
        ends = functional.pad(lengths.cumsum(0), (1, 0))
        places = torch.repeat_interleave(starts - ends[:-1], lengths)
        places += torch.arange(len(places), device=places.device)
        values = table.values[places] * torch.repeat_interleave(self.values, lengths)
        return SparseRows(table.indices[places], ends[self.offsets], values)

    def numbered(self, columns: Tensor) -> "SparseRows":
        """The same entries, their columns numbered by their places among some, ascending, that hold all of them."""
        return SparseRows(torch.searchsorted(columns, self.indices), self.offsets, self.values)

    def dropped(self, rate: float, generator: torch.Generator | None) -> "SparseRows":
        """Inverted dropout of entries: each is removed with probability `rate`, the rest divided by 1 - rate."""
        if not rate:
            return self
        kept = self.only(self.survivors(rate, generator))
        return replace(kept, values=kept.values / (1.0 - rate))

    def survivors(self, rate: float, generator: torch.Generator | None) -> Tensor:
        """One flag an entry, shape (nnz,): False with probability `rate`."""
        return torch.empty_like(self.values).bernoulli_(1.0 - rate, generator=generator).bool()


class SparseLinear(nn.Module):
    """A linear layer on sparse rows: a weighted sum of embeddings, one an item, plus a bias.

    Equals `nn.Linear(n_items, width)` on the dense rows, at the cost of the non-zeros alone.

    Attributes:
        n_items: rows of the weight, of which this process may hold a part only (`item_parts`).
        sparse_gradient: whether the gradient of the weight names only the rows that were used; for huge catalogues.
        is_taken_over: whether the weight was taken over, and nothing has learned since.
    """

    sparse_gradient = False
    is_taken_over = False

    def __init__(self, n_items: int, width: int) -> None:
        super().__init__()
        self.n_items = n_items
        part = current_part()
        n_rows, dtype = (n_items, None) if part is None else (part.length(n_items), part.dtype)
        self.weight = nn.Parameter(torch.empty(n_rows, width, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(width))
        if part is None:
            self.reset_parameters()
        else:
            draw_part(part, self.weight.data, n_items, _glorot_bound(n_items, width))
            _small(self.bias)

    def reset_parameters(self) -> None:
        """Draw Glorot-uniform weights and a small normal bias, as Liang et al. do."""
        glorot(self.weight, self.bias)

    def forward(self, rows: SparseRows) -> Tensor:
        """Shape (n, width)."""
        if torch.is_grad_enabled():
            self.is_taken_over = False
        if rows.sums is not None and (deferred := rows.sums(self, rows)) is not None:
            return deferred + self.bias
        if not self.sparse_gradient:
            return weighted_sums(self.weight, rows) + self.bias
        return rows_summed(self.weight, rows) + self.bias


class _WeightedSums(torch.autograd.Function):
    """Weighted sums of a matrix's rows, whose gradient names each row once: torch's own names it once an entry."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, rows: SparseRows) -> Tensor:
        ctx.rows, ctx.shape = rows, weight.shape
        return weighted_sums(weight, rows)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        items, transposed = ctx.rows.transposed()
        gradient = weighted_sums(upstream.contiguous(), transposed)
        return torch.sparse_coo_tensor(items.unsqueeze(0), gradient, ctx.shape, check_invariants=False), None


def rows_summed(weight: Tensor, rows: SparseRows) -> Tensor:
    """As `weighted_sums`, with a gradient that is sparse."""
    summed: Tensor = _WeightedSums.apply(weight, rows)  # type: ignore[no-untyped-call]
    return summed


def weighted_sums(weight: Tensor, rows: SparseRows) -> Tensor:
    """Rows of a matrix, shape (n_columns, width), added up as sparse rows weigh them, shape (n, width)."""
    return functional.embedding_bag(
        rows.indices,
        weight,
        rows.offsets,
        mode="sum",
        per_sample_weights=rows.values,
        include_last_offset=True,
    )


def glorot(weight: Tensor, bias: Tensor) -> None:
    """Glorot-uniform weights, and biases from a normal of deviation 0.001 truncated at two deviations."""
    bound = _glorot_bound(*weight.shape)
    nn.init.uniform_(weight, -bound, bound)
    _small(bias)


def _glorot_bound(*widths: int) -> float:
    return math.sqrt(6.0 / sum(widths))


def _small(bias: Tensor) -> None:
    nn.init.trunc_normal_(bias, std=0.001, a=-0.002, b=0.002)


class Dense(nn.Linear):
    """A dense layer that predicts as fast as a processor allows: by compiled loops, on a CPU, once it is packed.

    Then a row is predicted alike alone and in any batch. Whoever learns, or takes over weights, is packed no longer:
    optimizers change weights in ways that nobody is told of.
    """

    _packed: Packed | None = None

    @property
    def packed(self) -> Packed | None:
        """The weight as the loops read it; None where nobody has packed it, or something has learned since."""
        return self._packed

    def pack(self) -> None:
        """Copy the weight into the order in which the loops read it."""
        if self.weight.device.type == "cpu" and self.weight.dtype == torch.float32 and products.suits():
            self._packed = Packed.of(self.weight.detach().numpy())

    def forward(self, rows: Tensor) -> Tensor:
        """Shape (..., width_out)."""
        if torch.is_grad_enabled():
            self._packed = None
        if torch.is_grad_enabled() or rows.dtype != torch.float32:
            return super().forward(rows)
        if self._packed is not None and rows.device.type == "cpu":
            lines = rows.detach().reshape(-1, self.in_features).numpy()
            found = self._packed.times(lines, self.bias.detach().numpy())
            return torch.from_numpy(found).view(*rows.shape[:-1], self.out_features)
        return super().forward(rows) if len(rows) < 2 else inner_products(rows, self.weight, self.bias)

    def _load_from_state_dict(self, *arguments: Any, **options: Any) -> None:
        self._packed = None
        super()._load_from_state_dict(*arguments, **options)


def silu(x: Tensor) -> Tensor:
    """x / (1 + e^-x), of the shape of x; a row alike alone and in any batch where it is predicted.

    torch's own computes the last numbers of all rows together in another way than the others.
    """
    return functional.silu(x) if torch.is_grad_enabled() else x / x.neg().exp_().add_(1)


def linear(width_in: int, width_out: int) -> Dense:
    """A dense layer with the same initialisation."""
    layer = Dense(width_in, width_out)
    glorot(layer.weight.data, layer.bias.data)
    return layer


def output_layer(width: int, n_items: int) -> Dense:
    """The same, over all items; where tables are made in parts, of one part of these, the bias filled up."""
    part = current_part()
    return linear(width, n_items) if part is None else _part_of_output(part, width, n_items)


def _part_of_output(part: ItemPart, width: int, n_items: int) -> Dense:
    layer: Dense = nn.utils.skip_init(Dense, width, part.length(n_items), dtype=part.dtype)  # type: ignore[no-untyped-call]
    pass_over(n_items * width + n_items)  # what a linear layer draws before it is drawn as Liang et al. do
    draw_part(part, layer.weight.data, n_items, _glorot_bound(n_items, width))
    bias = torch.empty(n_items)
    _small(bias)
    layer.bias.data = padded(part.of(bias))
    return layer
