"""Compare: candidates are trained on a split, tuned a little and measured on its validation part, and one is
recommended. The test part is not read.

What is tried, and in which order, is the schedule's (schedule.py); what is kept, the record's (record.py).
"""

import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import SplitManifest, read_manifest
from pipelines.evaluation.cautions import of_figures
from pipelines.free_memory import free_memory
from pipelines.selection.blending import blend_of, can_blend
from pipelines.selection.candidates import BLEND, Candidate, Contest, choose_candidates
from pipelines.selection.kept_models import keep_model, load_model
from pipelines.selection.machine import operations_a_second
from pipelines.selection.recommendation import Recommendation, best_parts, recommend
from pipelines.selection.record import BEST, PAGE, WRITTEN, Record, as_standing, remove_models
from pipelines.selection.schedule import Done, Job, next_job, survivors
from pipelines.selection.trials import Task, measure, train_so_far
from pipelines.training.fit import Fitted
from pipelines.training.model_settings import OF_THE_MACHINE, Settings, settings_of, write_settings
from recsys_vae.errors import ConfigError, DataError, TrainingError
from recsys_vae.evaluation.metrics import parse_metric
from recsys_vae.locks import exclusive
from recsys_vae.models.cost import Sizes
from recsys_vae.models.weighting import without_effect
from recsys_vae.outputs import check_output
from recsys_vae.storage import storing
from recsys_vae.training.config import TrainingConfig

RESERVED, MOST_MEASURING = 0.1, 0.4
"""Shares of the time that are kept for a blend, and at most for measuring the best of each model as served."""
MEASURED_AFTER = 3
"""So many models are tried before one is measured as served, which tells how long that takes."""
LARGEST_KEPT = 1 << 30
"""Bytes of a training's state; larger ones are kept only of those who go on after their first look."""
SMALL_CATALOGUE = 200
"""Items; below, lists are cut at a fifth of the catalogue instead of at 20 and 100."""
FAILURES = (ConfigError, DataError, TrainingError, MemoryError)
"""What ends a trial, and not the comparison."""


@dataclass(frozen=True)
class Question:
    """What is compared, and how.

    Attributes:
        dataset: it.
        split: name of the split whose validation part decides.
        metric: what is to be high there; None for ndcg@100, or a shorter list where the catalogue is small.
        budget: seconds, all in all.
        only: names of models; none for all.
        training: settings of the training that nobody chooses.
        name: of the comparison.
    """

    dataset: DatasetDir
    split: str = "strong"
    metric: str | None = None
    budget: float = 600.0
    only: tuple[str, ...] = ()
    training: TrainingConfig = field(default_factory=TrainingConfig)
    name: str = ""

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self.dataset.comparison_path(self.name or self.split)


@dataclass(frozen=True)
class Compared:
    """What came of it.

    Attributes:
        question: what was asked.
        recommendation: the model to ship, and why.
        record: all that was tried.
        contest: who was tried, and who was not.
        settings: of the model to ship.
        cautions: what to know of the figures.
    """

    question: Question
    recommendation: Recommendation
    record: Record
    contest: Contest
    settings: Settings
    cautions: tuple[str, ...]

    @property
    def settings_path(self) -> Path:
        """Settings file of the model to ship."""
        return self.question.folder / BEST

    @property
    def page_path(self) -> Path:
        """Why."""
        return self.question.folder / PAGE


def plan(question: Question) -> tuple[Question, Task, Contest, SplitManifest]:
    """Everything that is known before anything is trained.

    Returns:
        The question with its metric filled in, what every trial is given, who is tried, and the split.

    Raises:
        UnknownNameError, ConfigError: a name is wrong, the budget is none, or nothing is left to compare.
    """
    if not question.budget > 0:
        raise ConfigError(f"The budget is above 0 seconds, got {question.budget:g}.")
    manifest = read_manifest(question.dataset, question.split)
    n_items = manifest.sizes["train"]["items"]
    metric = parse_metric(question.metric or default_metric(n_items)).name
    training = replace(question.training, validation_metric=metric)
    task = Task.of(question.dataset, question.split, _metrics(metric, n_items))
    train = task.split.train
    contest = choose_candidates(
        Sizes(train.n_users, train.n_items, int(train.matrix.nnz)),
        training,
        only=question.only,
        has_user_metadata=task.known.schema.width > 0,
        has_order=task.split.train_order is not None,
        without_effect=without_effect(train.matrix, task.split.train_dislikes),
        memory=free_memory(),
        speed=operations_a_second(),
    )
    return replace(question, metric=metric, training=training), task, contest, manifest


def compare(question: Question, *, resume: bool = False, afresh: bool = False) -> Compared:
    """Try models until the time is over or nothing is left to try, and recommend one.

    Args:
        resume: go on with the comparison that is there.
        afresh: but begin anew where it is about something else.

    Raises:
        ConfigError: a comparison of that name is there and not to be resumed, or is about something else.
        DataError: no model could be measured.
    """
    started = time.monotonic()
    question, task, contest, manifest = plan(question)
    check_output(question.folder, WRITTEN)
    with storing(question.folder), exclusive(question.folder):
        record = Record.open(question.folder, _identity(question, contest, manifest), resume=resume, afresh=afresh)
        question.folder.mkdir(parents=True, exist_ok=True)
        course = _Course(question, task, contest, record, started - record.seconds)
        if not record.is_complete:
            course.run()
        return course.result(manifest)


def default_metric(n_items: int) -> str:
    """`ndcg@100`, or of lists that are no longer than a fifth of a small catalogue."""
    return f"ndcg@{100 if n_items >= SMALL_CATALOGUE else max(1, n_items // 5)}"


def simplicity_of(name: str, contest: Contest) -> tuple[int, int, float]:
    """How simple a model is; the smaller, the simpler."""
    return (2, 0, 0.0) if name == BLEND else contest.of(name).simplicity


def _metrics(metric: str, n_items: int) -> tuple[str, ...]:
    """What decides first, then accuracy, coverage and novelty of lists as they are shown."""
    k = min(20, max(1, n_items // 5))
    return tuple(dict.fromkeys((metric, f"recall@{k}", f"coverage@{k}", f"novelty@{k}")))


def _identity(question: Question, contest: Contest, manifest: SplitManifest) -> dict[str, Any]:
    """All that decides the outcome but the time, as JSON takes it."""
    training = {name: value for name, value in asdict(question.training).items() if name not in OF_THE_MACHINE}
    return {
        "split": {"name": question.split} | manifest.recipe.model_dump(mode="json"),
        "data": manifest.dataset_fingerprint,
        "metric": question.metric,
        "training": training,
        "models": {name: [dict(one) for one in contest.choices[name]] for name in sorted(contest.choices)},
        "blends": contest.blends,
    }


class _Course:
    """A comparison under way.

    Args:
        began: the moment that its seconds are counted from.
    """

    def __init__(self, question: Question, task: Task, contest: Contest, record: Record, began: float) -> None:
        self._question = question
        self._task = task
        self._contest = contest
        self._record = record
        self._began = began
        has_both = len({one.is_trained for one in contest.candidates}) == 2
        self._blends = contest.blends and has_both

    def run(self) -> None:
        """Try what the schedule says, then a blend; then measure the best of each model as it would be served."""
        with self._bar() as bar:
            while job := self._next():
                self._carry_out(job, bar)
                self._record.forget(BLEND)  # of what was the best before
            if not any(one.model == BLEND for one in self._record.done) and self._spent < self._question.budget:
                self._try_blend(bar)
            for done in sorted(self._record.best().values(), key=lambda one: -(one.value or 0.0)):
                self._measure(done)
        self._record.is_complete = self._next(left=float("inf")) is None
        self._note_time()

    def result(self, manifest: SplitManifest) -> Compared:
        """The recommendation, its settings file, and the checkpoints gone."""
        record, metric = self._record, self._task.metric
        if not record.standings:
            reasons = sorted({f"{one.model}: {one.reason}" for one in record.done if one.reason})
            raise DataError(f"No model could be measured: {'; '.join(reasons) or 'the time was too short'}.")
        values = {model: record.values[model, metric] for model in record.standings}
        found = recommend(values, {model: simplicity_of(model, self._contest) for model in values}, metric)
        settings = Settings(model=found.pick, settings=record.standings[found.pick].settings)
        what = f"split {self._question.split} of {self._question.dataset.name}"
        write_settings(self._question.folder / BEST, settings, "\n".join([f"Compared on {what}.", *found.reasons()]))
        if record.is_complete:
            remove_models(self._question.folder)
        cautions = of_figures(found.n_users, self._task.asked.targets.shape[1], self._task.metrics, manifest)
        cautions = [*self._of_time(), *cautions, *found.limits()]
        return Compared(self._question, found, record, self._contest, settings, tuple(cautions))

    def _of_time(self) -> list[str]:
        """Who was not tried."""
        tried = {one.model for one in self._record.done}
        missing = [one.name for one in self._contest.candidates if one.name not in tried]
        if not missing:
            return []
        return [
            f"There was no time for {', '.join(missing)}: {self._question.budget:.0f} s are too few. Go on with "
            "--resume and a larger --budget."
        ]

    @property
    def _spent(self) -> float:
        return time.monotonic() - self._began

    @property
    def _end(self) -> float:
        """When trials end, so that there is time for a blend, and to measure all models."""
        budget, measuring = self._question.budget, self._record.measuring or 0.0
        reserved = min(MOST_MEASURING * budget, measuring * (len(self._contest.candidates) + self._blends))
        return budget - reserved - RESERVED * budget * self._blends

    def _next(self, left: float | None = None) -> Job | None:
        left = self._end - self._spent if left is None else left
        return next_job(self._contest.candidates, self._record.done, max(self._end, 0.0), left)

    def _carry_out(self, job: Job, bar: tqdm) -> None:
        candidate, started = self._contest.of(job.model), time.monotonic()
        if job.until != self._first_pause(candidate):
            self._drop_others()
        before = sum(one.seconds for one in self._record.done if (one.model, one.choice) == (job.model, job.choice))
        try:
            fitted = train_so_far(
                self._task,
                candidate.spec(job.choice),
                checkpoint=self._checkpoint(candidate, job),
                until=job.until,
                is_over=lambda: self._spent >= self._end,
            )
            done = self._judged(candidate, job, fitted)
        except FAILURES as error:
            done = Done(job.model, job.choice, 0, None, 0.0, reason=str(error) or type(error).__name__)
        self._note(replace(done, seconds=round(before + time.monotonic() - started, 3)), bar)

    def _judged(self, candidate: Candidate, job: Job, fitted: Fitted) -> Done:
        """What a fitted model is worth; kept where it is the best of its kind so far."""
        value = self._task.value(fitted.model)
        ran = len(fitted.history)
        planned, patience = candidate.base.training.epochs, candidate.base.training.patience
        is_whole = not ran or ran >= planned or bool(patience and ran - fitted.epochs >= patience)
        done = Done(job.model, job.choice, 0 if is_whole else ran, value, 0.0, ran, round(fitted.seconds, 3))
        best = self._record.best().get(job.model)
        if best is None or value > (best.value or 0.0) or best.choice == job.choice:
            keep_model(self._weights(job.model), job.model, fitted.model)
        return done

    def _measure(self, done: Done) -> None:
        """Measure the best trial of a model as it would be served, unless it was."""
        standing = self._record.standings.get(done.model)
        if standing and (standing.choice, standing.epochs) == (done.choice, done.epochs):
            return
        started = time.monotonic()
        measured = measure(self._task, load_model(self._weights(done.model), self._task.asked.targets.shape[1]))
        settings = settings_of(self._candidate(done.model).spec(done.choice)).settings
        self._record.stand(as_standing(done, settings, measured), measured)
        if self._record.measuring is None:
            self._record.measuring = round(time.monotonic() - started, 3)
        self._note_time()

    def _candidate(self, name: str) -> Candidate:
        blend = self._blend() if name == BLEND else None
        return blend[0] if blend else self._contest.of(name)

    def _blend(self) -> tuple[Candidate, Path] | None:
        """Of the best two of different kinds; with the checkpoint of the one that is trained by gradient."""
        best = self._record.best()
        kinds = {one.name: one.is_trained for one in self._contest.candidates if can_blend(one)}
        parts = best_parts({name: best[name].value or 0.0 for name in kinds if name in best}, kinds)
        if not self._blends or parts is None:
            return None
        autoencoder, linear = (self._contest.of(name) for name in parts)
        choices = [best[name].choice for name in parts]
        return blend_of(autoencoder, choices[0], linear, choices[1]), self._path(autoencoder, choices[0])

    def _try_blend(self, bar: tqdm) -> None:
        """The autoencoder is taken from its checkpoint."""
        started = time.monotonic()
        try:
            found = self._blend()
            if found is None:
                return
            fitted = train_so_far(self._task, found[0].base, checkpoint=found[1], is_over=self._is_up)
            done = self._judged(found[0], Job(BLEND, 0), fitted)
        except FAILURES as error:
            done = Done(BLEND, 0, 0, None, 0.0, reason=str(error) or type(error).__name__)
        self._note(replace(done, seconds=round(time.monotonic() - started, 3)), bar)

    def _is_up(self) -> bool:
        return self._spent >= self._question.budget

    def _note(self, done: Done, bar: tqdm) -> None:
        self._record.keep(done)
        if self._record.measuring is None and len(best := self._record.best()) == MEASURED_AFTER:
            self._measure(max(best.values(), key=lambda one: one.value or 0.0))  # to know how long it takes
        self._note_time()
        bar.write(_line(done, self._task.metric), file=sys.stderr)
        bar.n = min(int(self._spent), bar.total)
        bar.set_postfix_str(self._best_so_far())

    def _note_time(self) -> None:
        self._record.seconds = self._spent
        self._record.write()

    def _weights(self, name: str) -> Path:
        return self._question.folder / f"{self._place(name)}.weights"

    def _place(self, name: str) -> int:
        """A number for a file's name: names of models may hold anything."""
        return [*sorted(self._contest.choices), BLEND].index(name)

    def _first_pause(self, candidate: Candidate) -> int:
        first = next_job([candidate], [], float("inf"), float("inf"))
        return first.until if first else 0

    def _checkpoint(self, candidate: Candidate, job: Job) -> Path | None:
        if not candidate.is_trained:
            return None
        is_first_look = job.until == self._first_pause(candidate)
        too_large = candidate.cost is not None and candidate.cost.n_bytes > LARGEST_KEPT
        return None if is_first_look and too_large else self._path(candidate, job.choice)

    def _path(self, candidate: Candidate, choice: int) -> Path:
        return self._question.folder / f"{self._place(candidate.name)}-{choice}.safetensors"

    def _drop_others(self) -> None:
        """Checkpoints of those who do not go on."""
        kept = {
            self._path(self._contest.of(one.model), one.choice)
            for one in survivors(self._contest.candidates, self._record.done)
        }
        for checkpoint in set(self._question.folder.glob("*.safetensors")) - kept:
            checkpoint.unlink(missing_ok=True)

    def _bar(self) -> tqdm:
        """A bar over the time; a log file has the line of each trial instead."""
        total = max(1, int(self._question.budget))
        layout = "{desc}: {n_fmt}/{total_fmt} s |{bar}| {postfix}"
        return tqdm(total=total, desc="comparing", bar_format=layout, dynamic_ncols=True, disable=None)

    def _best_so_far(self) -> str:
        best = max(self._record.best().values(), key=lambda one: one.value or 0.0, default=None)
        return "" if best is None else f"best {self._task.metric}={best.value:.4f} {best.model}"


def _line(done: Done, metric: str) -> str:
    name = f"{done.model} #{done.choice}" if done.choice else done.model
    if done.value is None:
        return f"{name:<20} failed: {done.reason}"
    epochs = f"  {done.epochs} epochs{'' if done.until == 0 else ' so far'}" if done.epochs else ""
    return f"{name:<20} {metric} {done.value:.4f}{epochs}  {done.seconds:.1f} s"
