"""The reranker: lists of exactly k by all rules, and what they cost in evaluation."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.errors import UnknownNameError
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.item_facts import ItemFacts
from recsys_vae.reranking.caps import Cap
from recsys_vae.reranking.reranker import Reranker
from recsys_vae.reranking.rules import Calibration, Quota, Rules
from recsys_vae.top_k import select
from tests.recsys_vae.evaluation.fakes import FixedScores, held_out
from tests.worlds import csr

N = 30
BRANDS = [("x", "y", None)[row % 3] for row in range(N)]
GENRES = [[["p"], ["p", "q"], ["q"], []][row % 4] for row in range(N)]
TABLE = pl.DataFrame(
    {"item_id": [f"i{row:02}" for row in range(N)], "popularity": [100, *range(N - 1, 0, -1)], "brand": BRANDS,
     "genres": GENRES, "own": [row >= 27 for row in range(N)]}
)  # fmt: skip


def reranked(rules: Rules, k: int, scores: np.ndarray, histories: list[list[int]] | None = None) -> list[list[int]]:
    found = Reranker(rules, TABLE, k).lists(scores.astype(np.float32), csr(histories or [[]] * len(scores), N))
    return [row[row >= 0].tolist() for row in found.rows]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_exactly_k_by_every_rule(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    scores, k = rng.random((2, N)), data.draw(st.integers(1, 12))
    scores[0, rng.choice(N, 10, replace=False)] = -np.inf
    quotas = data.draw(
        st.lists(st.builds(Quota, st.integers(1, 3), st.sampled_from(["own=true", "brand=x"])), max_size=2)
    )
    calibration = data.draw(st.none() | st.builds(Calibration, st.just("genres"), st.sampled_from([0.2, 0.8])))
    cap = data.draw(st.none() | st.builds(Cap, st.just("brand"), st.integers(1, 5)))
    rules = Rules(() if cap is None else (cap,), tuple(quotas), calibration)
    for user, found in enumerate(reranked(rules, k, scores, [[0, 3], [1]])):
        assert np.isfinite(scores[user, found]).all()
        assert len(set(found)) == len(found)
        free = np.isfinite(scores[user])
        counts = Counter(BRANDS[row] for row in found)
        if cap is None:
            assert len(found) == k
            for quota in quotas:
                members = quota.members(TABLE)
                if sum(one.n for one in quotas) <= k:
                    assert members[found].sum() >= min(quota.n, (members & free).sum())
        else:
            assert max(counts["x"], counts["y"]) <= cap.n
            allowed = sum(min(cap.n, sum(free & (np.array(BRANDS) == brand))) for brand in "xy")
            assert len(found) == min(k, allowed + sum(free & (np.array(BRANDS) == None)))  # noqa: E711


def test_no_rules_are_the_order_of_the_scores() -> None:
    scores = np.random.default_rng(0).random((3, N)).astype(np.float32)
    expected = select(scores, 5)
    found = Reranker(Rules(), TABLE, 5).lists(scores, csr([[]] * 3, N))
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.scores.tolist() == expected.scores.tolist()


def test_a_group_far_down_is_found() -> None:
    scores = -np.arange(N, dtype=float)[None]
    assert reranked(Rules(quotas=(Quota(2, "own=true"),)), 4, scores) == [[0, 1, 27, 28]]
    # The best of the group, of brand x, is sure of its place, and 0, of brand x, has none beside it.
    assert reranked(Rules((Cap("brand", 1),), (Quota(1, "own=true"),)), 4, scores) == [[1, 2, 5, 27]]


def test_what_follows_the_list_is_in_the_order_of_the_scores() -> None:
    scores = -np.arange(N, dtype=np.float32)[None]
    reranker = Reranker(Rules(quotas=(Quota(1, "own=true"),)), TABLE, 3)
    assert reranker.prefixed(scores, csr([[]], N), 6).rows.tolist() == [[0, 1, 27, 2, 3, 4]]


def test_evaluate_measures_what_rules_cost() -> None:
    # Everybody is ranked 29 28 27 ...; brand x has every third row, so both places of the list go to 27 and 24.
    model, facts = FixedScores(np.tile(np.arange(N), (N, 1))), ItemFacts(TABLE["popularity"].to_numpy(), TABLE)
    users = held_out([[29], [0]], [[28], [29, 26]], N)
    names = ["recall@2", "mrr", "recall@4"]
    bare = evaluate(model, users, names, facts=facts)
    ruled = evaluate(
        model, users, names, facts=facts, reranker=Reranker(Rules(quotas=(Quota(2, "brand=x"),)), TABLE, 2)
    )
    assert bare.per_user["recall@2"].tolist() == [1, 1 / 2]
    assert ruled.per_user["recall@2"].tolist() == [0, 0]  # 27 24 for both
    assert ruled.per_user["mrr"].tolist() == [1 / 3, 1 / 3]
    assert ruled.per_user["recall@4"].tolist() == [1, 1 / 2]


def test_a_rule_that_does_not_fit_is_an_error_before_anything_is_scored() -> None:
    reranker = Reranker(Rules((Cap("colour", 1),)), TABLE, 2)
    with pytest.raises(UnknownNameError, match="colour"):
        evaluate(FixedScores(np.ones((N, N))), held_out([[0]], [[1]], N), ["recall@1"], reranker=reranker)
