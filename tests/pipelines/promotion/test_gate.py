"""The gate lets through what is not worse, and nothing that is, wherever it is worse."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.promotion.comparison import Verdict
from pipelines.promotion.decision import Decision, Outcome
from pipelines.promotion.gate import gate
from pipelines.promotion.limits import GuardRails, Limits
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.interactions import Interactions
from recsys_vae.evaluation.splits import over_catalogue
from tests.pipelines import logs_of_tastes
from tests.pipelines.promotion import shop
from tests.pipelines.promotion.shop import bundle, day

LIMITS = Limits(metrics=("ndcg@5",), resamples=2_000)
NO_RAILS = LIMITS.model_copy(update={"guard_rails": GuardRails(max_days_behind=None)})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetDir:
    return shop.shop(tmp_path_factory.mktemp("shop") / "shop")


@pytest.fixture(scope="module")
def champion(dataset: DatasetDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("champion") / "bundle", dataset)


def verdicts(decision: Decision) -> dict[str, Verdict]:
    return {one.name: one.verdict for one in decision.slices}


def test_a_model_that_learned_from_shuffled_labels_is_refused(
    dataset: DatasetDir, champion: Path, tmp_path: Path
) -> None:
    decision = gate(champion, bundle(tmp_path / "b", dataset, fit=shop.shuffled), dataset, LIMITS)
    assert decision.outcome is Outcome.REFUSE
    assert verdicts(decision)["all users"] is Verdict.WORSE
    assert "It is worse on all users, ndcg@5" in decision.why


def test_one_that_is_worse_for_new_users_alone_is_refused(dataset: DatasetDir, champion: Path, tmp_path: Path) -> None:
    strict = gate(champion, bundle(tmp_path / "b", dataset, fit=shop.bad_for_new_users), dataset, LIMITS)
    assert strict.outcome is Outcome.REFUSE
    assert verdicts(strict)["new users"] is Verdict.WORSE
    assert {v for name, v in verdicts(strict).items() if name.startswith("history")} == {Verdict.NOT_WORSE}
    # It is the slice that refuses, also where the loss over all users would be let through.
    mild = gate(champion, tmp_path / "b", dataset, LIMITS.model_copy(update={"tolerance": 0.9}))
    assert mild.outcome is Outcome.REFUSE
    assert verdicts(mild)["all users"] is Verdict.NOT_WORSE
    assert "'new users'" in mild.why


def test_one_that_is_stale_by_a_month_is_refused_by_its_lists_and_by_its_age(
    dataset: DatasetDir, champion: Path, tmp_path: Path
) -> None:
    stale = bundle(tmp_path / "b", dataset, day(70))
    by_lists = gate(champion, stale, dataset, NO_RAILS)
    assert by_lists.outcome is Outcome.REFUSE
    assert verdicts(by_lists)["all users"] is Verdict.WORSE
    loose = LIMITS.model_copy(update={"tolerance": 0.99, "slice_tolerance": 0.99})
    by_age = gate(champion, stale, dataset, loose)
    assert by_age.outcome is Outcome.REFUSE
    assert any("days that its data end before the champion's is 29." in reason for reason in by_age.reasons)


def test_an_equal_model_is_promoted_as_not_worse(dataset: DatasetDir, champion: Path, tmp_path: Path) -> None:
    decision = gate(champion, bundle(tmp_path / "b", dataset, fit=shop.nearly_as_good), dataset, LIMITS)
    assert decision.outcome is Outcome.PROMOTE
    assert "not worse than the champion" in decision.why
    assert verdicts(decision)["all users"] is Verdict.NOT_WORSE
    needed = gate(champion, tmp_path / "b", dataset, LIMITS.model_copy(update={"require": "better"}))
    assert needed.outcome is Outcome.REFUSE
    assert "as the limits require" in needed.why


def test_the_champion_itself_is_not_measured(dataset: DatasetDir, champion: Path) -> None:
    decision = gate(champion, champion, dataset, LIMITS)
    assert (decision.outcome, decision.asked) == (Outcome.PROMOTE, None)
    assert "champion's bundle itself" in decision.why


def test_a_fresher_model_is_promoted_over_a_stale_one(dataset: DatasetDir, champion: Path, tmp_path: Path) -> None:
    decision = gate(bundle(tmp_path / "b", dataset, day(70)), champion, dataset, LIMITS)
    assert decision.outcome is Outcome.PROMOTE
    assert verdicts(decision)["all users"] is Verdict.BETTER


def test_guarded_are_history_popularity_and_segments(dataset: DatasetDir, champion: Path, tmp_path: Path) -> None:
    other = bundle(tmp_path / "b", dataset, fit=shop.nearly_as_good)
    decision = gate(champion, other, dataset, LIMITS)
    names = [one.name for one in decision.slices]
    assert names[:2] == ["all users", "new users"]
    assert [sum(name.startswith(kind) for name in names) for kind in ("history of", "items of", "country =")] == [
        3,
        3,
        2,
    ]
    sizes = {one.name: one.n_users for one in decision.slices}
    assert sum(n for name, n in sizes.items() if name.startswith(("history", "new"))) == sizes["all users"]
    confidences = {one.confidence for one in decision.slices if not one.is_overall}
    assert list(confidences) == [pytest.approx(1 - 0.05 / (len(names) - 1))]


def test_few_users_are_no_decision_and_the_limits_say_what_that_means(tmp_path: Path) -> None:
    few = shop.shop(tmp_path / "few", n_users=40)
    before, now = bundle(tmp_path / "a", few), bundle(tmp_path / "b", few, fit=shop.nearly_as_good)
    decision = gate(before, now, few, LIMITS)
    assert decision.outcome is Outcome.REFUSE
    assert "users could be asked, and a decision takes 30. Give a longer window" in decision.why
    assert all(one.low is None for one in decision.slices)
    let_through = gate(before, now, few, LIMITS.model_copy(update={"undecided": "warn"}))
    assert let_through.outcome is Outcome.PROMOTE
    assert any("users could be asked" in warning for warning in let_through.warnings)
    assert "not shown to be worse" in let_through.why


def test_a_first_model_has_to_be_better_than_popularity(dataset: DatasetDir, champion: Path, tmp_path: Path) -> None:
    first = gate(None, champion, dataset, LIMITS)
    assert first.outcome is Outcome.PROMOTE
    assert (first.champion, verdicts(first)["all users"]) == (None, Verdict.BETTER)
    useless = gate(None, bundle(tmp_path / "b", dataset, fit=shop.the_same_for_all), dataset, LIMITS)
    assert useless.outcome is Outcome.REFUSE
    assert "It is not better than popularity" in useless.why


def test_where_nobody_has_a_history_a_first_model_is_let_through_with_a_warning(
    dataset: DatasetDir, champion: Path, tmp_path: Path
) -> None:
    known = dataset.interactions().filter(pl.col("timestamp") <= shop.LAST_WEEK)
    newcomers = dataset.interactions().join(known, on="user_id", how="anti")
    decision = gate(None, champion, logs_of_tastes.dataset(tmp_path / "shop", newcomers.collect()), LIMITS)
    assert decision.outcome is Outcome.PROMOTE
    assert any("of whom nobody has a history" in warning for warning in decision.warnings)


@pytest.mark.parametrize(
    ("rail", "limit", "said"),
    [
        ("min_coverage_of_champion", 1.5, "coverage is"),
        ("max_top_item", 0.0, "share of the top item is"),
        ("max_latency_ms", 1e-6, "latency in ms is"),
        ("max_size_mb", 1e-6, "size in MB is"),
    ],
)
def test_a_guard_rail_refuses_whatever_the_lists_are_worth(
    dataset: DatasetDir, champion: Path, tmp_path: Path, rail: str, limit: float, said: str
) -> None:
    rails = GuardRails.model_validate({rail: limit})
    decision = gate(
        champion,
        bundle(tmp_path / "b", dataset, fit=shop.nearly_as_good),
        dataset,
        LIMITS.model_copy(update={"guard_rails": rails}),
    )
    assert decision.outcome is Outcome.REFUSE
    assert decision.reasons[0].startswith(f"Guard rail: {said}")


def half_the_items(known: Interactions, path: Path, provenance: Provenance) -> None:
    shop.good(over_catalogue(known, np.arange(0, known.n_items, 2)), path, provenance)


def test_what_a_model_does_not_know_it_misses_and_that_is_told(
    dataset: DatasetDir, champion: Path, tmp_path: Path
) -> None:
    decision = gate(champion, bundle(tmp_path / "b", dataset, fit=half_the_items), dataset, LIMITS)
    assert decision.champion is not None
    assert decision.asked is not None
    new = decision.champion.unknown_targets
    assert 0 < new < decision.challenger.unknown_targets < decision.asked.n_targets
    (unseen,) = [one for one in decision.slices if one.name == "items of 0 users"]
    assert (unseen.champion, unseen.challenger) == (0.0, 0.0)
    assert decision.outcome is Outcome.REFUSE


def test_a_decision_is_plain_values(dataset: DatasetDir, champion: Path) -> None:
    told = gate(None, champion, dataset, LIMITS).as_json()
    assert told["decision"] == "promoted"
    assert told["limits"]["metrics"] == ["ndcg@5"]
    assert {"name", "low", "high", "verdict", "margin"} <= told["slices"][0].keys()
    assert {"name", "challenger", "limit", "holds"} <= told["rails"][0].keys()
