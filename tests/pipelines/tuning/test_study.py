"""The study by itself: draws, the queue of interrupted trials, pruning; no model is trained."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.tuning.study import Plan, Study, open_study
from pipelines.tuning.trial import Outcome, PrunedError, PruningTracker
from recsys_vae.errors import BusyError, ConfigError
from recsys_vae.models.search_space import OneOf, Real, Value, Whole
from recsys_vae.training.tracking import NoTracker

SPACE = {"x": Real(0.1, 10.0, log=True), "width": Whole(10, 100, step=10), "kind": OneOf(("a", "b"))}
FIRST: Mapping[str, Value] = {"x": 1.0, "width": 50, "kind": "b"}
IDENTITY = {"model": "toy", "settings": {"epochs": 3}}


def plan(trials: int = 12) -> Plan:
    return Plan.of(SPACE, FIRST, seed=7, trials=trials, epochs=10)


def value(settings: Mapping[str, Value]) -> float:
    """Highest at x = 2."""
    return -abs(float(settings["x"]) - 2.0)


def run(study: Study, n: int) -> None:
    for _ in range(n):
        trial = study.ask()
        trial.complete(value(trial.settings))


def drawn(outcomes: list[Outcome]) -> list[dict[str, Value]]:
    return [outcome.settings for outcome in outcomes]


def test_the_first_trial_has_the_defaults_and_all_lie_within_bounds(tmp_path: Path) -> None:
    with open_study(tmp_path / "s", plan(), IDENTITY, resume=False) as study:
        run(study, 5)
        tried = drawn(study.outcomes())
    assert tried[0] == FIRST
    assert all(settings[name] in SPACE[name] for settings in tried for name in SPACE)
    assert len({settings["x"] for settings in tried}) == 5


def test_a_resumed_study_makes_the_draws_of_an_uninterrupted_one(tmp_path: Path) -> None:
    with open_study(tmp_path / "whole", plan(), IDENTITY, resume=False) as study:
        run(study, 12)
        whole = study.outcomes()
    for n in (1, 2, 5, 4):  # within the random trials, and after
        with open_study(tmp_path / "parts", plan(), IDENTITY, resume=True) as study:
            run(study, n)
            study.ask()  # and is killed
    with open_study(tmp_path / "parts", plan(), IDENTITY, resume=True) as study:
        assert drawn(study.outcomes()) == drawn(whole)
        assert [outcome.number for outcome in study.outcomes()] == list(range(1, 13))


def test_an_interrupted_trial_comes_back_with_what_it_knew(tmp_path: Path) -> None:
    with open_study(tmp_path / "s", plan(), IDENTITY, resume=False) as study:
        run(study, 1)
        killed = study.ask()
        killed.note(run_id="r1")
        killed.report(0.5, 1)
    with open_study(tmp_path / "s", plan(), IDENTITY, resume=True) as study:
        again = study.ask()
        assert (again.settings, again.number, again.run_id) == (killed.settings, 2, "r1")
        assert again.is_resumed
        again.report(0.5, 1)  # what was trained again is told again
        again.report(0.6, 2)
        again.complete(0.6)
        assert not study.ask().is_resumed


def test_a_trial_worse_than_the_median_is_cut_short(tmp_path: Path) -> None:
    with open_study(tmp_path / "s", plan(trials=4), IDENTITY, resume=False) as study:
        good = study.ask()
        for epoch in (1, 2):
            good.report(0.5, epoch)
        good.complete(0.5)
        bad = study.ask()
        told = PruningTracker(NoTracker(), bad, "ndcg@100")
        with pytest.raises(PrunedError):
            told.log_metrics({"loss": 3.0, "ndcg@100": 0.4}, 1)
        bad.prune("worse")
        better = study.ask()
        PruningTracker(NoTracker(), better, "ndcg@100").log_metrics({"ndcg@100": 0.6}, 1)
        better.complete(0.6)
        states = [(o.pruned, o.value, o.facts.get("reason")) for o in study.outcomes()]
    assert states == [(False, 0.5, None), (True, 0.4, "worse"), (False, 0.6, None)]


def test_nothing_is_cut_short_before_enough_trials_and_epochs(tmp_path: Path) -> None:
    patient = Plan(SPACE, FIRST, seed=7, random_trials=2, full_trials=2, warm_up=3)
    with open_study(tmp_path / "s", patient, IDENTITY, resume=False) as study:
        for level in (0.5, 0.4):
            trial = study.ask()
            for epoch in (1, 2, 3):
                trial.report(level, epoch)
            trial.complete(level)
        third = study.ask()
        third.report(0.1, 1)
        third.report(0.1, 2)
        with pytest.raises(PrunedError):
            third.report(0.1, 3)


def test_a_quarter_of_the_trials_is_random() -> None:
    plans = [Plan.of(SPACE, FIRST, seed=0, trials=trials, epochs=200) for trials in (1, 8, 40, 400)]
    assert [(p.random_trials, p.full_trials) for p in plans] == [(1, 1), (2, 2), (10, 5), (10, 5)]
    assert plans[0].warm_up == 20


def test_a_study_is_continued_only_when_asked_and_only_as_it_was_begun(tmp_path: Path) -> None:
    with open_study(tmp_path / "s", plan(), IDENTITY, resume=False) as study:
        run(study, 1)
    with pytest.raises(ConfigError, match="--resume"), open_study(tmp_path / "s", plan(), IDENTITY, resume=False):
        pass
    with open_study(tmp_path / "s", plan(), IDENTITY | {"settings": {"epochs": 3, "new": 0}}, resume=True) as study:
        assert len(study.outcomes()) == 1
    other = IDENTITY | {"settings": {"epochs": 4}}
    with (
        pytest.raises(ConfigError, match=r"\(settings\.epochs\)"),
        open_study(tmp_path / "s", plan(), other, resume=True),
    ):
        pass


def test_two_processes_do_not_work_on_one_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_study(tmp_path / "s", plan(), IDENTITY, resume=False), monkeypatch.context() as elsewhere:
        elsewhere.setattr("recsys_vae.locks._held", {})  # what another process knows of it
        with pytest.raises(BusyError, match="is being worked on by process"):
            open_study(tmp_path / "s", plan(), IDENTITY, resume=True).__enter__()
