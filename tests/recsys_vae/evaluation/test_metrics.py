import numpy as np
import pytest

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.evaluation.item_facts import ItemFacts
from recsys_vae.evaluation.metrics import Coverage, RankedLists, known_metrics, parse_metric
from recsys_vae.evaluation.ranked_lists import is_of_users

# Four users, lists of five: hits at ranks 1 and 3; none; all five; rank 5. They have 3, 1, 8 and 1 targets.
HITS = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]], dtype=bool)
LISTS = RankedLists(
    rows=np.array([[4, 3, 2, 1, 0], [0, 1, 2, -1, -1], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]),
    hits=HITS,
    relevant=np.array([3, 1, 8, 1]),
    first_rank=np.array([1, 7, 1, 5]),
    facts=ItemFacts(counts=np.array([16, 8, 4, 2, 1])),  # 31 in all
)
BITS = np.log2(31 / np.array([16, 8, 4, 2, 1]))
IDEAL_3 = 1 + 1 / np.log2(3) + 1 / 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall@5", [2 / 3, 0, 5 / 5, 1]),
        ("recall@2", [1 / 2, 0, 2 / 2, 0]),
        ("recall@5[all]", [2 / 3, 0, 5 / 8, 1]),
        ("precision@5", [2 / 5, 0, 1, 1 / 5]),
        ("hit-rate@4", [1, 0, 1, 0]),
        ("ndcg@5", [(1 + 1 / 2) / IDEAL_3, 0, 1, 1 / np.log2(6)]),
        ("map@5", [(1 + 2 / 3) / 3, 0, 5 / 8, 1 / 5]),
        ("mrr@5", [1, 0, 1, 1 / 5]),
        ("mrr@4", [1, 0, 1, 0]),
        ("mrr", [1, 1 / 7, 1, 1 / 5]),
        ("novelty@5", [BITS.mean(), BITS[:3].mean(), BITS.mean(), BITS.mean()]),
        ("novelty@2", [BITS[3:].mean(), *[BITS[:2].mean()] * 3]),
    ],
)
def test_values_solved_by_hand(name: str, expected: list[float]) -> None:
    metric = parse_metric(name)
    assert metric.name == name
    assert is_of_users(metric)
    np.testing.assert_allclose(metric.per_user(LISTS), expected, rtol=0, atol=1e-12)


def test_coverage_counts_an_item_once_and_ignores_the_end_of_a_list() -> None:
    coverage = parse_metric("coverage@2")
    assert isinstance(coverage, Coverage)
    tally = coverage.tally(5)
    tally.add(LISTS)
    assert tally.result()[0] == 4 / 5


@pytest.mark.parametrize("name", ["recal@20", "recall@20[some]", "ndcg@20[all]", "", "recall@-1", "recall@2.5", "@5"])
def test_a_misspelt_metric_is_named_and_the_known_ones_listed(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"recall@k\[all\]"):
        parse_metric(name)


@pytest.mark.parametrize(
    "name", ["recall", "ndcg@0", "ndcg@000", "coverage", "recall@99999999999", "map@" + 5000 * "9"]
)
def test_a_list_needs_a_length_that_a_list_can_have(name: str) -> None:
    with pytest.raises(ConfigError):
        parse_metric(name)


def test_every_known_form_can_be_parsed() -> None:
    assert {parse_metric(form.replace("@k", "@10")).k for form in known_metrics()} == {None, 10}
    assert parse_metric(" NDCG@10 ").name == "ndcg@10"


def test_novelty_without_popularity_says_what_is_missing() -> None:
    lists = RankedLists(LISTS.rows, LISTS.hits, LISTS.relevant)
    with pytest.raises(ConfigError, match="item_counts"):
        parse_metric("novelty@5").per_user(lists)  # type: ignore[union-attr]
