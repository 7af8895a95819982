"""LazyAdam: AdamW that touches only those rows of a matrix that a sparse gradient names.

Dense Adam moves every row at every step: where the gradient is zero, the first moment m still decays by b1 and pushes
on. A row that was idle for k steps after step s has by then moved by

    lr * m / (sqrt(v) + eps sqrt(1 - b2^s)) * sum_{j=1..k} r^j c_{s+j}
    with r = b1 / sqrt(b2),  c_t = sqrt(1 - b2^t) / (1 - b1^t)

which is added in one go when its next gradient comes, or `catch_up` is called. Given the same gradients the result
equals that of dense Adam to rounding without weight decay, and with it to lr * weight_decay of the push. Whoever reads
a row in between finds it lagging by that decaying push, unless `catch_up_rows` was told before that it will be read.

On a CPU rows are moved by compiled code (recsys_vae/native/adam.cpp) where it is compiled, else by torch.

Source: Kingma & Ba, Adam (ICLR 2015), algorithm 1; Loshchilov & Hutter, Decoupled Weight Decay Regularization (2019).
"""

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from recsys_vae.native import adam
from recsys_vae.native.adam import AdamRows

ROWS_AT_ONCE = 1 << 16
"""Rows that `catch_up` moves together: copies of all rows of a huge table would double its memory."""


class LazyAdam(torch.optim.Optimizer):
    """AdamW for parameters with dense gradients, and row by row for those whose gradients are sparse.

    Args:
        params: to be learned.
        lr: learning rate.
        weight_decay: share of a weight, times the learning rate, that is taken off it each step.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step with the gradients that are there."""
        for group in self.param_groups:
            dense = []
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse:
                    self._step_rows(parameter, group)
                else:
                    dense.append(parameter)
            self._step_dense(dense, group)
        return None

    def step_apart(self, each: Callable[[Callable[[nn.Parameter], None], list[nn.Parameter]], object]) -> None:
        """Take the same step parameter by parameter.

        Args:
            each: calls a function with each of some parameters, in threads of its own if it likes.
        """
        groups = {parameter: group for group in self.param_groups for parameter in group["params"]}

        @torch.no_grad()
        def move(parameter: nn.Parameter) -> None:
            assert parameter.grad is not None
            if parameter.grad.is_sparse:
                self._step_rows(parameter, groups[parameter])
            else:
                self._step_dense([parameter], groups[parameter])

        each(move, [parameter for parameter in groups if parameter.grad is not None])

    @torch.no_grad()
    def catch_up(self) -> None:
        """Let every idle row make the moves that dense Adam would have made by now."""
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state.get(parameter, {})
                if "last" in state:
                    behind = (state["last"] < int(state["step"])).nonzero().squeeze(1)
                    for rows in behind.split(ROWS_AT_ONCE):
                        self._advance(parameter, rows, group)

    @torch.no_grad()
    def catch_up_rows(self, parameter: nn.Parameter, rows: Tensor) -> None:
        """Do the same for rows that are about to be read, shape (m,) int64; they may repeat."""
        if "last" in self.state.get(parameter, {}):
            (group,) = (group for group in self.param_groups if any(p is parameter for p in group["params"]))
            self._advance(parameter, rows, group)

    def _step_dense(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        if not parameters:
            return
        states = [self._state_of(parameter) for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if "last" in state:  # sparse so far: bring all rows here first
                self._advance(parameter, torch.arange(len(parameter), device=parameter.device), group)
                state["last"] += 1
        adamw(
            list(parameters),
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=parameters[0].device.type in ("cpu", "cuda"),
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _step_rows(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state = self._state_of(parameter)
        if "last" not in state:
            state["last"] = torch.full((len(parameter),), float(state["step"]), device=parameter.device)
        rows, values = entries(parameter.grad)
        missed = _missed_by(rows, state, group) if adam.suits(parameter) else None
        if missed is None:
            self._advance(parameter, rows, group)
        state["step"] += 1
        step, (beta1, beta2) = int(state["step"]), group["betas"]
        rate, kept = group["lr"] / (1 - beta1**step), 1 - group["lr"] * group["weight_decay"]
        correction = (1 - beta2**step) ** -0.5
        if missed is not None:
            scalars = (rate, kept, correction, group["eps"])
            given = (rows.contiguous(), values.contiguous(), step, missed)
            _rows_of(parameter, state).step(*given, betas=group["betas"], scalars=scalars)
            return
        first = state["exp_avg"][rows].lerp_(values, 1 - beta1)
        second = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(values, values, value=1 - beta2)
        state["exp_avg"][rows], state["exp_avg_sq"][rows], state["last"][rows] = first, second, float(step)
        denominator = second.sqrt_().mul_(correction).add_(group["eps"])
        parameter[rows] = parameter[rows].mul_(kept).addcdiv_(first, denominator, value=-rate)

    def _advance(self, parameter: nn.Parameter, rows: Tensor, group: dict[str, Any]) -> None:
        """Make up for the steps since each row's last one."""
        state = self.state[parameter]
        step, missed = int(state["step"]), _missed_by(rows, state, group)
        if adam.suits(parameter):
            _rows_of(parameter, state).catch_up(rows.contiguous(), step, missed)
            return
        rows = torch.unique(rows)
        rows = rows[state["last"][rows] < step]
        push, floor, kept, first_decay, second_decay = missed[step - state["last"][rows].long()].unsqueeze(2).unbind(1)
        first, second = state["exp_avg"][rows], state["exp_avg_sq"][rows]
        pushed = parameter[rows] - push * first / (second.sqrt() + floor).clamp(min=1e-30)
        parameter[rows] = pushed * kept  # the push comes first, most of the decay after it
        state["exp_avg"][rows] = first.mul_(first_decay)
        state["exp_avg_sq"][rows] = second.mul_(second_decay)
        state["last"][rows] = float(step)

    def _state_of(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state


def entries(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Rows, all different, and values of a sparse gradient; autograd forgets that they already are."""
    rows = gradient._indices().squeeze(0)
    if not bool((rows.diff() > 0).all()):
        gradient = gradient.coalesce()
        return gradient.indices().squeeze(0), gradient.values()
    return rows, gradient._values()


def _rows_of(parameter: nn.Parameter, state: dict[str, Tensor]) -> AdamRows:
    return AdamRows(parameter.detach(), state["exp_avg"], state["exp_avg_sq"], state["last"])


def _missed_by(rows: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> Tensor:
    """What rows that stand at any step since the last one of these have missed by now, see `_missed`."""
    step = int(state["step"])
    longest = step - int(state["last"][rows].min()) if len(rows) else 0
    return _missed(step, longest, group).to(state["last"].device)


def _missed(step: int, longest: int, group: dict[str, Any]) -> Tensor:
    """What a row misses that stands 0, 1, ..., `longest` steps before `step`, shape (longest + 1, 5) float32.

    Columns: learning rate times the formula's sum; eps sqrt(1 - b2^s); what weight decay, b1 and b2 leave of a number.
    """
    beta1, beta2 = group["betas"]
    idle = torch.arange(longest + 1, dtype=torch.float64)
    times = step - idle[:-1]
    ratios = ((1 - beta2**times).sqrt() / (1 - beta1**times)).tolist()
    shrink = beta1 / beta2**0.5
    sums = accumulate(ratios, lambda total, ratio: shrink * (ratio + total), initial=0.0)
    columns = (
        group["lr"] * torch.tensor(list(sums), dtype=torch.float64),
        group["eps"] * (1 - beta2 ** (step - idle)).sqrt(),
        (1 - group["lr"] * group["weight_decay"]) ** idle,
        beta1**idle,
        beta2**idle,
    )
    return torch.stack(columns, dim=1).float()
