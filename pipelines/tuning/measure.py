"""Measure: trials that are run to their end apart from their study, which is told of them afterwards."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.evaluate import measure_served
from pipelines.training.fallback_policy import choose_tiers
from pipelines.training.fit import KeptParts, fit
from pipelines.training.train import METRICS
from pipelines.tuning.search import Search
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import DataError, TrainingError
from recsys_vae.evaluation.cold_start import ColdStartUsers
from recsys_vae.evaluation.evaluate import Evaluation, evaluate
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.search_space import Value
from recsys_vae.protocols import Recommender


@dataclass(frozen=True)
class Task:
    """What every trial is given. The test part is not among it. `kept`: parts of a blend that no trial changes."""

    dataset: DatasetDir
    search: Search
    train: Interactions
    validation: HeldOut
    asked: HeldOut
    cold_start_users: ColdStartUsers
    known: UserMetadata
    metadata: csr_array | None
    item_metadata: csr_array | None
    dislikes: csr_array | None
    order: csr_array | None
    kept: KeptParts


class Ended(NamedTuple):
    """A trial that ran to its end: epochs, seconds, figures; the metric as served, if that may be asked for."""

    epochs: int
    seconds: float
    measured: Evaluation
    served: float | None


class TrialRun(NamedTuple):
    """What a trial gave: figures after each epoch, and how it ended; None where it did not, for a reason."""

    epochs: tuple[tuple[Mapping[str, float], int], ...]
    ended: Ended | None
    reason: str = ""


Spread = Callable[[Task, Sequence[Mapping[str, Value]], float | None], Iterator[TrialRun]]
"""Measures choices of settings, in their order; the last is the best value before any of them."""


class _Kept:
    """Keeps what training tells."""

    run_id = None

    def __init__(self) -> None:
        self.epochs: list[tuple[Mapping[str, float], int]] = []

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Nobody asks for them."""

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Keep what was measured after an epoch."""
        self.epochs.append((dict(metrics), epoch))


def measure_here(task: Task, settings: Sequence[Mapping[str, Value]], best: float | None) -> Iterator[TrialRun]:
    """Measure choices of settings one after the other."""
    for one in settings:
        yield measure(task, one, best)


def measure(task: Task, settings: Mapping[str, Value], best: float | None) -> TrialRun:
    """Fit and measure one choice of settings.

    Args:
        best: value of the best trial before it; what is no better need not be measured as it would be served.
    """
    spec, kept, metric = task.search.spec(dict(settings)).with_schema(task.known.schema), _Kept(), task.search.metric
    try:
        fitted = fit(
            spec,
            task.train.matrix,
            validation=task.validation,
            tracker=kept,
            metadata=task.metadata,
            item_metadata=task.item_metadata,
            dislikes=task.dislikes,
            order=task.order,
            kept=task.kept,
        )
        measured = evaluate(fitted.model, task.validation, (metric, *METRICS))
    except (TrainingError, DataError) as error:
        return TrialRun(tuple(kept.epochs), None, str(error))
    is_better = best is None or measured.means[metric] > best
    ended = Ended(fitted.epochs, fitted.seconds, measured, served(task, fitted.model) if is_better else None)
    return TrialRun(tuple(kept.epochs), ended)


def served(task: Task, model: Recommender) -> float:
    """The metric of what would be served, to validation users with their whole histories: of the best so far only."""
    metric = task.search.metric
    tiers = choose_tiers(model, task.train, task.known, task.cold_start_users, metric).tiers
    bundle = Bundle.unwritten(model, task.train.items, task.train.item_counts(), tiers)
    return measure_served(bundle, task.asked, [metric]).means[metric]
