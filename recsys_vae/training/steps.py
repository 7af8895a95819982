"""Steps: where the gradients of a batch come from, and how the weights move by them.

`WholeSteps` computes a process's share of a batch at once, with noise that goes on from step to step. `LeafSteps` cuts
batches into leaves, so that neither processes nor threads decide what comes of it (`leaves`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np
import torch

from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.metrics import parse_metric
from recsys_vae.evaluation.ranked_lists import is_of_users
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.trainable import Trainable
from recsys_vae.nn.objective import Likelihood, Loss, Objective
from recsys_vae.nn.sampled_softmax import SampledSoftmax
from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows, Sums
from recsys_vae.training.batches import Batch, Batches, LeafBatch
from recsys_vae.training.checkpoint import Run
from recsys_vae.training.lazy_adam import LazyAdam
from recsys_vae.training.leaves import Leaves
from recsys_vae.training.likelihood import first_layers
from recsys_vae.training.subtree import may_join

TrainingRun: TypeAlias = Run[Trainable, LazyAdam]


@dataclass(frozen=True, eq=False)
class Step:
    """A step that is to be taken.

    Attributes:
        n_users: of its batch.
        learn: takes the batch's gradients under an objective, whose generator is passed over, and moves the weights;
            returns loss, nll and KL.
    """

    n_users: int
    learn: Callable[[Objective], list[float]]


class Steps(Protocol):
    """What a training loop asks of the way in which it takes its steps."""

    def epoch(self) -> Iterator[Step]:
        """The steps of the running epoch that are not done yet."""
        ...

    def validate(self, validation: HeldOut, metric: str) -> float:
        """Mean of a metric over held-out users, the same in every process."""
        ...


class WholeSteps:
    """Steps of shares that are computed at once.

    Args:
        run: of which the weights move.
        batches: dealt out to the processes of the run.
        precision: of matrix products.
    """

    def __init__(self, run: TrainingRun, batches: Batches, precision: torch.dtype) -> None:
        self._run, self._batches, self._precision = run, batches, precision

    def epoch(self) -> Iterator[Step]:
        """The steps of the running epoch that are not done yet."""
        for batch in self._batches.epoch(self._run.state.epoch, start=self._run.state.step):
            yield Step(batch.n_users, partial(self._learn, batch))

    def _learn(self, batch: Batch, objective: Objective) -> list[float]:
        run = self._run
        with autocast(run.model, self._precision), _reading_current_rows(run):
            loss = run.model.loss(batch.rows, replace(objective, generator=run.generator))
        run.optimizer.zero_grad()
        (batch.share * loss.total).backward()  # type: ignore[no-untyped-call]
        run.group.add_gradients(run.model)
        run.optimizer.step()
        return run.group.add([batch.share * part.item() for part in (loss.total, loss.nll, loss.kl)])

    def validate(self, validation: HeldOut, metric: str) -> float:
        """The metric, measured by the first process and told to all."""
        group = self._run.group
        measured = evaluate(self._run.model, validation, [metric]).means[metric] if group.is_first else 0.0
        return group.add([measured])[0]


class LeafSteps:
    """Steps of leaves.

    Args:
        run: of which the weights move; without a generator.
        batches: of all processes.
        precision: of matrix products.
        leaves: what this process takes of each batch.
    """

    def __init__(self, run: TrainingRun, batches: Batches, precision: torch.dtype, leaves: Leaves) -> None:
        self._run, self._batches, self._precision, self._leaves = run, batches, precision, leaves
        self._joint: bool | None = None

    def epoch(self) -> Iterator[Step]:
        """The steps of the running epoch that are not done yet."""
        state, leaves = self._run.state, self._leaves
        for batch in self._batches.in_leaves(state.epoch, state.step, leaves.own, leaves.count):
            yield Step(batch.n_users, partial(self._learn, batch))

    def _learn(self, batch: LeafBatch, objective: Objective) -> list[float]:
        run, place = self._run, (self._run.state.epoch, self._run.state.step)
        for layer in _read_by_rows(run.model):
            run.optimizer.catch_up_rows(layer.weight, batch.read)
        if isinstance(objective.likelihood, SampledSoftmax):
            objective = replace(objective, likelihood=objective.likelihood.drawn_by(self._leaves.noise(*place)))
        numbered = zip(self._leaves.own, batch.leaves, strict=True)
        losses = [partial(self._loss, part, objective, (*place, leaf)) for leaf, part in numbered]
        if self._joint is None:
            few = replace(batch.leaves[0], rows=batch.leaves[0].rows.first(1))
            asked = partial(self._loss, few, objective, (*place, 0))
            self._joint = not any(run.group.any([not may_join(asked, objective.likelihood)]))
        run.optimizer.zero_grad()
        found = self._leaves.learn(run.model, losses, objective.likelihood, joint=self._joint)
        run.optimizer.step_apart(self._leaves.each)
        return found

    def validate(self, validation: HeldOut, metric: str) -> float:
        """The metric, of fixed parts of the users; one of all lists together is measured by every process."""
        rows = np.flatnonzero(np.diff(validation.targets.indptr))
        if not rows.size or not is_of_users(parse_metric(metric)):
            return evaluate(self._run.model, validation, [metric]).means[metric]
        parts = np.array_split(rows, self._leaves.count)

        def measured(part: np.ndarray) -> list[float]:
            if not part.size:
                return [0.0, 0.0]
            values = evaluate(self._run.model, validation.take(part), [metric]).per_user[metric]
            return [float(np.nansum(values)), float(np.count_nonzero(~np.isnan(values)))]

        own = self._leaves.each(measured, [parts[leaf] for leaf in self._leaves.own])
        total, counted = self._leaves.added(own)
        return total / counted if counted else float("nan")

    def _loss(
        self,
        part: Batch,
        objective: Objective,
        place: tuple[int, int, int],
        likelihood: Likelihood,
        sums: Sums | None,
    ) -> tuple[float, Loss]:
        asked = replace(objective, generator=self._leaves.noise(*place), likelihood=likelihood)
        rows = part.rows if sums is None else replace(part.rows, sums=sums)
        # What autocast keeps of weights it keeps for all threads together, and drops when one of them leaves.
        with autocast(self._run.model, self._precision, keeps_weights=False):
            return part.share, self._run.model.loss(rows, asked)


def autocast(model: Trainable, precision: torch.dtype, *, keeps_weights: bool = True) -> torch.autocast:
    """The context in which a model computes its loss.

    Args:
        keeps_weights: whether a weight that is used twice is made bfloat16 once.
    """
    is_on = precision == torch.bfloat16
    return torch.autocast(model.device.type, torch.bfloat16, enabled=is_on, cache_enabled=keeps_weights)


@contextmanager
def _reading_current_rows(run: TrainingRun) -> Iterator[None]:
    """Bring item rows that are updated lazily up to date before a layer reads them; in every process the same ones."""

    def catch_up(layer: SparseLinear, arguments: tuple[SparseRows]) -> None:
        run.optimizer.catch_up_rows(layer.weight, run.group.join_rows(arguments[0].indices))

    hooks = [layer.register_forward_pre_hook(catch_up) for layer in _read_by_rows(run.model)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _read_by_rows(model: Trainable) -> list[SparseLinear]:
    return [layer for layer in first_layers(model) if layer.sparse_gradient and layer.weight.requires_grad]
