"""Tune: search a model's settings on the validation part of a split; the test part is not read.

A study is kept under the dataset, `DATASET/studies/NAME`, see study.py. At the tracking server it is one run, and every
trial a run below it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from pipelines.console import say_if_new
from pipelines.dataset.cold_start_users import cold_start_users_of
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from pipelines.dataset.user_features import UserMetadata
from pipelines.training.fit import KeptParts, ModelSpec, fit
from pipelines.training.item_inputs import item_metadata_for
from pipelines.training.model_settings import settings_of, write_settings
from pipelines.training.train import METRICS, asked_while_training, metadata_for, parameters, with_errors
from pipelines.tuning.measure import Spread, Task, TrialRun, measure_here, served
from pipelines.tuning.search import Search, train_command
from pipelines.tuning.study import BEST, CHECKPOINT, WRITTEN, Plan, Study, open_study
from pipelines.tuning.trial import SERVED, VALUES, Outcome, PrunedError, PruningTracker, Trial
from pipelines.tuning.verdict import MOST_USERS, Verdict, best_of, decide
from recsys_vae.errors import ConfigError, DataError, TrainingError
from recsys_vae.evaluation.evaluate import Evaluation, evaluate
from recsys_vae.evaluation.splits import Split
from recsys_vae.models.search_space import Value
from recsys_vae.outputs import check_output
from recsys_vae.training.tracking import MlflowTracker, answering, tracked_run

PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        search: what it was.
        outcomes: of all trials, in the order in which they were done.
        best: the trial with the highest value among those that ran to their end; one with weights or dislikes only
            where these measurably help (`verdict`).
        settings_path: settings file of the best trial.
        command: that trains with them.
        remark: whether weights and dislikes help; empty where none were tried.
        run_id: of the whole search at the tracking server.
    """

    search: Search
    outcomes: list[Outcome]
    best: Outcome
    settings_path: Path
    command: str
    run_id: str
    remark: str = ""


def tune(
    dataset: DatasetDir,
    search: Search,
    *,
    trials: int,
    study: str | None = None,
    minutes: float | None = None,
    resume: bool = False,
    at_once: int = 1,
    spread: Spread | None = None,
) -> Tuned:
    """Run trials until so many are done, those of earlier runs of the study counted.

    Args:
        study: its name; the model's and the split's when None.
        minutes: begin no trial after them.
        at_once: so many are drawn at a time, by what the trials before them have shown; the outcome depends on it.
        spread: measures those that were drawn together somewhere else; the outcome does not depend on it.

    Raises:
        ConfigError: a study of that name is there and not to be resumed, or is about something else.
        DataError: no trial ran to its end.
    """
    if trials < 1:
        raise ConfigError(f"--trials is at least 1, got {trials}.")
    folder = check_output(dataset.study_path(study or f"{search.base.name}-{search.split}"), WRITTEN)
    if resume:
        say_if_new("study", folder.name, dataset.studies())
    split = load_split(dataset, search.split)
    search = search.among(split.train.matrix, split.train_dislikes)
    task = _task(dataset, search, split)
    epochs = search.base.training.epochs
    plan = Plan.of(search.space, search.first(), seed=search.seed, trials=trials, epochs=epochs)
    with (
        open_study(folder, plan, search.identity(dataset), resume=resume) as opened,
        tracked_run(dataset.name, f"{search.base.name}-tuned", run_id=opened.run_id) as parent,
    ):
        opened.run_id = parent.run_id
        parent.log_parameters(parameters(dataset, search.base) | {"split": search.split, "metric": search.metric})
        if at_once == 1 and spread is None:
            _run_trials(task, opened, parent, trials, _clock(minutes))
        else:
            _run_rounds(task, opened, parent, trials, _clock(minutes), at_once, spread or measure_here)
        return _result(task, opened, parent)


def _task(dataset: DatasetDir, search: Search, split: Split) -> Task:
    known = UserMetadata.learn(dataset, split.train.users)
    spec = search.base.with_schema(known.schema)
    return Task(
        dataset,
        search,
        split.train,
        asked_while_training(split, known, spec),
        known.of(split.validation),
        cold_start_users_of(split.validation, split.train.items, known),
        known,
        metadata_for(spec, split.train, known),
        item_metadata_for(spec, dataset, split.train.items),
        split.train_dislikes,
        split.train_order,
        KeptParts(search.fixed_parts),
    )


def _run_trials(task: Task, study: Study, parent: MlflowTracker, trials: int, is_over: Callable[[], bool]) -> None:
    done = study.outcomes()
    with _bar(task.search, len(done), trials) as bar:
        while len(done) < trials and not is_over():
            bar.set_postfix_str(_best_so_far(done, task.search.metric))
            _run_trial(task, study, study.ask(), parent)
            done = study.outcomes()
            bar.write(_line(done[-1], task.search.metric))
            _tell_parent(parent, done, task.search.metric)
            bar.update()
        bar.set_postfix_str(_best_so_far(done, task.search.metric))


def _run_rounds(
    task: Task,
    study: Study,
    parent: MlflowTracker,
    trials: int,
    is_over: Callable[[], bool],
    at_once: int,
    spread: Spread,
) -> None:
    """Trials drawn several at a time, each measured to its end and then told as if it had been run after the others."""
    done = study.outcomes()
    with _bar(task.search, len(done), trials) as bar:
        while len(done) < trials and not is_over():
            # A round that was broken off is ended first, so that the next is drawn by as much.
            size = min(at_once - len(done) % at_once, trials - len(done))
            drawn = [study.ask(under_way) for under_way in range(size)]
            best = best_of(done)
            least = None if best is None else best.value
            for trial, run in zip(drawn, spread(task, [trial.settings for trial in drawn], least), strict=True):
                _tell_run(task, study, trial, run, parent)
                done = study.outcomes()
                bar.write(_line(done[-1], task.search.metric))
                _tell_parent(parent, done, task.search.metric)
                bar.update()
            bar.set_postfix_str(_best_so_far(done, task.search.metric))


def _tell_run(task: Task, study: Study, trial: Trial, run: TrialRun, parent: MlflowTracker) -> None:
    """Tell a trial that was measured elsewhere, epoch by epoch: others may be so much better that it counts as cut
    short.
    """  # fmt: skip
    spec = task.search.spec(trial.settings).with_schema(task.known.schema)
    name, tags = f"{spec.name}-trial-{trial.number}", {PARENT: parent.run_id}
    with tracked_run(task.dataset.name, name, run_id=trial.run_id, tags=tags) as tracker:
        trial.note(run_id=tracker.run_id)
        tracker.log_parameters(parameters(task.dataset, spec) | {"split": task.search.split})
        state = _told(task, study, trial, run, tracker)
        with answering():
            tracker.client.set_tag(tracker.run_id, "trial", state)


def _told(task: Task, study: Study, trial: Trial, run: TrialRun, tracker: MlflowTracker) -> str:
    """Returns `complete` or `pruned`."""
    told = PruningTracker(tracker, trial, task.search.metric)
    try:
        for metrics, epoch in run.epochs:
            told.log_metrics(metrics, epoch)
    except PrunedError:
        trial.prune("worse than the median of the trials before it")
        return "pruned"
    if run.ended is None:
        trial.prune(run.reason)
        return "pruned"
    ended = run.ended
    tracker.log_metrics(with_errors(ended.measured) | {"training_seconds": ended.seconds}, ended.epochs)
    best = best_of(study.outcomes())
    if ended.served is not None and (best is None or ended.measured.means[task.search.metric] > (best.value or 0.0)):
        trial.note(**{SERVED: ended.served})
    _note_values(task, study, trial, ended.measured)
    _complete(trial, ended.epochs, ended.seconds, ended.measured, task.search.metric)
    return "complete"


def _run_trial(task: Task, study: Study, trial: Trial, parent: MlflowTracker) -> None:
    """Fit and measure one choice of settings, in a run of its own; what diverges counts as cut short."""
    spec = task.search.spec(trial.settings).with_schema(task.known.schema)
    checkpoint = study.folder / CHECKPOINT
    if not trial.is_resumed:
        checkpoint.unlink(missing_ok=True)
    name, tags = f"{spec.name}-trial-{trial.number}", {PARENT: parent.run_id}
    with tracked_run(task.dataset.name, name, run_id=trial.run_id, tags=tags) as tracker:
        trial.note(run_id=tracker.run_id)
        tracker.log_parameters(parameters(task.dataset, spec) | {"split": task.search.split})
        state = _fit_and_tell(task, spec, study, trial, tracker, checkpoint)
        with answering():
            tracker.client.set_tag(tracker.run_id, "trial", state)
    checkpoint.unlink(missing_ok=True)


def _fit_and_tell(
    task: Task, spec: ModelSpec, study: Study, trial: Trial, tracker: MlflowTracker, checkpoint: Path
) -> str:
    """Returns `complete` or `pruned`."""
    try:
        fitted = fit(
            spec,
            task.train.matrix,
            validation=task.validation,
            tracker=PruningTracker(tracker, trial, task.search.metric),
            checkpoint=checkpoint,
            resume=trial.is_resumed,
            metadata=task.metadata,
            item_metadata=task.item_metadata,
            dislikes=task.dislikes,
            order=task.order,
            kept=task.kept,
        )
        measured = evaluate(fitted.model, task.validation, (task.search.metric, *METRICS))
    except PrunedError:
        trial.prune("worse than the median of the trials before it")
        return "pruned"
    except (TrainingError, DataError) as error:
        trial.prune(str(error))
        return "pruned"
    tracker.log_metrics(with_errors(measured) | {"training_seconds": fitted.seconds}, fitted.epochs)
    best = best_of(study.outcomes())
    if best is None or measured.means[task.search.metric] > (best.value or 0.0):
        trial.note(**{SERVED: served(task, fitted.model)})
    _note_values(task, study, trial, measured)
    _complete(trial, fitted.epochs, fitted.seconds, measured, task.search.metric)
    return "complete"


def _note_values(task: Task, study: Study, trial: Trial, measured: Evaluation) -> None:
    if _is_best_of_its_kind(task.search, trial, study.outcomes(), measured):
        trial.note(**{VALUES: measured.per_user[task.search.metric][:MOST_USERS].round(5).tolist()})


def _is_best_of_its_kind(search: Search, trial: Trial, done: list[Outcome], measured: Evaluation) -> bool:
    """Whether no earlier trial that goes by as much, by yes or no or by weights, was as good; and users have values."""
    if search.metric not in measured.per_user:
        return False
    kind = search.weighs(trial.settings)
    best = best_of([outcome for outcome in done if search.weighs(outcome.settings) == kind])
    return best is None or measured.means[search.metric] > (best.value or 0.0)


def _complete(trial: Trial, epochs: int, seconds: float, measured: Evaluation, metric: str) -> None:
    error = measured.standard_errors.get(metric)
    trial.note(epochs=epochs, seconds=round(seconds, 3), standard_error=error)
    trial.complete(measured.means[metric])


def _tell_parent(parent: MlflowTracker, done: list[Outcome], metric: str) -> None:
    latest, best = done[-1], best_of(done)
    told = {} if latest.pruned or latest.value is None else {metric: latest.value}
    if best is not None and best.value is not None:
        told[f"best_{metric}"] = best.value
    if told:
        parent.log_metrics(told, latest.number)


def _result(task: Task, study: Study, parent: MlflowTracker) -> Tuned:
    done, search = study.outcomes(), task.search
    verdict = decide(done, search.weighs)
    if verdict is None:
        reasons = {str(outcome.facts.get("reason")) for outcome in done}
        raise DataError(f"None of the {len(done)} trials ran to its end: {'; '.join(sorted(reasons)) or 'no time'}.")
    best, path = verdict.best, study.folder / BEST
    write_settings(path, settings_of(search.spec(best.settings)), _comment(task, done, verdict))
    parent.log_parameters({f"best.{name}": value for name, value in best.settings.items()})
    with answering():
        parent.client.log_artifact(parent.run_id, str(path))
    return Tuned(
        search, done, best, path, train_command(task.dataset, search, best.settings), parent.run_id, verdict.remark
    )


def _comment(task: Task, done: list[Outcome], verdict: Verdict) -> str:
    search = task.search
    remark = f"\n{verdict.remark}" if verdict.remark else ""
    return (
        f"The best of {len(done)} trials of {search.base.name} on {task.dataset.name}, split {search.split}:\n"
        f"{search.metric} {_value(verdict.best)} on the validation part.{remark}"
    )


def _line(outcome: Outcome, metric: str) -> str:
    settings = "  ".join(f"{name}={short(value)}" for name, value in outcome.settings.items())
    if outcome.pruned:
        last = f" at {outcome.value:.4f}" if outcome.value is not None else ""
        return f"trial {outcome.number:>3}  cut short{last} ({outcome.facts.get('reason')})  {settings}"
    seconds = outcome.facts.get("seconds", 0.0)
    return f"trial {outcome.number:>3}  {metric} {_value(outcome)}  {settings}  {seconds:.1f} s"


def _value(outcome: Outcome) -> str:
    error = outcome.facts.get("standard_error")
    return f"{outcome.value:.4f}" + (f" ± {error:.4f}" if error is not None else "")


def short(value: Value | None) -> str:
    """A value as tables show it."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _best_so_far(done: list[Outcome], metric: str) -> str:
    best = best_of(done)
    pruned = sum(outcome.pruned for outcome in done)
    words = [f"best {metric}={best.value:.4f} @{best.number}"] if best else []
    return ", ".join([*words, f"{pruned} cut short"] if pruned else words)


def _bar(search: Search, done: int, trials: int) -> tqdm:
    """A bar over the trials; a log file has the line of each trial instead."""
    return tqdm(
        total=trials,
        initial=min(done, trials),
        desc=f"tuning {search.base.name}",
        unit="trial",
        dynamic_ncols=True,
        disable=None,
    )


def _clock(minutes: float | None) -> Callable[[], bool]:
    """Whether the time is up."""
    end = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    return lambda: time.monotonic() >= end
