"""Layers over sparse rows, for prediction, in one compiled call (encoder.cpp).

Layer by layer, small batches pay more for the calls than for what these compute.
"""

import ctypes
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from recsys_vae.native.library import loaded, threads
from recsys_vae.native.products import Packed
from recsys_vae.native.top_k import address
from recsys_vae.protocols import Float32Array, Int64Array

Activation = Literal["none", "silu", "tanh"]
ACTIVATIONS: Final[tuple[Activation, ...]] = ("none", "silu", "tanh")


class Norm(NamedTuple):
    """A layer normalisation: gain and shift, shapes (width,), and what is added to the variance."""

    gain: Float32Array
    shift: Float32Array
    epsilon: float


class Layer(NamedTuple):
    """One layer.

    Attributes:
        weight: shape (n_items, width) of the first layer, of the others packed.
        bias: shape (width,).
        activation: of what the layer has computed.
        norm: of the activations; None for none.
        adds_before: whether what all layers before have found is added, before the activation.
        kept: columns, from the first on, that the next layer sees; all when None.
    """

    weight: Float32Array | Packed
    bias: Float32Array
    activation: Activation = "none"
    norm: Norm | None = None
    adds_before: bool = False
    kept: int | None = None


class _Layer(ctypes.Structure):
    """A layer as encoder.cpp has it."""

    _fields_ = (
        ("packed", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("gain", ctypes.c_void_p),
        ("shift", ctypes.c_void_p),
        ("made", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("epsilon", ctypes.c_float),
        ("activation", ctypes.c_int32),
        ("adds_before", ctypes.c_int32),
    )


class Encoder:
    """Layers one after the other; their arrays are read where they lie, whenever rows are encoded."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._kept_alive = layers = tuple(layers)
        table = layers[0].weight
        assert isinstance(table, np.ndarray)
        self._layers = (_Layer * len(layers))(*map(_described, layers))
        self._table, self._width = address(table), self._layers[-1].width

    @property
    def width(self) -> int:
        """Of what the last layer makes."""
        return int(self._width)

    def arguments(self) -> tuple[ctypes.c_void_p, ctypes.c_void_p, int]:
        """The table, the layers and their number, as other compiled code takes them; valid as long as this is."""
        return self._table, ctypes.cast(self._layers, ctypes.c_void_p), len(self._layers)

    def __call__(self, indices: Int64Array, starts: Int64Array, values: Float32Array, ones: int = 0) -> Float32Array:
        """What the last layer makes of rows, each divided by its Euclidean norm, shape (n, width + ones).

        Args:
            indices: columns of the entries of all rows, one row after the other, shape (nnz,).
            starts: where each row starts, and the end of the last, shape (n + 1,).
            values: of the entries, shape (nnz,).
            ones: columns of 1 that follow.
        """
        found = np.empty((len(starts) - 1, self._width + ones), dtype=np.float32)
        found[:, self._width :] = 1.0
        loaded().recsys_encode(
            address(indices),
            address(starts),
            address(values),
            ctypes.c_int64(len(found)),
            self._table,
            self._layers,
            ctypes.c_int64(len(self._layers)),
            address(found),
            ctypes.c_int64(self._width + ones),
            ctypes.c_int(threads()),
        )
        return found


def _described(layer: Layer) -> _Layer:
    packed = layer.weight.panels if isinstance(layer.weight, Packed) else None
    made = len(layer.bias)
    gain, shift, epsilon = layer.norm or (None, None, 0.0)
    return _Layer(
        *(address(array) for array in (packed, layer.bias, gain, shift)),
        made,
        made if layer.kept is None else layer.kept,
        epsilon,
        ACTIVATIONS.index(layer.activation),
        layer.adds_before,
    )
