import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, nDCG

from recsys_vae.errors import ConfigError, DataError, EmptyDataError
from recsys_vae.evaluation.evaluate import evaluate, users_at_once
from recsys_vae.evaluation.splits import HeldOut
from tests.recsys_vae.evaluation.fakes import FixedScores, held_out

ALL = ["recall@3", "recall@3[all]", "precision@3", "hit-rate@3", "ndcg@3", "map@3", "mrr", "mrr@3"]


def random_world(seed: int, n_users: int = 30, n_items: int = 40) -> tuple[FixedScores, HeldOut, np.ndarray]:
    """Distinct scores, a history of one or two items, zero to nine targets a user."""
    rng = np.random.default_rng(seed)
    histories, targets = [], []
    for user in range(n_users):
        drawn = [item for item in rng.permutation(n_items).tolist() if item > user]
        histories.append(sorted([user, *drawn[:1]]) if user + 1 < n_items else [user])
        targets.append(sorted(drawn[1 : 1 + rng.integers(0, 10)]))
    table = rng.permuted(np.arange(n_items * n_items).reshape(n_items, n_items), axis=1)
    return FixedScores(table), held_out(histories, targets, n_items), table


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_ir_measures(seed: int) -> None:
    model, users, table = random_world(seed)
    ours = {"recall@5[all]": R @ 5, "precision@5": P @ 5, "ndcg@10": nDCG @ 10, "map@10": AP @ 10, "mrr": RR}
    qrels, run = {}, {}
    for row, user in enumerate(users.users.values):
        relevant = users.targets[[row]].indices
        if relevant.size:
            seen = set(users.histories[[row]].indices.tolist())
            qrels[user] = {f"i{item}": 1 for item in relevant}
            run[user] = {f"i{item}": float(table[row, item]) for item in range(40) if item not in seen}
    theirs: dict[str, dict[str, float]] = {name: {} for name in ours}
    names = {measure: name for name, measure in ours.items()}
    for metric in ir_measures.iter_calc(list(names), qrels, run):
        theirs[names[metric.measure]][metric.query_id] = metric.value
    found = evaluate(model, users, list(ours), batch_size=7)
    for name, values in theirs.items():
        np.testing.assert_allclose(found.per_user[name], [values[user] for user in qrels], rtol=0, atol=1e-9)


@pytest.mark.parametrize("family", ["recall", "ndcg", "map", "hit-rate", "mrr", "novelty", "coverage"])
def test_a_list_ends_where_the_catalogue_does(family: str) -> None:
    model, users, _ = random_world(0)
    whole, far = (f"{family}@{k}" for k in (40, 10**9))
    found = evaluate(model, users, [whole, far], item_counts=np.arange(40), depth=10**12)
    assert found.means[far] == found.means[whole]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 25))
def test_targets_on_top_give_one_everywhere(seed: int, k: int) -> None:
    _, users, _ = random_world(seed)

    class Oracle(FixedScores):
        def score(self, histories: object) -> np.ndarray:
            return users.targets.toarray()[users.targets.sum(axis=1) > 0]

    found = evaluate(Oracle(np.zeros((1, 40))), users, [f"recall@{k}", f"ndcg@{k}", f"mrr@{k}", "mrr", f"hit-rate@{k}"])
    assert set(found.means.values()) == {1.0}


def test_batches_do_not_matter() -> None:
    model, users, _ = random_world(0)
    metrics = [*ALL, "coverage@3", "novelty@3"]
    counts = np.arange(1, 41)
    one, many = (evaluate(model, users, metrics, batch_size=size, item_counts=counts) for size in (100, 4))
    assert one.means == many.means
    assert one.target_ranks.tolist() == many.target_ranks.tolist()


def test_a_case_solved_by_hand() -> None:
    # The model ranks 4 3 2 1 0; the first user has seen 4 and wants 3 and 0, the second wants nothing, the third 1.
    model = FixedScores(np.tile(np.arange(5), (5, 1)))
    found = evaluate(model, held_out([[4], [0], []], [[0, 3], [], [1]], 5), [*ALL, "coverage@3", "novelty@1"],
                     item_counts=np.array([4, 2, 1, 1, 0]))  # fmt: skip
    assert (found.n_users, found.n_left_out, found.rows.tolist()) == (2, 1, [0, 2])
    assert found.per_user["recall@3"].tolist() == [1 / 2, 0]
    assert found.per_user["mrr"].tolist() == [1, 1 / 4]
    assert found.per_user["mrr@3"].tolist() == [1, 0]
    assert found.means["coverage@3"] == 4 / 5  # 3 2 1 and 4 3 2
    assert found.means["novelty@1"] == pytest.approx(-np.log2(1 / 9))  # nobody has item 4, which counts as one
    assert "coverage@3" not in found.standard_errors
    assert found.standard_errors["recall@3"] == pytest.approx(np.std([0.5, 0], ddof=1) / np.sqrt(2))
    assert found.target_ranks.tolist() == [0, 1, 0]


def test_ties_go_to_the_smaller_row_in_every_metric() -> None:
    model = FixedScores(np.ones((4, 4)))
    found = evaluate(model, held_out([[0], [1]], [[2], [3]], 4), ["mrr", "mrr@4"])
    assert found.per_user["mrr"].tolist() == found.per_user["mrr@4"].tolist() == [1 / 2, 1 / 3]


def test_a_list_longer_than_the_catalogue_ends() -> None:
    model = FixedScores(np.arange(9).reshape(3, 3))
    found = evaluate(model, held_out([[0]], [[1]], 3), ["recall@100", "precision@100"])
    assert found.means == {"recall@100": 1.0, "precision@100": 0.01}
    assert np.isnan(found.standard_errors["recall@100"])


def test_nobody_with_targets_is_an_error() -> None:
    with pytest.raises(EmptyDataError, match="1 held-out users"):
        evaluate(FixedScores(np.ones((2, 2))), held_out([[0]], [[]], 2), ["recall@1"])


def test_another_catalogue_is_an_error() -> None:
    with pytest.raises(DataError, match="knows 3 items, the split 2"):
        evaluate(FixedScores(np.ones((3, 3))), held_out([[0]], [[1]], 2), ["recall@1"])


def test_nan_scores_are_an_error() -> None:
    with pytest.raises(DataError, match="NaN"):
        evaluate(FixedScores(np.array([[0, np.nan, 5], [0, 0, 0], [0, 0, 0]])), held_out([[0]], [[1]], 3), ["recall@1"])


def test_so_many_users_are_scored_at_once_as_keep_their_scores_small() -> None:
    assert [users_at_once(n) for n in (100, 2**16, 10**6, 10**7, 10**9)] == [2**22 // 100, 64, 64, 13, 1]


def test_counts_of_another_catalogue_and_empty_batches_are_errors() -> None:
    model, users = FixedScores(np.ones((2, 2))), held_out([[0]], [[1]], 2)
    with pytest.raises(ConfigError, match="item_counts"):
        evaluate(model, users, ["novelty@1"], item_counts=np.ones(3))
    with pytest.raises(ConfigError, match="batch_size"):
        evaluate(model, users, ["recall@1"], batch_size=0)


def test_a_metric_named_twice_is_measured_once() -> None:
    found = evaluate(FixedScores(np.ones((2, 2))), held_out([[0]], [[1]], 2), ["recall@1", "Recall@1"])
    assert list(found.means) == ["recall@1"]


def test_one_name_in_the_place_of_the_list_of_metrics_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"Write \['recall@2'\] for one"):
        evaluate(FixedScores(np.array([[3, 2, 1]])), held_out([[]], [[0]], 3), "recall@2")


def test_the_first_hit_is_among_what_lists_may_hold() -> None:
    """Of users who are asked for what is hidden from their lists, for that and more, and for something new."""
    asked = held_out([[3], [3], [0]], [[3], [1, 3], [2]], 4)
    table = np.tile(np.arange(4), (4, 1))
    assert evaluate(FixedScores(table), asked, ["mrr"]).per_user["mrr"].tolist() == pytest.approx([0, 1 / 2, 1 / 2])
