"""LazyAdam: AdamW that touches only those rows of a matrix that a sparse gradient names.

Dense Adam moves every row at every step: where the gradient is zero, the first moment m still decays by b1 and pushes
on. A row that was idle for k steps after step s has by then moved by

    lr * m / (sqrt(v) + eps sqrt(1 - b2^s)) * sum_{j=1..k} r^j c_{s+j}
    with r = b1 / sqrt(b2),  c_t = sqrt(1 - b2^t) / (1 - b1^t)

which is added in one go when its next gradient comes, or `catch_up` is called. Given the same gradients the result
equals that of dense Adam to rounding without weight decay, and with it to lr * weight_decay of the push. What training
reads in between is a row that lags by that decaying push.

Source: Kingma & Ba, Adam (ICLR 2015), algorithm 1; Loshchilov & Hutter, Decoupled Weight Decay Regularization (2019).
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

LONGEST_PUSH = 250
"""Idle steps after which the push has died down: 0.9005^250 is below 1e-11."""
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

    @torch.no_grad()
    def catch_up(self) -> None:
        """Let every idle row make the moves that dense Adam would have made by now."""
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state.get(parameter, {})
                if "last" in state:
                    behind = (state["last"] < int(state["step"])).nonzero().squeeze(1)
                    for rows in behind.split(ROWS_AT_ONCE):
                        self._advance(parameter, rows, int(state["step"]), group)

    def _step_dense(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        if not parameters:
            return
        states = [self._state_of(parameter) for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if "last" in state:  # sparse so far: bring all rows here first
                self._advance(parameter, torch.arange(len(parameter)), int(state["step"]), group)
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
        gradient = parameter.grad.coalesce()
        rows, values = gradient.indices().squeeze(0), gradient.values()
        self._advance(parameter, rows, int(state["step"]), group)
        state["step"] += 1
        step, (beta1, beta2) = int(state["step"]), group["betas"]
        first = state["exp_avg"][rows].lerp_(values, 1 - beta1)
        second = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(values, values, value=1 - beta2)
        state["exp_avg"][rows], state["exp_avg_sq"][rows], state["last"][rows] = first, second, float(step)
        denominator = second.sqrt_().div_((1 - beta2**step) ** 0.5).add_(group["eps"])
        moved = parameter[rows].mul_(1 - group["lr"] * group["weight_decay"])
        parameter[rows] = moved.addcdiv_(first, denominator, value=-group["lr"] / (1 - beta1**step))

    def _advance(self, parameter: nn.Parameter, rows: Tensor, step: int, group: dict[str, Any]) -> None:
        """Make up for the steps since each row's last one, up to and including `step`."""
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        last = state["last"][rows]
        idle = step - last
        rows, last, idle = rows[idle > 0], last[idle > 0], idle[idle > 0]
        if not len(rows):
            return
        first, second = state["exp_avg"][rows], state["exp_avg_sq"][rows]
        push = _push(last, step, beta1, beta2).to(parameter.dtype).unsqueeze(1)
        floor = (group["eps"] * (1 - beta2**last).sqrt()).unsqueeze(1)
        kept = ((1 - group["lr"] * group["weight_decay"]) ** idle).unsqueeze(1)
        pushed = parameter[rows] - group["lr"] * push * first / (second.sqrt() + floor).clamp(min=1e-30)
        parameter[rows] = pushed * kept  # the push comes first, most of the decay after it
        state["exp_avg"][rows] = first.mul_((beta1**idle).unsqueeze(1))
        state["exp_avg_sq"][rows] = second.mul_((beta2**idle).unsqueeze(1))
        state["last"][rows] = float(step)

    def _state_of(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state


def _push(last: Tensor, step: int, beta1: float, beta2: float) -> Tensor:
    """The sum over j in the formula above for rows last moved at step `last`, shape as `last`."""
    starts, places = torch.unique(last.double(), return_inverse=True)
    j = torch.arange(1, LONGEST_PUSH + 1, dtype=torch.float64, device=last.device)
    times = starts.unsqueeze(1) + j
    terms = (beta1 / beta2**0.5) ** j * (1 - beta2**times).sqrt() / (1 - beta1**times)
    sums: Tensor = (terms * (times <= step)).sum(dim=1)
    return sums[places]
