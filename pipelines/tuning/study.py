"""Study: a search that is kept in one SQLite file, so that a kill loses nothing but the trial under way.

STUDY/
    study.db                Optuna's tables: every trial with its settings, its values a step, its outcome
    trial.safetensors       checkpoint of the trial under way (training/checkpoint.py)
    best.toml               settings file of the best trial so far

SQLite because its transactions hold at any moment a process may be killed: Optuna's journal file needs a lock beside
it that a killed process leaves behind. Ten milliseconds a record are nothing beside an epoch. Optuna is
imported where a study is opened, and by nothing but this file and trial.py.

A trial is drawn by a sampler that is seeded with the number of trials done before. So an interrupted study goes on
with the draws that it would have made, instead of beginning the sequence of its seed again.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import URL

from pipelines.dataset.directory import STUDY_FILES
from pipelines.tuning.trial import RUN_ID, Outcome, Trial
from recsys_vae.errors import ConfigError
from recsys_vae.locks import exclusive
from recsys_vae.models.search_space import OneOf, Range, Real, SearchSpace, Value, Whole
from recsys_vae.outputs import check_output, new_directory
from recsys_vae.storage import storing

if TYPE_CHECKING:
    import optuna

DATABASE, CHECKPOINT, BEST = "study.db", "trial.safetensors", "best.toml"
WRITTEN = replace(new_directory("a study of `recsys tune`", STUDY_FILES), is_part=True)
"""What tuning may write over."""
IDENTITY = "identity"
"""Name of an attribute in Optuna's tables."""


@dataclass(frozen=True)
class Plan:
    """How a study draws and cuts short.

    Attributes:
        space: what is searched.
        first: settings of the first trial.
        seed: of the draws.
        random_trials: so many trials are drawn at random before the search follows what it has seen.
        full_trials: so many are run to their end before any is cut short.
        warm_up: epochs that every trial is given.
    """

    space: SearchSpace
    first: Mapping[str, Value]
    seed: int
    random_trials: int
    full_trials: int
    warm_up: int

    @classmethod
    def of(cls, space: SearchSpace, first: Mapping[str, Value], *, seed: int, trials: int, epochs: int) -> "Plan":
        """A quarter of the trials at random, ten at most; a tenth of the epochs untouched."""
        quarter = max(1, trials // 4)
        return cls(space, first, seed, min(10, quarter), min(5, quarter), max(1, epochs // 10))


class Study:
    """An open study; `open_study` makes it."""

    def __init__(self, study: "optuna.Study", folder: Path, plan: Plan) -> None:
        self._study = study
        self._plan = plan
        self.folder = folder

    @property
    def run_id(self) -> str | None:
        """Identity of the whole search at the tracking server."""
        found: str | None = self._study.user_attrs.get(RUN_ID)
        return found

    @run_id.setter
    def run_id(self, value: str) -> None:
        self._study.set_user_attr(RUN_ID, value)

    def outcomes(self) -> list[Outcome]:
        """The trials that are done, in the order in which they began."""
        from optuna.trial import TrialState

        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return [
            Outcome(number, trial.params, trial.value, trial.state == TrialState.PRUNED, trial.user_attrs)
            for number, trial in enumerate(done, start=1)
        ]

    def ask(self, under_way: int = 0) -> Trial:
        """Draw the settings of the next trial, or take up the one that was interrupted.

        Args:
            under_way: trials that were drawn before it and are not done yet.
        """
        import optuna

        n_done = len(self.outcomes()) + under_way
        seed = int(np.random.SeedSequence([self._plan.seed, n_done]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=self._plan.random_trials)
        distributions = {name: _distribution(bounds) for name, bounds in self._plan.space.items()}
        return Trial(self._study, self._study.ask(distributions), n_done + 1)

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Note what the study is about, and set the first trial; put those back that were interrupted.

        Raises:
            ConfigError: it is about something else.
        """
        noted = self._study.user_attrs.get(IDENTITY)
        if noted is None:
            self._study.set_user_attr(IDENTITY, json.dumps(identity))
        elif differing := _differing(json.loads(noted), identity):
            raise ConfigError(
                f"Study {self.folder.name} was begun with other settings or data ({', '.join(differing)}). "
                "Resume it as it was begun, or name another --study."
            )
        if not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(dict(self._plan.first))
        self._requeue_interrupted()

    def _requeue_interrupted(self) -> None:
        """A trial that is still running belongs to a process that has ended: it is first in the queue now.

        It takes along its settings, what it has reported, and its run at the tracking server.
        """
        from optuna import create_trial
        from optuna.trial import TrialState

        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
            again = create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=trial.user_attrs,
                system_attrs=trial.system_attrs,
                intermediate_values=trial.intermediate_values,
            )
            self._study.add_trial(again)


@contextmanager
def open_study(folder: Path, plan: Plan, identity: Mapping[str, Any], *, resume: bool) -> Iterator[Study]:
    """Begin a study, or with `resume` go on with the one that is there.

    Args:
        identity: what decides the outcome of a trial, as JSON takes it.

    Raises:
        ConfigError: a study is there and not to be resumed, it is about something else, or a stranger's files lie in
            the folder.
        BusyError: another process works on it.
    """
    database = folder / DATABASE
    if database.exists() and not resume:
        raise ConfigError(
            f"Study {folder.name} is there. Continue it with --resume, remove {folder} to start over, or name another "
            "--study."
        )
    check_output(folder, WRITTEN)
    with storing(folder), exclusive(folder):
        folder.mkdir(exist_ok=True)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.RDBStorage(URL.create("sqlite", database=str(database)).render_as_string())
        try:
            study = Study(_create(storage, plan), folder, plan)
            study.begin(identity)
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _create(storage: "optuna.storages.RDBStorage", plan: Plan) -> "optuna.Study":
    """Median stopping rather than Hyperband: that shares the trials out among brackets that do not learn from each
    other, too few each for a search of dozens.
    """
    import optuna

    pruner = optuna.pruners.MedianPruner(plan.full_trials, plan.warm_up, n_min_trials=plan.full_trials)
    return optuna.create_study(
        storage=storage, study_name="study", direction="maximize", pruner=pruner, load_if_exists=True
    )


def _distribution(bounds: Range) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions

    match bounds:
        case Real(low, high, log):
            return distributions.FloatDistribution(low, high, log=log)
        case Whole(low, high, step):
            return distributions.IntDistribution(low, high, step=step)
        case OneOf(values):
            return distributions.CategoricalDistribution(values)


def _differing(noted: Mapping[str, Any], identity: Mapping[str, Any]) -> list[str]:
    """Names of what is no longer as noted; `settings.epochs` for an entry of an entry.

    A setting that was not noted is new in this version, and at the default, which is what was done before it.
    """
    before, now = _flat(noted), _flat(identity)
    return sorted(name for name, value in before.items() if now.get(name) != value)


def _flat(entries: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in entries.items():
        found |= {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
    return found
