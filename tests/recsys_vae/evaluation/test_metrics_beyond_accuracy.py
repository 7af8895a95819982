"""Metrics beyond accuracy, each on a case solved by hand."""

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.item_facts import ItemFacts
from recsys_vae.evaluation.metrics import RankedLists, parse_metric
from recsys_vae.evaluation.overall_metrics import GROUPS, Gini, PopularityLift, gini, ratio_of_means
from recsys_vae.evaluation.ranked_lists import Float64Array, is_of_users
from tests.recsys_vae.evaluation.fakes import FixedScores, held_out
from tests.worlds import csr

TABLE = pl.DataFrame(
    {
        "price": [10.0, 5.0, None, 1.0, float("nan")],
        "genres": [["a"], ["a", "b"], ["b"], None, ["c"]],
        "name": ["p", "q", "r", "s", "t"],
        "Margin": [1.0, -2.0, 0.0, 0.0, 0.0],
    }
)
FACTS = ItemFacts(counts=np.array([8, 4, 2, 2, 0]), table=TABLE, training=csr([[0, 1], [0], [1, 2], [0, 3]], 5))


def lists(
    rows: list[list[int]], targets: list[list[int]], histories: list[list[int]], weights: list[float] | None = None
) -> RankedLists:
    shown = csr(histories, 5)
    if weights is not None:
        shown = csr_array((np.array(weights, dtype=np.float32), shown.indices, shown.indptr), shape=shown.shape)
    hits = [[row in wanted for row in found] for found, wanted in zip(rows, targets, strict=True)]
    return RankedLists(
        np.array(rows), np.array(hits), np.array([max(1, len(t)) for t in targets]), None, FACTS, shown, csr(targets, 5)
    )


def of_users(name: str, found: RankedLists) -> Float64Array:
    metric = parse_metric(name)
    assert metric.name == name
    assert is_of_users(metric)
    return metric.per_user(found)


def test_hits_are_worth_what_the_column_says() -> None:
    # The first hits items 3 (price 1) and 0 (10), and misses 1 (5); the second hits 2, without a price.
    found = lists([[3, 0, 2], [2, 0, 1]], [[0, 1, 3], [2]], [[], []])
    np.testing.assert_allclose(of_users("value@1[price]", found), [1, 0])
    np.testing.assert_allclose(of_users("value@2[price]", found), [11, 0])
    np.testing.assert_allclose(of_users("value-recall@2[price]", found), [11 / 15, np.nan])
    np.testing.assert_allclose(of_users("value-recall@3[price]", found), [11 / 16, np.nan])
    ideal = 10 + 5 / np.log2(3)
    np.testing.assert_allclose(of_users("value-ndcg@2[price]", found), [(1 + 10 / np.log2(3)) / ideal, np.nan])
    np.testing.assert_allclose(of_users("value@3[Margin]", found), [1, 0])


def test_a_perfect_list_by_value_has_one() -> None:
    found = lists([[0, 1, 3]], [[0, 1, 3]], [[]])
    assert of_users("value-recall@3[price]", found) == pytest.approx([1.0])
    assert of_users("value-ndcg@3[price]", found) == pytest.approx([1.0])


def test_shares_of_values_below_zero_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"value@k\[Margin\], a plain sum"):
        of_users("value-recall@2[Margin]", lists([[0]], [[0]], [[]]))


def test_repeats_and_novel_items_apart() -> None:
    # History 0 1; targets 0 (a repeat), 2 and 3 (novel). The list holds 0 at rank 2 and 2 at rank 1.
    found = lists([[2, 0, 4, 1], [0, 1, 2, 3]], [[0, 2, 3], [4]], [[0, 1], [0]])
    np.testing.assert_allclose(of_users("recall@2[repeat]", found), [1, np.nan])
    np.testing.assert_allclose(of_users("recall@2[novel]", found), [1 / 2, 0])
    np.testing.assert_allclose(of_users("ndcg@2[repeat]", found), [1 / np.log2(3), np.nan])
    np.testing.assert_allclose(of_users("mrr@2[novel]", found), [1, 0])
    np.testing.assert_allclose(of_users("repeat-share@4", found), [2 / 4, 1 / 4])


def test_miscalibration_is_the_divergence_of_steck() -> None:
    # History: 0 (a) with weight 3, 2 (b) with weight 1, and 4, which speaks against: p = a 3/4, b 1/4.
    # List: 1 (a and b by half) and 3 (no value): q = a 1/2, b 1/2.
    found = lists([[1, 3]], [[1]], [[0, 2, 4]], [3.0, 1.0, -9.0])
    mixed = np.array([0.99 * 0.5 + 0.01 * 0.75, 0.99 * 0.5 + 0.01 * 0.25])
    expected = 0.75 * np.log(0.75 / mixed[0]) + 0.25 * np.log(0.25 / mixed[1])
    assert of_users("miscalibration@2[genres]", found) == pytest.approx([expected])
    alike = lists([[0, 0, 0, 2]], [[1]], [[0, 2]], [3.0, 1.0])
    assert of_users("miscalibration@4[genres]", alike) == pytest.approx([0.0], abs=1e-7)
    foreign = lists([[4, 3]], [[1]], [[0]])
    assert of_users("miscalibration@2[genres]", foreign) == pytest.approx([-np.log(0.01)])
    assert np.isnan(of_users("miscalibration@2[genres]", lists([[4, 0]], [[1]], [[3]]))).all()


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    # By genres: cos(0, 1) = 1/sqrt(2), cos(0, 2) = 0, cos(1, 2) = 1/sqrt(2); 3 has none and is left out.
    found = lists([[0, 1, 2, 3], [3, 0, -1, -1]], [[1], [1]], [[], []])
    np.testing.assert_allclose(of_users("diversity@4[genres]", found), [1 - np.sqrt(2) / 3, np.nan], atol=1e-6)
    np.testing.assert_allclose(of_users("diversity@2[genres]", found), [1 - np.sqrt(0.5), np.nan], atol=1e-6)
    # By users: 0 by users 0 1 3, 1 by 0 2, 3 by 3: cos(0, 1) = 1/sqrt(6), cos(0, 3) = 1/sqrt(3).
    np.testing.assert_allclose(of_users("diversity@2", found), [1 - 1 / np.sqrt(6), 1 - 1 / np.sqrt(3)], atol=1e-6)


def test_gini_of_equal_shares_is_zero_and_of_one_item_one() -> None:
    assert gini(np.array([2, 2, 2])) == 0
    assert gini(np.array([0, 5, 0])) == 1
    assert gini(np.array([1, 2, 3])) == pytest.approx((-2 * 1 + 0 * 2 + 2 * 3) / 6 / 2)
    tally = Gini(2).tally(3)
    tally.add(lists([[0, 1, 2], [1, 2, 0]], [[0], [0]], [[], []]))  # shown 0: 1, 1: 2, 2: 1
    value, error = tally.result()
    assert value == pytest.approx((-2 * 1 + 0 + 2 * 2) / 4 / 2)
    assert np.isnan(error)


def test_the_jackknife_of_gini_is_that_of_resampled_users() -> None:
    rng = np.random.default_rng(0)
    shares = np.arange(1, 31) / np.arange(1, 31).sum()
    shown = np.array([rng.choice(30, 5, replace=False, p=shares) for _ in range(2000)])
    tally = Gini(5).tally(30)
    for part in np.split(shown, 4):
        tally.add(RankedLists(part, np.zeros(part.shape, bool), np.ones(len(part), int)))
    drawn = [np.bincount(shown[rng.integers(2000, size=2000)].ravel(), minlength=30) for _ in range(300)]
    spread = np.std([gini(counts) for counts in drawn])
    assert tally.result()[1] == pytest.approx(spread, rel=3 / np.sqrt(2 * GROUPS))


def test_popularity_lift_is_that_of_the_means() -> None:
    # Lists: mean popularity (8+4)/2 = 6 and (2+2)/2 = 2; histories 4 and 2. (4 - 3) / 3.
    tally = PopularityLift(2).tally(5)
    tally.add(lists([[0, 1], [2, 3]], [[0], [0]], [[1], [2]]))
    tally.add(lists([[0, 1]], [[0]], [[]]))  # without a history: left out
    value, error = tally.result()
    assert value == pytest.approx(1 / 3)
    residuals = np.array([6 - 4 / 3 * 4, 2 - 4 / 3 * 2])
    assert error == pytest.approx(np.sqrt(2 * (residuals**2).sum()) / 6)
    assert np.isnan(ratio_of_means(np.zeros(0), np.zeros(0))[0])


def test_the_error_of_a_ratio_holds_in_simulation() -> None:
    rng = np.random.default_rng(1)
    draws = rng.gamma(2.0, size=(2000, 50, 1)) * rng.gamma(5.0, size=(2000, 50, 2))
    found = [ratio_of_means(draw[:, 0], draw[:, 1]) for draw in draws]
    assert np.mean([error for _, error in found]) == pytest.approx(np.std([ratio for ratio, _ in found]), rel=0.1)


def test_all_of_them_through_evaluate() -> None:
    model = FixedScores(np.tile(np.arange(5), (5, 1)))
    names = ["value@2[price]", "recall@2[repeat]", "miscalibration@2[genres]", "diversity@2", "gini@2",
             "popularity-lift@2", "repeat-share@3", "recall@2", "mrr"]  # fmt: skip
    users = held_out([[0], [1, 4], [3]], [[4], [4, 3], [3]], 5)
    found = evaluate(model, users, names, facts=FACTS, repeat="allow", batch_size=2)
    assert list(found.means) == names
    assert found.per_user["recall@2"].tolist() == [1, 1, 1]  # everybody gets 4 3
    assert found.per_user["recall@2[repeat]"].tolist()[1:] == [1, 1]
    assert np.isnan(found.per_user["recall@2[repeat]"][0])
    assert (found.means["recall@2[repeat]"], found.standard_errors["recall@2[repeat]"]) == (1, 0)
    assert found.per_user["repeat-share@3"].tolist() == pytest.approx([0, 1 / 3, 1 / 3])
    assert found.per_user["mrr"].tolist() == [1, 1, 1 / 2]
    only = evaluate(model, users, ["recall@2", "repeat-share@3"], facts=FACTS, repeat="only")
    assert only.per_user["recall@2"].tolist() == [0, 1 / 2, 1]
    assert only.per_user["repeat-share@3"].tolist() == [1, 1, 1]


def test_what_is_missing_is_named() -> None:
    users, model = held_out([[0]], [[1]], 5), FixedScores(np.ones((5, 5)))
    with pytest.raises(ConfigError, match="there are none"):
        evaluate(model, users, ["value@2[price]"])
    with pytest.raises(UnknownNameError, match="Did you mean 'price'"):
        evaluate(model, users, ["value@2[prise]"], facts=FACTS)
    with pytest.raises(ConfigError, match="'name' of the items holds String; expected numbers"):
        evaluate(model, users, ["value@2[name]"], facts=FACTS)
    with pytest.raises(ConfigError, match=r"needs a column of the items, as in value@20\[price\]"):
        evaluate(model, users, ["value@2"])
    with pytest.raises(ConfigError, match="name a column"):
        evaluate(model, users, ["diversity@2"])
    with pytest.raises(ConfigError, match="item_counts"):
        evaluate(model, users, ["popularity-lift@2"])
    with pytest.raises(UnknownNameError, match="exclude"):
        evaluate(model, users, ["recall@2"], repeat="never")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Write mrr@20"):
        evaluate(model, users, ["mrr"], repeat="only")
    with pytest.raises(ConfigError, match="needs the length of the list"):
        parse_metric("mrr[repeat]")
    with pytest.raises(ConfigError, match="histories"):
        parse_metric("repeat-share@2").per_user(  # type: ignore[union-attr]
            RankedLists(np.array([[0]]), np.array([[True]]), np.array([1]))
        )
