"""Trial: one choice of settings, as a study draws it, as training reports to it, and as it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys_vae.models.search_space import Value
from recsys_vae.training.tracking import Tracker

if TYPE_CHECKING:
    import optuna

RUN_ID, REASON, SERVED, VALUES = "run_id", "reason", "served", "values"
"""Names of facts."""


class PrunedError(Exception):
    """A trial is not worth going on with. No failure: it ends the training, and the search goes on."""


@dataclass(frozen=True)
class Outcome:
    """One trial that is done.

    Attributes:
        number: from 1, in the order in which trials were done.
        settings: what was tried.
        value: of the metric on validation; of a trial that was cut short, the last one; None where it has none.
        pruned: whether it was cut short.
        facts: what else was told: epochs, seconds, standard_error, run_id, reason; of those that were the best so far,
            served: the metric of what a bundle of it would answer; of the best so far with weights or dislikes, and
            without: values: the metric by validation user.
    """

    number: int
    settings: dict[str, Value]
    value: float | None
    pruned: bool
    facts: dict[str, Any]


class Trial:
    """A trial under way.

    Attributes:
        settings: what to try.
        number: of trials done when this one is.
        is_resumed: whether a process that has ended had begun it.
    """

    def __init__(self, study: "optuna.Study", trial: "optuna.Trial", number: int) -> None:
        self._study = study
        self._trial = trial
        self._reported = dict(study.trials[trial.number].intermediate_values)
        self.settings: dict[str, Value] = dict(trial.params)
        self.number = number
        self.is_resumed = RUN_ID in trial.user_attrs

    @property
    def run_id(self) -> str | None:
        """Identity of this trial at the tracking server."""
        found: str | None = self._trial.user_attrs.get(RUN_ID)
        return found

    def note(self, **facts: Any) -> None:
        """Keep facts beside the settings."""
        for name, value in facts.items():
            self._trial.set_user_attr(name, value)

    def report(self, value: float, epoch: int) -> None:
        """Tell the value after an epoch.

        Raises:
            PrunedError: others were better at that epoch, so that going on is not worth it.
        """
        if epoch not in self._reported:  # what was trained again after a checkpoint gives the same value
            self._trial.report(value, epoch)
            self._reported[epoch] = value
        if self._trial.should_prune():
            raise PrunedError

    def complete(self, value: float) -> None:
        """It ran to its end."""
        self._study.tell(self._trial, value)

    def prune(self, reason: str) -> None:
        """It was cut short."""
        import optuna

        self.note(**{REASON: reason})
        self._study.tell(self._trial, state=optuna.trial.TrialState.PRUNED)


class PruningTracker:
    """Tells a tracker, and the trial, which may end the training there and then."""

    def __init__(self, tracker: Tracker, trial: Trial, metric: str) -> None:
        self._tracker = tracker
        self._trial = trial
        self._metric = metric

    @property
    def run_id(self) -> str | None:
        """Identity of the run at the tracking server."""
        return self._tracker.run_id

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Tell what was chosen."""
        self._tracker.log_parameters(parameters)

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Tell what was measured after an epoch; or, of a blend, what was chosen after the last.

        Raises:
            PrunedError: see `Trial.report`.
        """
        self._tracker.log_metrics(metrics, epoch)
        if self._metric in metrics:
            self._trial.report(metrics[self._metric], epoch)
