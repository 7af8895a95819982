"""Course: a comparison under way, from its first trial to the last measurement. The schedule says what is next."""

import sys
import time
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from pipelines.selection.blending import Part, best_two, blend_of, thirds, with_third
from pipelines.selection.candidates import BLEND, Candidate, Contest
from pipelines.selection.kept_models import keep_model, load_model
from pipelines.selection.question import Question
from pipelines.selection.recommendation import words
from pipelines.selection.record import Record, as_standing
from pipelines.selection.schedule import Done, Job, next_job, survivors
from pipelines.selection.trials import Task, measure, train_so_far
from pipelines.training.fit import Fitted, ModelSpec
from pipelines.training.model_settings import settings_of
from recsys_vae.errors import ConfigError, DataError, TrainingError
from recsys_vae.models.blend import Blend
from recsys_vae.protocols import Recommender

RESERVED, MOST_MEASURING = 0.1, 0.4
"""Shares of the time that are kept for a blend, and at most for measuring the best of each model as served."""
MEASURED_AFTER = 3
"""So many models are tried before one is measured as served, which tells how long that takes."""
LARGEST_KEPT = 1 << 30
"""Bytes of a training's state; larger ones are kept only of those who go on after their first look."""
THREE = 1
"""Choice of settings of a blend: that of three."""
FAILURES = (ConfigError, DataError, TrainingError, MemoryError)
"""What ends a trial, and not the comparison."""


class Course:
    """A comparison under way.

    Args:
        question: what is compared.
        task: what every trial is given.
        contest: who is tried.
        record: what is kept.
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
        """Try what the schedule says, then blends; then measure the best of each model as it would be served."""
        with self._bar() as bar:
            while job := self._next():
                self._carry_out(job, bar)
                self._record.forget(BLEND)  # of what was the best before
            if not any(one.model == BLEND for one in self._record.done) and not self._is_up():
                self._try_blend(bar)
            if not any((one.model, one.choice) == (BLEND, THREE) for one in self._record.done) and not self._is_up():
                self._try_three(bar)
            for done in sorted(self._record.best().values(), key=lambda one: -(one.value or 0.0)):
                self._measure(done)
        self._record.is_complete = self._next(left=float("inf")) is None
        self._note_time()

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
            keep_model(self._weights(job.model, job.choice), job.model, fitted.model)
        return done

    def _measure(self, done: Done) -> None:
        """Measure the best trial of a model as it would be served, unless it was."""
        standing = self._record.standings.get(done.model)
        if standing and (standing.choice, standing.epochs) == (done.choice, done.epochs):
            return
        started = time.monotonic()
        model = self._kept(done.model, done.choice)
        measured = measure(self._task, model)
        settings = settings_of(self._spec(done, model)).settings
        self._record.stand(as_standing(done, settings, measured), measured)
        if self._record.measuring is None:
            self._record.measuring = round(time.monotonic() - started, 3)
        self._note_time()

    def _spec(self, done: Done, model: Recommender) -> ModelSpec:
        """A trial's model with its settings; of a blend, the shares left open."""
        two = self._two()
        if not isinstance(model, Blend) or two is None:
            return self._contest.of(done.model).spec(done.choice)
        best = self._record.best()
        more = [(self._contest.of(part.model), best[part.model].choice) for part in model.config.more]
        return blend_of([*two, *more]).base

    def _two(self) -> tuple[Part, Part] | None:
        return best_two(self._contest, self._record.best()) if self._blends else None

    def _try_blend(self, bar: tqdm) -> None:
        """Of two. The one that is trained by gradient is taken from its checkpoint."""
        two, started = self._two(), time.monotonic()
        if two is None:
            return
        blend = blend_of(two)
        try:
            fitted = train_so_far(self._task, blend.base, checkpoint=self._path(*two[0]), is_over=self._is_up)
            done = self._judged(blend, Job(BLEND, 0), fitted)
        except FAILURES as error:
            done = Done(BLEND, 0, 0, None, 0.0, reason=str(error) or type(error).__name__)
        self._note(replace(done, seconds=round(time.monotonic() - started, 3)), bar)

    def _try_three(self, bar: tqdm) -> None:
        """The blend of two with a third part; noted where it is measurably better, as two are simpler."""
        best, two, started = self._record.best(), self._two(), time.monotonic()
        if two is None or BLEND not in best:
            return
        blend = self._kept(BLEND)
        assert isinstance(blend, Blend)
        others = thirds(self._contest, best, two)
        end = self._question.budget - (self._record.measuring or 0.0) * len(best)
        try:
            found = with_third(self._task, blend, two, others, self._kept, lambda: end - self._spent)
        except FAILURES:
            found = None  # two are there in any case
        if found is None:
            return
        seconds = round(time.monotonic() - started, 3)
        if found.is_better:
            keep_model(self._weights(BLEND, THREE), BLEND, found.model)
            done = replace(best[BLEND], choice=THREE, value=found.value, seconds=seconds)
            self._note(done, bar)
        else:
            told = f"not measurably better with {found.third}, {words(found.gain)}"
            bar.write(f"{BLEND:<20} {told}  {seconds:.1f} s", file=sys.stderr)

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

    def _kept(self, name: str, choice: int = 0) -> Recommender:
        return load_model(self._weights(name, choice), self._task.asked.targets.shape[1])

    def _weights(self, name: str, choice: int = 0) -> Path:
        """Of the best trial of a model so far; of either blend."""
        number = f"-{choice}" if name == BLEND and choice else ""
        return self._question.folder / f"{self._place(name)}{number}.weights"

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
    if (done.model, done.choice) == (BLEND, THREE):
        name = f"{BLEND} of three"
    if done.value is None:
        return f"{name:<20} failed: {done.reason}"
    epochs = f"  {done.epochs} epochs{'' if done.until == 0 else ' so far'}" if done.epochs else ""
    return f"{name:<20} {metric} {done.value:.4f}{epochs}  {done.seconds:.1f} s"
