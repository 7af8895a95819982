"""AdamW on some rows of a matrix, compiled (adam.cpp)."""

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_vae.native.library import library, loaded, threads
from recsys_vae.native.multinomial import address


def suits(weight: Tensor) -> bool:
    """Whether rows of it are to be moved here; libraries of earlier sources do it in two passes."""
    is_plain = weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.is_contiguous()
    return is_plain and hasattr(library(), "recsys_adam_late_step")


@dataclass(frozen=True, eq=False)
class AdamRows:
    """A matrix and its moments, changed in place.

    Attributes:
        weight, first, second: shape (n, d) float32.
        last: step at which each row stands, shape (n,) float32.
    """

    weight: Tensor
    first: Tensor
    second: Tensor
    last: Tensor

    def catch_up(self, rows: Tensor, step: int, missed: Tensor) -> None:
        """Bring rows up to a step.

        Args:
            rows: shape (m,) int64, may repeat.
            step: which.
            missed: what being idle for 0, 1, ... steps comes to, shape (steps, 5) float32, see `LazyAdam`.
        """
        loaded().recsys_adam_catch_up(
            *self._arguments(rows), ctypes.c_int64(step), address(missed), ctypes.c_int(threads())
        )

    def step(
        self,
        rows: Tensor,
        gradients: Tensor,
        step: int,
        missed: Tensor,
        *,
        betas: tuple[float, float],
        scalars: tuple[float, ...],
    ) -> None:
        """Move rows, each brought up to the step before at first.

        Args:
            rows: shape (m,) int64, all different.
            gradients: shape (m, d) float32.
            step: the one to take, from 1 on.
            missed: as for `catch_up`, up to the step before.
            betas: decay of the moments.
            scalars: rate, kept share of a weight, factor of sqrt(second), epsilon.
        """
        loaded().recsys_adam_late_step(
            *self._arguments(rows),
            address(gradients),
            ctypes.c_int64(step),
            address(missed),
            *(ctypes.c_float(value) for value in (*betas, *scalars)),
            ctypes.c_int(threads()),
        )

    def _arguments(self, rows: Tensor) -> list[ctypes.c_int64 | ctypes.c_void_p]:
        matrices = (self.weight, self.first, self.second, self.last)
        return [
            *(address(matrix) for matrix in matrices),
            ctypes.c_int64(self.weight.shape[1]),
            address(rows),
            ctypes.c_int64(len(rows)),
        ]
