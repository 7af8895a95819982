"""Row-wise Adam on some rows of a matrix, compiled (rowwise.cpp)."""

import ctypes
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from recsys_vae.native.library import library, loaded, threads
from recsys_vae.native.multinomial import address


def suits(weight: Tensor) -> bool:
    """Whether rows of it are to be moved here; libraries of earlier sources do not know how."""
    is_plain = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.bfloat16)
    return is_plain and weight.is_contiguous() and hasattr(library(), "recsys_rowwise_step")


class RowsStep(NamedTuple):
    """How some rows are to move.

    Attributes:
        rows: shape (m,) int64, all different.
        gradients: shape (m, d) float32.
        step: the one to take, from 1 on.
        beta: decay of the moment, a step.
        rate: learning rate.
        correction: factor of sqrt(second).
        epsilon: added to that.
        noise: key of the step's random bits, then the part that these rows are: its number, and of how many.
    """

    rows: Tensor
    gradients: Tensor
    step: int
    beta: float
    rate: float
    correction: float
    epsilon: float
    noise: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class RowwiseRows:
    """A matrix and a moment for each of its rows, changed in place.

    Attributes:
        weight: shape (n, d), float32 or bfloat16.
        second: shape (n,) float32.
        last: step at which each row stands, shape (n,) float32.
    """

    weight: Tensor
    second: Tensor
    last: Tensor

    def step(self, move: RowsStep) -> None:
        """Move rows."""
        key, rank, size = move.noise
        loaded().recsys_rowwise_step(
            address(self.weight),
            ctypes.c_int(self.weight.dtype == torch.bfloat16),
            address(self.second),
            address(self.last),
            ctypes.c_int64(self.weight.shape[1]),
            address(move.rows),
            ctypes.c_int64(len(move.rows)),
            address(move.gradients),
            ctypes.c_int64(move.step),
            ctypes.c_double(move.beta),
            *(ctypes.c_float(value) for value in (move.rate, move.correction, move.epsilon)),
            ctypes.c_uint64(key),
            ctypes.c_int64(rank),
            ctypes.c_int64(size),
            ctypes.c_int(threads()),
        )
