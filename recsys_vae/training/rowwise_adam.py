"""RowwiseAdam: item tables with one moment a row, in bfloat16 if asked for; all other parameters as by AdamW.

A row i that a step t looks at, its gradient g of d numbers, moves by

    v_i <- b2^(t - s) v_i + (1 - b2) |g|^2 / d,    w_i <- w_i - lr g / (sqrt(v_i / (1 - b2^t)) + eps)

s being the step that it moved in before: Adam with b1 = 0, whose second moment is a row's mean. Rows that a step does
not look at stay as they are, so that nothing is to be caught up. Adam's learning rates suit it: a row that is seen
rarely is carried as far in one step as Adam's first moment carries it in the steps that follow.

Tables in bfloat16 are rounded stochastically: up with the probability that makes the mean exact, or steps below half a
place, a 512th of the weight, would be lost. The random bits come of seed, table, step, item and column, by SplitMix64,
so that they do not depend on the workers. On a CPU rows are moved by compiled code (recsys_vae/native/rowwise.cpp)
where it is compiled, else by torch.

Source: Mudigere et al., Software-Hardware Co-design for Fast and Scalable Training of Deep Learning Recommendation
Models (ISCA 2022), section 4.1 (row-wise moments); Gupta et al., Deep Learning with Limited Numerical Precision (ICML
2015), section 3 (stochastic rounding); Steele et al., Fast Splittable Pseudorandom Number Generators (OOPSLA 2014).
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_vae.errors import UnavailableError
from recsys_vae.native import rowwise
from recsys_vae.native.rowwise import RowsStep, RowwiseRows
from recsys_vae.nn.item_parts import ItemPart
from recsys_vae.training.lazy_adam import LazyAdam, entries

GOLDEN: Final = 0x9E3779B97F4A7C15
MASK: Final = (1 << 64) - 1


class RowwiseAdam(LazyAdam):
    """Moves by rows what has sparse gradients, and the rest as AdamW does.

    Args:
        params: to be learned.
        lr: learning rate.
        seed: of the rounding.
        part: of the item tables that this process holds.

    Raises:
        UnavailableError: there are tables in bfloat16, and torch cannot give them gradients of float32.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        *,
        seed: int,
        part: ItemPart,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps)
        self._part = part
        self._keys: dict[nn.Parameter, int] = {}
        for number, parameter in enumerate(one for group in self.param_groups for one in group["params"]):
            self._keys[parameter] = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
            if parameter.dtype == torch.bfloat16:
                _take_float32(parameter)

    def catch_up(self) -> None:
        """Rows that no step looks at miss nothing."""

    def catch_up_rows(self, parameter: nn.Parameter, rows: Tensor) -> None:
        """Likewise."""

    def _step_rows(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg_sq"] = torch.zeros(len(parameter), device=parameter.device)
            state["last"] = torch.zeros(len(parameter), device=parameter.device)
        state["step"] += 1
        rows, values = entries(parameter.grad)
        step, beta = int(state["step"]), group["betas"][1]
        weight = parameter.detach().view(len(parameter), -1)
        move = RowsStep(
            rows.contiguous(),
            values.reshape(len(rows), weight.shape[1]).contiguous(),
            step,
            beta,
            rate=group["lr"],
            correction=(1 - beta**step) ** -0.5,
            epsilon=group["eps"],
            noise=(mix(self._keys[parameter] + step * GOLDEN), self._part.rank, self._part.size),
        )
        table = RowwiseRows(weight, state["exp_avg_sq"], state["last"])
        if rowwise.suits(weight):
            table.step(move)
        else:
            _step(table, move)


def _take_float32(parameter: nn.Parameter) -> None:
    if not hasattr(parameter, "grad_dtype"):
        raise UnavailableError(
            f"Item tables in bfloat16 need torch 2.10 or newer, this is {torch.__version__}. Install it, or train with "
            "table_precision=float32."
        )
    parameter.grad_dtype = torch.float32


def _step(table: RowwiseRows, move: RowsStep) -> None:
    """As `RowwiseRows.step`."""
    rows, gradients = move.rows, move.gradients
    kept = torch.pow(move.beta, (move.step - table.last[rows]).double()).float()
    second = kept * table.second[rows] + (1 - move.beta) * gradients.square().mean(dim=1)
    table.second[rows], table.last[rows] = second, float(move.step)
    rates = move.rate / (second.sqrt() * move.correction + move.epsilon)
    moved = table.weight[rows].float() - rates.unsqueeze(1) * gradients
    if table.weight.dtype == torch.bfloat16:
        moved = rounded(moved, random_bits(rows, moved.shape[1], move.noise))
    table.weight[rows] = moved.to(table.weight.dtype)


def rounded(numbers: Tensor, bits: Tensor) -> Tensor:
    """Float32 numbers rounded to bfloat16, away from 0 with the probability that makes the mean exact.

    Args:
        bits: random, 0 to 65535, int32, of the shape of the numbers.
    """
    whole = numbers.view(torch.int32)
    added = torch.where(numbers.isfinite(), bits, 0)
    return ((whole + added) & -0x10000).view(torch.float32).bfloat16()


def random_bits(rows: Tensor, width: int, noise: tuple[int, int, int]) -> Tensor:
    """Random numbers from 0 to 65535 for rows of a part, shape (m,), and all their columns; shape (m, width) int32."""
    key, rank, size = noise
    items = (rows.cpu().numpy() * size + rank).astype(np.uint64)
    starts = _mixed(np.uint64(key) + items * np.uint64(GOLDEN))
    words = _mixed(starts[:, None] + np.arange(1, -(-width // 4) + 1, dtype=np.uint64) * np.uint64(GOLDEN))
    bits = words.astype("<u8").view("<u2")[:, :width].astype(np.int32)
    return torch.from_numpy(bits).to(rows.device)


def mix(number: int) -> int:
    """SplitMix64's output function, of 64 bits."""
    return int(_mixed(np.array([number & MASK], np.uint64))[0])


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    found: NDArray[np.uint64] = numbers ^ (numbers >> np.uint64(31))
    return found
