"""Item tables whose rows are shared out among the processes of a group.

Each process holds a part of the first layer's and of the output layer's rows (`nn.item_parts`), and of their moments.
In a step it fetches the rows that its own leaves look at, a `Window`, computes with these, and gives their gradients
back. Who holds a row adds up what comes for it in the tree of the leaves, and moves it: the bits are those of a process
that holds all rows. What is fetched is in the order of the items, so that whoever computes with it takes the same path.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.errors import DataError
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.nn.inner_products import inner_products
from recsys_vae.nn.item_parts import ItemPart
from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows, rows_summed
from recsys_vae.protocols import Int64Array, TopK
from recsys_vae.top_k import mask, select
from recsys_vae.training.lazy_adam import LazyAdam
from recsys_vae.training.likelihood import first_layers
from recsys_vae.training.parallel import Group
from recsys_vae.training.rowwise_adam import RowwiseAdam
from recsys_vae.training.subtree import Gradients
from recsys_vae.training.tree_sum import rows_added_up

BLOCK = 1 << 15
"""Items whose rows every process holds at a time while lists are made; a multiple of any number of processes."""
USERS_AT_ONCE = 128
"""Users who are scored together on a block."""


@dataclass(frozen=True, eq=False)
class Route:
    """How some rows travel between the process that computes with them and those that hold them.

    Attributes:
        rows: of the tables, ascending, shape (m,).
        order: places in `rows`, those that the first process holds first, shape (m,).
        given, taken: how many of `rows` each process holds; how many it asks this one for.
        asked: those, as rows of this process's part, one process after the other.
    """

    group: Group
    rows: Tensor
    order: Tensor
    given: list[int]
    taken: list[int]
    asked: Tensor

    @classmethod
    def of(cls, rows: Tensor, group: Group) -> "Route":
        """Of rows, ascending; every process calls this at the same time."""
        if group.size == 1:
            return cls(group, rows, torch.arange(len(rows), device=rows.device), [len(rows)], [len(rows)], rows)
        holders = rows % group.size
        order = holders.argsort(stable=True)
        counts = torch.bincount(holders, minlength=group.size).cpu()
        once = [1] * group.size
        given, taken = counts.tolist(), group.hand_out(counts, once, once).tolist()
        return cls(group, rows, order, given, taken, group.hand_out(rows[order] // group.size, given, taken))

    def fetch(self, table: Tensor) -> Tensor:
        """The rows, from what each process holds of a table, shape (m, ...) float32."""
        if self.group.size == 1:
            return table[self.asked].float()
        came = self.group.hand_out(table[self.asked], self.taken, self.given)
        found = torch.empty_like(came, dtype=torch.float32)
        found[self.order] = came.float()
        return found

    def give_back(self, gradients: Tensor, n_rows: int) -> Tensor:
        """Sum of all processes' gradients of the rows that this one holds, sparse, shape (n_rows, ...).

        Args:
            gradients: of the rows, shape (m, ...).
            n_rows: of this process's part.
        """
        came = self.group.hand_out(gradients[self.order], self.given, self.taken)
        parts = list(zip(torch.split(self.asked, self.taken), torch.split(came, self.taken), strict=True))
        return rows_added_up(parts, torch.Size([n_rows, *gradients.shape[1:]]))


class Window:
    """The rows that this process computes with for now.

    Attributes:
        read: rows of the first layers.
        scored: rows of the output layer.
        tensors: the first layers' rows, shapes (m, width), and weight and bias of the output layer's.
        by_rows: whether the gradient of the bias is to be sparse, too.
    """

    def __init__(
        self,
        layers: Sequence[SparseLinear],
        output: nn.Linear,
        read: Route,
        scored: Route | None,
        *,
        by_rows: bool = False,
    ) -> None:
        self.read, self.scored, self.by_rows, self._output = read, scored, by_rows, output
        found = [read.fetch(layer.weight.detach()) for layer in layers]
        self._of_layer = dict(zip(map(id, layers), found, strict=True))
        if scored is not None:
            found += [scored.fetch(table.detach()) for table in (output.weight, output.bias)]
            found = [tensor.requires_grad_() for tensor in found]
        self.tensors, self._layers = found, layers

    def sums(self, layer: SparseLinear, rows: SparseRows) -> Tensor | None:
        """Weighted sums of a first layer's rows, shape (n, width); of another layer None."""
        weight = self._of_layer.get(id(layer))
        return None if weight is None else rows_summed(weight, rows.numbered(self.read.rows))

    def look_up(self, output: nn.Linear, items: Tensor) -> tuple[Tensor, Tensor]:
        """As `sampled_softmax.look_up`; the gradient of the weight is sparse."""
        assert output is self._output
        assert self.scored is not None
        places = torch.searchsorted(self.scored.rows, items)
        weight, bias = self.tensors[-2:]
        return functional.embedding(places, weight, sparse=True), bias[places]

    def give_back(self, gradients: Gradients) -> None:
        """Let the gradients of this process's parts be those of the whole batch, given those of `tensors`."""
        assert self.scored is not None
        *of_layers, of_weight, of_bias = gradients
        for layer, gradient in zip(self._layers, of_layers, strict=True):
            assert gradient is not None
            route = Route.of(self.read.rows[gradient.indices().squeeze(0)], self.read.group)
            layer.weight.grad = route.give_back(gradient.values(), len(layer.weight))
        assert of_weight is not None
        assert of_bias is not None
        both = torch.cat([of_weight.values(), of_bias.unsqueeze(1)], dim=1)
        weight, bias = self._output.weight, self._output.bias
        found = self.scored.give_back(both, len(weight))
        rows, values = found.indices(), found.values()
        weight.grad = torch.sparse_coo_tensor(
            rows, values[:, :-1].contiguous(), weight.shape, is_coalesced=True, check_invariants=False
        )
        if self.by_rows:
            own = values[:, -1].contiguous()
            bias.grad = torch.sparse_coo_tensor(rows, own, bias.shape, is_coalesced=True, check_invariants=False)
        else:
            bias.grad = torch.zeros_like(bias).index_copy_(0, rows.squeeze(0), values[:, -1])


class ItemShards:
    """The item tables of a model, of which this process holds its part.

    Args:
        model: made under `item_parts.item_tables_of`.
        group: the processes.
    """

    def __init__(self, model: Autoencoder, group: Group) -> None:
        self._layers, self._output, self._group = first_layers(model), model.output, group
        self.part, self.n_items = ItemPart(group.rank, group.size), model.n_items
        if any(len(table) != self.part.length(self.n_items) for table in self.tables[:-1]):
            raise DataError("The model holds other rows than its process is to: make it under `item_tables_of`.")

    @property
    def tables(self) -> list[Tensor]:
        """The parts: of the first layers, and of the output layer's weight and bias, the last one filled up."""
        return [*(layer.weight for layer in self._layers), self._output.weight, self._output.bias]

    def window(self, read: Tensor, scored: Tensor, optimizer: LazyAdam) -> Window:
        """The rows of a step, those of the first layers up to date; every process calls this at the same time.

        Args:
            read: rows of the first layers; some may be repeated.
            scored: rows of the output layer, likewise.
        """
        route = Route.of(torch.unique(read), self._group)
        for layer in self._layers:
            optimizer.catch_up_rows(layer.weight, route.asked)
        by_rows = isinstance(optimizer, RowwiseAdam)
        scored_by = Route.of(torch.unique(scored), self._group)
        return Window(self._layers, self._output, route, scored_by, by_rows=by_rows)

    def reading(self, histories: csr_array) -> Window:
        """The rows of the first layers that histories, shape (n, n_items), hold, to predict with."""
        read = torch.from_numpy(np.unique(histories.indices).astype(np.int64)).to(self._output.weight.device)
        return Window(self._layers, self._output, Route.of(read, self._group), None)

    @torch.inference_mode()
    def ranked(self, hidden: Sequence[Tensor], excluded: Sequence[csr_array], k: int) -> list[Int64Array]:
        """Lists of the k best items, made block by block of the items, ties by item row; -1 at the end.

        Args:
            hidden: inputs of the output layer, of some users each, shapes (n, width); as many in every process or not.
            excluded: what is in no list of theirs, shapes (n, n_items).
            k: at most n_items.

        Raises:
            DataError: scores hold NaN.
        """
        lists = [_Lists(some, hides, k) for some, hides in zip(hidden, excluded, strict=True)]
        for start in range(0, self.n_items, BLOCK):
            weight, bias = self._block(start)
            for some in lists:
                some.look_at(weight, bias, start)
        return [some.rows for some in lists]

    def _block(self, start: int) -> tuple[Tensor, Tensor]:
        """Weight and bias of a block of the output layer's rows, gathered from all processes."""
        size = self._group.size
        n_rows = min(BLOCK, self.n_items - start)
        first, each = start // size, -(-n_rows // size)
        own = self._output.weight[first : first + each]
        rows = own.new_zeros(each, own.shape[1] + 1, dtype=torch.float32)
        rows[: len(own), :-1], rows[: len(own), -1] = own, self._output.bias[first : first + len(own)]
        whole = self._group.gather(rows).transpose(0, 1).reshape(each * size, -1)[:n_rows]
        return whole[:, :-1].contiguous(), whole[:, -1].contiguous()


class _Lists:
    """The best items so far of some users.

    Attributes:
        rows, scores: of them, best first, shape (n, at most k).
    """

    def __init__(self, hidden: Tensor, excluded: csr_array, k: int) -> None:
        self._hidden, self._excluded, self._k = hidden, excluded.tocsc(), k
        self.scores = np.empty((len(hidden), 0), np.float32)
        self.rows: Int64Array = np.empty((len(hidden), 0), np.int64)

    def look_at(self, weight: Tensor, bias: Tensor, start: int) -> None:
        """Go on with the items from row `start` on, later than all before, given their rows of the output layer."""
        excluded = csr_array(self._excluded[:, start : start + len(weight)])
        length = min(self._k, self.scores.shape[1] + len(weight))
        found = TopK(np.empty((len(self.rows), length), np.int64), np.empty((len(self.rows), length), np.float32))
        for first in range(0, len(self.rows), USERS_AT_ONCE):
            some = slice(first, first + USERS_AT_ONCE)
            scores = inner_products(self._hidden[some], weight, bias).cpu().numpy()
            if np.isnan(scores).any():
                raise DataError("The model's scores hold NaN: its training has diverged. Lower the learning rate.")
            mask(scores, excluded=excluded[some])
            best = select(np.concatenate([self.scores[some], scores], axis=1), length)  # ties: the earlier item
            numbers = np.broadcast_to(np.arange(start, start + len(weight)), scores.shape)
            places = best.rows.clip(min=0)
            rows = np.take_along_axis(np.concatenate([self.rows[some], numbers], axis=1), places, axis=1)
            found.scores[some], found.rows[some] = best.scores, np.where(best.rows < 0, -1, rows)
        self.scores, self.rows = found.scores, found.rows
