"""Trials: one model with one choice of settings, trained so far, and measured as it would be served."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.dataset.cold_start_users import cold_start_users_of
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.evaluate import DEPTH
from pipelines.training.fallback_policy import choose_tiers
from pipelines.training.fit import Fitted, ModelSpec
from pipelines.training.item_inputs import item_metadata_for
from pipelines.training.train import asked_while_training, metadata_for
from recsys_vae.bundles.bundle import Bundle, Tiers
from recsys_vae.evaluation.breakdown import Group, by_history_length
from recsys_vae.evaluation.cold_start import ColdStartUsers
from recsys_vae.evaluation.evaluate import Evaluation, evaluate
from recsys_vae.evaluation.splits import HeldOut, Split
from recsys_vae.protocols import Recommender
from recsys_vae.recommender import FallbackChain
from recsys_vae.training.fit import fit
from recsys_vae.training.tracking import PausedError

LIST = 20
"""Items of the lists whose time is taken."""
TIMED_USERS = 20


@dataclass(frozen=True, eq=False)
class Task:
    """What every trial is given. The test part is not among it.

    Attributes:
        dataset: it.
        split: whose training part is learned from, and whose validation part decides.
        known: metadata of users.
        asked: users of the validation part, with their metadata: the same for every model.
        cold_start_users: the same users, with shorter histories too.
        metric: what decides.
        metrics: all that is measured; the first decides.
    """

    dataset: DatasetDir
    split: Split
    known: UserMetadata
    asked: HeldOut
    cold_start_users: ColdStartUsers
    metrics: tuple[str, ...]

    @classmethod
    def of(cls, dataset: DatasetDir, split_name: str, metrics: tuple[str, ...]) -> "Task":
        """The task that a split sets."""
        split = load_split(dataset, split_name)
        known = UserMetadata.learn(dataset, split.train.users)
        cold = cold_start_users_of(split.validation, split.train.items, known)
        return cls(dataset, split, known, known.of(split.validation), cold, metrics)

    @property
    def metric(self) -> str:
        """What decides."""
        return self.metrics[0]

    def value(self, model: Recommender) -> float:
        """The metric that decides, of the bare model."""
        return evaluate(model, self.asked, [self.metric]).means[self.metric]


@dataclass(frozen=True, eq=False)
class Measured:
    """A trained model as it would be served.

    Attributes:
        means, errors: by metric.
        per_user: values by metric, shape (n_users,); those who are asked, in order.
        groups: of users by the length of their history, in the metric that decides.
        milliseconds: to answer one user, alone: the median.
        n_bytes: of what the model has learned.
        tiers: of its fallback chain.
    """

    means: Mapping[str, float]
    errors: Mapping[str, float]
    per_user: Mapping[str, Any] = field(repr=False)
    groups: tuple[Group, ...]
    milliseconds: float
    n_bytes: int
    tiers: Tiers


class Pause:
    """A tracker that pauses a training after so many epochs, or when the time is over."""

    run_id: str | None = None

    def __init__(self, until: int, is_over: Callable[[], bool]) -> None:
        self._until = until
        self._is_over = is_over

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Nobody is told."""

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """See whether to pause.

        Raises:
            PausedError: it has come so far.
        """
        if "loss" in metrics and (epoch == self._until or self._is_over()):  # of an epoch, not of what comes after it
            raise PausedError


def train_so_far(
    task: Task, spec: ModelSpec, *, checkpoint: Path | None, until: int = 0, is_over: Callable[[], bool] = lambda: False
) -> Fitted:
    """Train a model on the training part, from its checkpoint where there is one, until it pauses or is done."""
    spec = spec.with_schema(task.known.schema)
    return fit(
        spec,
        task.split.train.matrix,
        validation=asked_while_training(task.split, task.known, spec),
        tracker=Pause(until, is_over),
        checkpoint=checkpoint,
        resume=True,
        metadata=metadata_for(spec, task.split.train, task.known),
        item_metadata=item_metadata_for(spec, task.dataset, task.split.train.items),
        dislikes=task.split.train_dislikes,
        order=task.split.train_order,
    )


def measure(task: Task, model: Recommender) -> Measured:
    """A trained model behind its fallback chain, asked about the validation users."""
    train = task.split.train
    tiers = choose_tiers(model, train, task.known, task.cold_start_users, task.metric).tiers
    counts = train.item_counts()
    chain = FallbackChain(Bundle.unwritten(model, train.items, counts, tiers))
    found = evaluate(chain, task.asked, task.metrics, item_counts=counts, depth=DEPTH)
    return Measured(
        means=found.means,
        errors=found.standard_errors,
        per_user=found.per_user,
        groups=tuple(by_history_length(found, task.asked, task.metric)),
        milliseconds=_milliseconds(chain, task.asked, found),
        n_bytes=sum(array.nbytes for array in model.tensors().values()),
        tiers=tiers,
    )


def _milliseconds(chain: FallbackChain, asked: HeldOut, found: Evaluation) -> float:
    """Median time to answer a user alone."""
    shown_histories = asked.shown

    def ask(row: int) -> float:
        known = {"metadata": asked.metadata, "order": asked.order}
        shown = {what: given[[row]] for what, given in known.items() if given is not None}
        started = time.perf_counter()
        chain.recommend(shown_histories[[row]], min(LIST, chain.n_items), **shown)
        return time.perf_counter() - started

    rows = found.rows[:TIMED_USERS].tolist()
    ask(rows[0])  # the first answer prepares what the others share
    return 1000 * float(np.median([ask(row) for row in rows]))
