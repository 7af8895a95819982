"""Steps of leaves whose item tables are shared out among the processes (`item_shards`)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from recsys_vae.data.signals import hidden_from, shown_to
from recsys_vae.evaluation.evaluate import Evaluation, Measured, Questions, evaluate, measured_lists
from recsys_vae.evaluation.metrics import parse_metric
from recsys_vae.evaluation.ranked_lists import is_of_users
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.nn.objective import Objective
from recsys_vae.nn.sampled_softmax import SampledSoftmax
from recsys_vae.protocols import Int64Array, Scorer, takes_metadata
from recsys_vae.training.batches import Batches, LeafBatch
from recsys_vae.training.item_shards import ItemShards
from recsys_vae.training.leaves import Leaves
from recsys_vae.training.steps import LeafSteps, TrainingRun

USERS_AT_ONCE = 1000
"""Users whose histories are encoded together for validation."""


class ShardedSteps(LeafSteps):
    """Steps of leaves, of which every process holds a part of the item tables.

    Args:
        shards: of the run's model; the rest as of `LeafSteps`.
    """

    def __init__(
        self, run: TrainingRun, batches: Batches, precision: torch.dtype, leaves: Leaves, shards: ItemShards
    ) -> None:
        super().__init__(run, batches, precision, leaves)
        self._shards = shards
        tables = {id(table) for table in shards.tables}
        self._small = [one for one in run.model.parameters() if one.requires_grad and id(one) not in tables]

    def _learn(self, batch: LeafBatch, objective: Objective) -> list[float]:
        run, leaves, place = self._run, self._leaves, (self._run.state.epoch, self._run.state.step)
        assert isinstance(objective.likelihood, SampledSoftmax)
        sampled = objective.likelihood.drawn_by(leaves.noise(*place))
        read = torch.cat([leaf.rows.indices for leaf in batch.leaves])
        scored = torch.cat([sampled.drawn, *(leaf.rows.wanted.indices for leaf in batch.leaves)])
        window = self._shards.window(read, scored, run.optimizer)
        likelihood = sampled.looking_up(window.look_up)
        parts = [replace(leaf, rows=replace(leaf.rows, sums=window.sums)) for leaf in batch.leaves]
        losses = [
            partial(self._loss, part, objective, (*place, leaf)) for leaf, part in zip(leaves.own, parts, strict=True)
        ]
        grown = leaves.grown([*self._small, *window.tensors], losses, likelihood, joint=False)
        run.optimizer.zero_grad()
        n_small = len(self._small)
        for parameter, gradient in zip(self._small, leaves.tree.of(grown.gradients[:n_small]), strict=True):
            parameter.grad = gradient
        window.give_back(grown.gradients[n_small:])
        run.optimizer.step_apart(leaves.each)
        return leaves.added(grown.figures)

    def validate(self, validation: HeldOut, metric: str) -> float:
        """The metric, of lists that are made block by block of the items."""
        rows = np.flatnonzero(np.diff(validation.targets.indptr))
        if not rows.size:
            return evaluate(self._run.model, validation, [metric]).means[metric]  # says that there is nobody
        if not is_of_users(parse_metric(metric)):
            return self._measured([validation.take(rows)], metric, len(rows))[0].means[metric]
        parts = np.array_split(rows, self._leaves.count)
        own = [parts[leaf] for leaf in self._leaves.own]
        # Each process takes part in what all do: one without users looks at one of the others', who does not count.
        users = [validation.take(part if part.size else rows[:1]) for part in own]
        found = self._measured(users, metric, max(map(len, parts)))
        figures = []
        for part, evaluation in zip(own, found, strict=True):
            values = evaluation.per_user[metric] if part.size else np.empty(0)
            figures.append([float(np.nansum(values)), float(np.count_nonzero(~np.isnan(values)))])
        total, counted = self._leaves.added(figures)
        return total / counted if counted else float("nan")

    def _measured(self, asked: Sequence[HeldOut], metric: str, most: int) -> list[Evaluation]:
        """Of some users each, in each process of as many such parts, the largest of them all of `most` users."""
        depth, model = parse_metric(metric).k, self._run.model
        assert depth is not None
        hidden = [self._hidden(users, -(-most // USERS_AT_ONCE)) for users in asked]
        excluded = [hidden_from(shown_to(model, users.shown)) for users in asked]
        lists = self._shards.ranked(hidden, excluded, min(depth, model.n_items))
        return [
            evaluate(model, users, [metric], batch_size=len(rows), spread=partial(_known, rows))
            for users, rows in zip(asked, lists, strict=True)
        ]

    @torch.inference_mode()
    def _hidden(self, users: HeldOut, pieces: int) -> Tensor:
        """Inputs of the output layer, shape (n, width), computed in as many pieces as in every process."""
        model, histories = self._run.model, shown_to(self._run.model, users.shown)
        assert isinstance(model, Autoencoder)
        known = users.metadata if takes_metadata(model) else None
        found = []
        for some in np.array_split(np.arange(len(users.users)), pieces):
            rows = model.rows(histories[some], None if known is None else known[some])
            sums = self._shards.reading(histories[some]).sums
            found.append(model.hidden(replace(rows, sums=sums)).float())
        return torch.cat(found)


def _known(
    rows: Int64Array, model: Scorer, held_out: HeldOut, asked: Questions, batches: Iterator[Int64Array]
) -> Iterator[Measured]:
    """Measure lists that are known, shape (n_users, depth); as `evaluate.measured`, in one batch."""
    for users in batches:
        yield measured_lists(rows[users], held_out.take(users), asked)
