"""Layers over sparse rows that predict in one compiled call, where they are packed (native/encoder.py)."""

from collections.abc import Sequence
from operator import is_not
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from recsys_vae.native.encoder import Encoder, Layer, Norm
from recsys_vae.native.products import Packed
from recsys_vae.nn.sparse_layers import Dense, SparseLinear, SparseRows
from recsys_vae.nn.steps import Step
from recsys_vae.protocols import Float32Array


class _Found(NamedTuple):
    """A step with what it names."""

    step: Step
    layer: SparseLinear | Dense
    norm: nn.LayerNorm | None

    @classmethod
    def of(cls, module: nn.Module, step: Step) -> "_Found":
        norm = None if step.norm is None else module.get_submodule(step.norm.name)
        return cls(step, module.get_submodule(step.layer), norm)  # type: ignore[arg-type]


class CompiledStack:
    """Steps of a module, the first a sparse layer; made ready with the first prediction, and again after a change."""

    def __init__(self, module: nn.Module, steps: Sequence[Step]) -> None:
        self._take([_Found.of(module, step) for step in steps])

    def _take(self, steps: Sequence[_Found]) -> None:
        self._steps = tuple(steps)
        self._encoder: Encoder | None = None
        self._table, self._packed = 0, list[Packed | None]()

    def __call__(self, rows: SparseRows) -> Tensor | None:
        """What the last layer makes of rows divided by their norms, shape (n, width); None where that is not compiled.

        That is where something learns, a layer is not packed, or metadata are inputs.
        """
        if torch.is_grad_enabled() or rows.sums is not None or not self._is_ready():
            return None
        assert self._encoder is not None
        arrays = (rows.indices.numpy(), rows.offsets.numpy(), rows.values.numpy())
        return torch.from_numpy(self._encoder(*arrays))

    def queries(self, histories: csr_array, values: Float32Array) -> Float32Array | None:
        """The same of histories with these values instead of their own, and a column of 1, shape (n, width + 1)."""
        encoder = self.ready()
        if encoder is None:
            return None
        indices, starts = (array.astype(np.int64, copy=False) for array in (histories.indices, histories.indptr))
        return encoder(indices, starts, values, ones=1)

    def ready(self) -> Encoder | None:
        """All steps as one call; None where there is none, see `__call__`."""
        return None if torch.is_grad_enabled() or not self._is_ready() else self._encoder

    def _is_ready(self) -> bool:
        first = self._steps[0].layer
        assert isinstance(first, SparseLinear)
        weight = first.weight
        if weight.device.type != "cpu" or weight.dtype != torch.float32:
            return False
        if not first.is_taken_over or any(getattr(first, name, None) is not None for name in ("of_user", "of_items")):
            return False  # not even for users without metadata: a query is the same beside any others
        packed = [step.layer.packed for step in self._steps[1:] if isinstance(step.layer, Dense)]
        if any(one is None for one in packed):
            return False
        if self._table != weight.data_ptr() or any(map(is_not, packed, self._packed)):
            self._encoder = Encoder([_layer(step) for step in self._steps])
            self._table, self._packed = weight.data_ptr(), packed
        return True

    def __getstate__(self) -> tuple[_Found, ...]:
        return self._steps

    def __setstate__(self, steps: tuple[_Found, ...]) -> None:
        self._take(steps)


def _layer(found: _Found) -> Layer:
    step, layer = found.step, found.layer
    packed = layer.packed if isinstance(layer, Dense) else None
    weight = layer.weight.detach().numpy() if packed is None else packed
    bias, norm = layer.bias.detach().numpy(), None if found.norm is None else _norm(found.norm)
    return Layer(weight, bias, step.activation, norm, step.adds_before, step.kept)


def _norm(norm: nn.LayerNorm) -> Norm:
    return Norm(norm.weight.detach().numpy(), norm.bias.detach().numpy(), norm.eps)
