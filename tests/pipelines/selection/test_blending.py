import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from pipelines.selection import blending, course
from pipelines.selection.blending import Part, Three, best_two, blend_of, thirds, with_third
from pipelines.selection.candidates import Contest
from pipelines.selection.compare import Question, compare, plan
from pipelines.selection.schedule import Done
from pipelines.selection.trials import Task
from pipelines.training.model_settings import specify
from pipelines.training.train import Output, train_bundle
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.evaluation.bootstrap import Interval
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend
from recsys_vae.protocols import Recommender
from recsys_vae.training.blend_weight import choose_shares
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.fit import solve
from tests.pipelines.datasets_of_tastes import dataset_of_tastes

SMALL = TrainingConfig(epochs=8, patience=0, batch_size=16, device="cpu")
MODELS = ("popularity", "ease", "edlae", "graph-filter", "mult-dae", "mult-vae", "blend")


@pytest.fixture
def question(mlflow_home: Path) -> Question:
    dataset: DatasetDir = dataset_of_tastes(mlflow_home / "datasets" / "tastes")
    return Question(dataset, budget=600.0, training=SMALL, only=MODELS)


def trials(**values: float) -> dict[str, Done]:
    """Of each model, the second choice of its settings."""
    return {name.replace("_", "-"): Done(name.replace("_", "-"), 1, 0, value, 1.0) for name, value in values.items()}


def names(parts: list[Part]) -> list[str]:
    return sorted(one.name for one, _ in parts)


def test_a_third_part_is_solved_or_trained_as_the_blend_would_train_it(question: Question) -> None:
    contest = plan(question)[2]
    best = trials(popularity=0.5, ease=0.4, edlae=0.3, mult_dae=0.3, mult_vae=0.2)
    two = best_two(contest, best)
    assert two is not None
    assert [one.name for one, _ in two] == ["mult-dae", "ease"]
    assert names(thirds(contest, best, two)) == ["edlae"]  # the training settings that were drawn are mult-vae's own
    alike = {name: replace(done, choice=0) for name, done in best.items()}
    two = best_two(contest, alike)
    assert two is not None
    assert names(thirds(contest, alike, two)) == ["edlae", "mult-vae"]
    alike["mult-vae"] = replace(alike["mult-vae"], until=3)
    assert names(thirds(contest, alike, two)) == ["edlae"]


def test_what_does_not_fit_the_memory_is_no_third_part(question: Question, monkeypatch: pytest.MonkeyPatch) -> None:
    contest = plan(question)[2]
    best = trials(ease=0.4, edlae=0.3, mult_dae=0.3)
    two = best_two(contest, best)
    assert two is not None
    monkeypatch.setattr(blending, "free_memory", lambda: 1.0)
    assert thirds(contest, best, two) == []


def test_a_blend_of_three_holds_the_settings_of_its_parts(question: Question) -> None:
    contest = plan(question)[2]
    parts = [(contest.of(name), choice) for name, choice in (("mult-dae", 1), ("ease", 0), ("edlae", 2))]
    config = blend_of(parts).base.config
    assert [part.model for part in config.more] == ["edlae"]
    assert config.more[0].config == contest.of("edlae").spec(2).config
    assert config.autoencoder.config == contest.of("mult-dae").spec(1).config
    assert not config.weight


class World:
    """Two parts that know nothing, one that knows the tastes, and one that takes items for others."""

    def __init__(self, question: Question) -> None:
        _, self.task, contest, _ = plan(question)
        self.contest: Contest = contest
        self.two = (contest.of("mult-dae"), 0), (contest.of("ease"), 0)
        train = self.task.split.train.matrix
        self.n_items = train.shape[1]
        confused = csr_array(train.toarray()[:, np.arange(self.n_items).reshape(2, -1).T.ravel()])
        torch.manual_seed(0)
        self.models: dict[str, Recommender] = {}
        for name, learned in (("mult-dae", None), ("ease", None), ("edlae", train), ("graph-filter", confused)):
            self.models[name] = catalog.create(name, self.n_items, contest.of(name).spec(0).config)
            if learned is not None:
                solve(self.models[name], learned)  # type: ignore[arg-type]
        self.nothing = csr_array(train.shape, dtype=np.float32)
        solve(self.models["ease"], self.nothing)  # type: ignore[arg-type]
        parts = [self.models["mult-dae"], self.models["ease"]]
        self.blend = Blend(self.n_items, blend_of(self.two).base.config, parts)
        self.blend.weigh(0.5)

    def found(self, *others: str, left: float = 1e6) -> Three | None:
        parts = [(self.contest.of(name), 0) for name in others]
        return with_third(self.task, self.blend, self.two, parts, self.models.__getitem__, lambda: left)


def test_the_part_that_helps_most_is_taken(question: Question) -> None:
    world = World(question)
    found = world.found("graph-filter", "edlae")
    assert found is not None
    assert found.third == "edlae"
    assert found.is_better
    task: Task = world.task
    assert task.value(found.model) == pytest.approx(found.value)
    assert found.value - task.value(world.blend) == pytest.approx(found.gain.difference)
    assert found.model.config.more[0].share > 0


def test_nothing_is_added_that_does_not_help_or_for_which_there_is_no_time(question: Question) -> None:
    world = World(question)
    assert world.found() is None
    assert world.found("edlae", left=0.0) is None
    solve(world.models["edlae"], world.nothing)  # type: ignore[arg-type]
    assert world.found("edlae") is None


@pytest.mark.parametrize(
    ("ends", "better"), [((0.01, 0.03), True), ((-0.01, 0.03), False), ((math.nan, math.nan), False)]
)
def test_better_is_what_measurably_is(ends: tuple[float, float], better: bool) -> None:
    gain = Interval(0.02, *ends, 0.95)
    assert Three(Blend(12, catalog.configure("blend", {})), "edlae", 0.5, gain).is_better == better


def test_a_blend_of_three_stands_where_it_is_better_and_trains_to_its_figures(
    question: Question, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def better(task: Task, blend: Blend, two: Any, others: list[Part], load: Any, left: Any) -> Three:
        third = next(one for one in others if not one[0].is_trained)
        made = Blend(blend.n_items, blend_of([*two, third]).base.config, [*blend.parts, load(third[0].name)])
        choose_shares(made, task.asked, task.metric)
        return Three(made, third[0].name, 1.0, Interval(0.1, 0.05, 0.2, 0.95))

    few = replace(question, only=("ease", "edlae", "mult-dae", "blend"))
    monkeypatch.setattr(course, "with_third", better)
    found = compare(few)
    standing = found.record.standings["blend"]
    assert standing.settings["more"] in ("edlae", "ease")
    assert standing.settings["weight"] == 0
    output = Output(tmp_path / "bundle", registered_name="tastes")
    train_bundle(few.dataset, "strong", specify("blend", standing.settings), output, resume=False)
    bundle, metric = Bundle.load(output.path), found.recommendation.metric
    value = evaluate(bundle.model, load_split(few.dataset, "strong").validation, [metric]).means[metric]
    assert value == pytest.approx(standing.means[metric])
    assert compare(few, resume=True).record.standings == found.record.standings
