"""The multinomial likelihood of a linear output layer, compiled (multinomial.cpp), for processors with AVX-512 BF16."""

import ctypes
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_vae.native.library import library, loaded, threads

LANES = 32
"""Users are padded to a multiple of it."""


def suits(hidden: Tensor, product_dtype: torch.dtype) -> bool:
    """Whether it is to be computed here: bfloat16 products on a processor that has them, by AMX where torch's are.

    Torch's products by AMX are several times faster than what is written out here for processors without.
    """
    if hidden.device.type != "cpu" or product_dtype != torch.bfloat16 or not len(hidden):
        return False
    compiled = library()
    if compiled is None or not _chunk(compiled):
        return False
    return hasattr(compiled, "recsys_multinomial_tiles") or not torch.cpu._is_amx_tile_supported()


@dataclass(frozen=True, eq=False)
class Multinomial:
    """A layer with its input and the entries of the targets.

    Attributes:
        hidden: shape (n, d) float32.
        weight, bias: shapes (n_items, d) and (n_items,) float32.
        rows, columns: of the entries, sorted by column, shape (nnz,) int64.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor
    rows: Tensor
    columns: Tensor

    def forward(self, *, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Logits of the entries, shape (nnz,), and of each row the logsumexp of its logits, shape (n,).

        And, for the way back, the maxima of chunks, and, if they are to be kept, the exponentials of all logits.
        """
        compiled = loaded()
        n, n_items = len(self.hidden), len(self.weight)
        padded = math.ceil(n / LANES) * LANES
        target_logits, normaliser = torch.empty(len(self.columns)), torch.empty(n)
        maxima = torch.empty(math.ceil(n_items / _chunk(compiled)), padded)
        exponentials = torch.empty(n_items, padded, dtype=torch.bfloat16) if keep else None
        compiled.recsys_multinomial_forward(
            *self._arguments(),
            *(address(tensor) for tensor in (target_logits, normaliser, maxima, exponentials)),
            ctypes.c_int(threads()),
        )
        return target_logits, normaliser, maxima, exponentials

    def backward(
        self,
        scale: Tensor,
        pulls: Tensor,
        normaliser: Tensor,
        maxima: Tensor,
        exponentials: Tensor | None,
        *,
        learns: bool,
        borders: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Gradients of hidden, and, if the layer learns, of weight and bias; all float32.

        Args:
            scale: gradient of each row's likelihood times its count, shape (n,).
            pulls: the same of each entry times its value, shape (nnz,).
            normaliser, maxima, exponentials: of `forward`.
            learns: whether the layer's own gradients are wanted.
            borders: where leaves of the rows begin, multiples of `LANES`, and the last one's end, shape (leaves + 1,)
                int64; the layer's gradients are then sums of the leaves' own, in a binary tree.
        """
        of_hidden = torch.empty_like(self.hidden)
        of_weight, of_bias = (torch.empty_like(p) if learns else None for p in (self.weight, self.bias))
        given = (scale.contiguous(), pulls.contiguous(), normaliser, maxima, exponentials)
        arguments = (*self._arguments(), *(address(tensor) for tensor in (*given, of_hidden, of_weight, of_bias)))
        leaves = (address(borders), ctypes.c_int64(1 if borders is None else len(borders) - 1))
        loaded().recsys_multinomial_backward_in_leaves(*arguments, *leaves, ctypes.c_int(threads()))
        return of_hidden, of_weight, of_bias

    def _arguments(self) -> list[ctypes.c_int64 | ctypes.c_void_p]:
        sizes = (*self.hidden.shape, len(self.weight))
        tensors = (self.hidden, self.weight, self.bias, self.rows, self.columns)
        return [
            *(ctypes.c_int64(size) for size in sizes),
            *(address(tensor) for tensor in tensors),
            ctypes.c_int64(len(self.columns)),
        ]


def address(tensor: Tensor | None) -> ctypes.c_void_p:
    """Pointer to a tensor's first element; null for None."""
    assert tensor is None or tensor.is_contiguous()
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def _chunk(compiled: ctypes.CDLL) -> int:
    """Items a chunk, 0 where the processor lacks what it takes."""
    compiled.recsys_multinomial_chunk.restype = ctypes.c_int64
    return int(compiled.recsys_multinomial_chunk())
