"""Compare: candidates are trained on a split, tuned a little and measured on its validation part, and one is
recommended. The test part is not read.

A comparison under way is the course's (course.py), what is tried and in which order the schedule's (schedule.py), what
is kept the record's (record.py).
"""

import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import Any

from pipelines.console import say_if_new
from pipelines.dataset.splits import SplitManifest, read_manifest
from pipelines.evaluation.cautions import of_figures
from pipelines.free_memory import free_memory
from pipelines.selection.candidates import BLEND, Contest, choose_candidates
from pipelines.selection.course import Course
from pipelines.selection.machine import operations_a_second
from pipelines.selection.question import Question
from pipelines.selection.recommendation import Recommendation, recommend
from pipelines.selection.record import BEST, PAGE, WRITTEN, Record, remove_models
from pipelines.selection.schedule import least_left
from pipelines.selection.trials import Task
from pipelines.training.model_settings import OF_THE_MACHINE, Settings, write_settings
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.evaluation.metrics import parse_metric
from recsys_vae.locks import exclusive
from recsys_vae.models.cost import Sizes
from recsys_vae.models.weighting import without_effect
from recsys_vae.outputs import check_output
from recsys_vae.storage import storing

__all__ = ["Compared", "Question", "compare", "default_metric", "plan"]
SMALL_CATALOGUE = 200
"""Items; below, lists are cut at a fifth of the catalogue instead of at 20 and 100."""


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
        resume: go on with the comparison that is there; where there is none, begin, and say so.
        afresh: but begin anew where it is about something else.

    Raises:
        ConfigError: a comparison of that name is there and not to be resumed, or is about something else.
        DataError: no model could be measured; nothing is left of the comparison then.
    """
    started = time.monotonic()
    check_output(question.folder, WRITTEN)
    if resume and not afresh:
        say_if_new("comparison", question.folder.name, question.dataset.comparisons())
    question, task, contest, manifest = plan(question)
    with storing(question.folder), exclusive(question.folder):
        record = Record.open(question.folder, _identity(question, contest, manifest), resume=resume, afresh=afresh)
        question.folder.mkdir(parents=True, exist_ok=True)
        if not record.is_complete:
            Course(question, task, contest, record, started - record.seconds).run()
        if not record.standings:
            rmtree(question.folder)
            raise DataError(f"No model could be measured: {_why_none(question, contest, record)}")
        return _result(question, task, contest, record, manifest)


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


def _result(question: Question, task: Task, contest: Contest, record: Record, manifest: SplitManifest) -> Compared:
    """The recommendation, its settings file, and the checkpoints gone."""
    values = {model: record.values[model, task.metric] for model in record.standings}
    found = recommend(values, {model: simplicity_of(model, contest) for model in values}, task.metric)
    settings = Settings(model=found.pick, settings=record.standings[found.pick].settings)
    what = f"split {question.split} of {question.dataset.name}"
    write_settings(question.folder / BEST, settings, "\n".join([f"Compared on {what}.", *found.reasons()]))
    if record.is_complete:
        remove_models(question.folder)
    cautions = of_figures(found.n_users, task.asked.targets.shape[1], task.metrics, manifest)
    cautions = [*_of_time(question, contest, record), *cautions, *found.limits()]
    return Compared(question, found, record, contest, settings, tuple(cautions))


def _why_none(question: Question, contest: Contest, record: Record) -> str:
    """Why no model was measured, and what to do."""
    if reasons := sorted({f"{one.model}: {one.reason}" for one in record.done if one.reason}):
        return f"{'; '.join(reasons)}."
    enough = math.ceil((record.seconds + least_left(contest.candidates)) / 5) * 10  # twice what it takes, and round
    return (
        f"{question.budget:g} s are too few to begin with any. Nothing is kept of it; run it again with --budget "
        f"{enough}s for the cheapest, or more for all."
    )


def _of_time(question: Question, contest: Contest, record: Record) -> list[str]:
    """Who was not tried."""
    tried = {one.model for one in record.done}
    missing = [one.name for one in contest.candidates if one.name not in tried]
    if not missing:
        return []
    return [
        f"There was no time for {', '.join(missing)}: {question.budget:.0f} s are too few. Go on with "
        "--resume and a larger --budget."
    ]
