from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recsys_vae.data.histories import empty_histories
from recsys_vae.native import products
from recsys_vae.recommender import FallbackChain
from recsys_vae.reranking.caps import Cap
from service.ranking.boosts import Boost
from service.ranking.filters import Eq
from service.ranking.ranking import answer, answer_all
from service.ranking.results import Answer, Query, shortest
from service.ranking.served_model import Catalogue
from service.ranking.steps import finished
from tests.service.tiny import HISTORIES, ITEMS, POPULARITY

ids = st.sampled_from((*ITEMS, "unknown", "zzz"))
queries = st.builds(
    Query,
    k=st.integers(1, 12),
    history=st.dictionaries(ids, st.sampled_from([0.5, 1.0, 3.0])),
    exclude=st.lists(ids, max_size=6),
    candidates=st.none() | st.lists(ids, max_size=8),
)


def codes(found: Answer) -> list[str]:
    return [notice.code for notice in found.notices]


def brute_force(chain: FallbackChain, query: Query) -> list[tuple[float, str]]:
    """Every allowed item with its score, best first, ties by item."""
    known = sorted(set(query.history) & set(ITEMS))
    row = np.array([[1.0 if item_id in known else 0.0 for item_id in ITEMS]], dtype=np.float32)
    scores = chain.bundle.model.score(csr_array(row))[0] if known else POPULARITY
    offered = ITEMS if query.candidates is None else query.candidates
    allowed = [
        (float(score), item_id)
        for score, item_id in zip(scores, ITEMS, strict=True)
        if item_id in offered and item_id not in query.history and item_id not in query.exclude
    ]
    return sorted(allowed, key=lambda pair: (-pair[0], pair[1]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries)
def test_exactly_min_of_k_and_allowed_items_come_in_score_order_under_any_mix(
    any_chain: FallbackChain, query: Query
) -> None:
    expected = brute_force(any_chain, query)[: query.k]
    found = answer(Catalogue(any_chain), query)
    assert [item.rank for item in found.items] == list(range(1, len(expected) + 1))
    assert [item.item_id for item in found.items] == [item_id for _, item_id in expected]
    assert [item.score for item in found.items] == pytest.approx([score for score, _ in expected], rel=1e-5, abs=1e-6)
    assert ("fewer_items_than_k" in codes(found)) == (len(expected) < query.k)


def test_a_list_for_one_user_equals_the_same_row_of_a_batch(any_chain: FallbackChain) -> None:
    matrix = np.array([[float(i in history) for i in ITEMS] for history in HISTORIES.values()], dtype=np.float32)
    batch = any_chain.recommend(csr_array(matrix), 4)
    for row, history in enumerate(HISTORIES.values()):
        found = answer(Catalogue(any_chain), Query(4, dict.fromkeys(history, 1.0)))
        assert [item.item_id for item in found.items] == any_chain.bundle.items.ids(batch.rows[row])
        scale = float(np.abs(batch.scores[row]).max())  # a score near 0 is a difference of larger terms
        expected = pytest.approx(batch.scores[row].tolist(), rel=1e-5, abs=1e-5 * scale)
        assert [item.score for item in found.items] == expected
        assert found.tier == batch.tiers[row]


def test_scores_survive_json_as_the_float32_they_are(any_chain: FallbackChain) -> None:
    found = answer(Catalogue(any_chain), Query(8))
    direct = any_chain.recommend(empty_histories(1, len(ITEMS)), 8)
    assert [np.float32(item.score) for item in found.items] == direct.scores[0].tolist()


def test_nobody_gets_what_most_users_touched(chain: FallbackChain) -> None:
    found = answer(Catalogue(chain), Query(3))
    assert [(item.item_id, item.score) for item in found.items] == [("a", 5.0), ("b", 4.0), ("c", 3.0)]
    assert (found.tier, found.scorer, codes(found)) == ("popular", "popularity", ["no_history"])


def test_unknown_items_are_named_where_they_stood(chain: FallbackChain) -> None:
    found = answer(Catalogue(chain), Query(2, {"a": 1.0, "x": 1.0}, exclude=["y"], candidates=["b", "c", "z"]))
    assert codes(found) == [f"unknown_items_in_{place}" for place in ("history", "exclude", "candidates")]
    assert found.notices[0].message == "1 of 2 items in history are not in the catalogue and were left out: x."
    assert found.tier == "history"


def test_a_warning_names_ten_unknown_items_and_counts_the_others(chain: FallbackChain) -> None:
    found = answer(Catalogue(chain), Query(2, exclude=[f"x{i}" for i in range(25)]))
    assert found.notices[0].message.endswith("x8, x9 and 15 more.")


def test_no_candidates_are_no_items(chain: FallbackChain) -> None:
    found = answer(Catalogue(chain), Query(5, {"a": 1.0}, candidates=[]))
    assert (found.items, codes(found)) == ((), ["fewer_items_than_k"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_scores_are_written_as_short_as_they_can_be_told_apart(numbers: list[float]) -> None:
    scores = np.array(numbers, dtype=np.float32)
    found = shortest(scores)
    np.testing.assert_array_equal(found.astype(np.float32), scores)
    ordinary = (np.abs(scores) > 1e-10) & (np.abs(scores) < 1e10)
    for score, written in zip(scores[ordinary], found[ordinary], strict=True):
        assert len(repr(float(written))) <= len(repr(float(str(score))))


def test_plain_queries_are_answered_as_any_others(any_chain: FallbackChain, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue(any_chain)
    histories = [dict.fromkeys(ids, 1.0) for ids in (*HISTORIES.values(), ("unknown", "b"), ("a",), ITEMS, ())]
    plain = [Query(k, history) for history in histories for k in (1, 3, 12)]
    assert all(query.is_plain for query in plain)
    together = finished(answer_all(catalogue, plain))
    monkeypatch.setattr(Query, "is_plain", False)
    others = [replace(query) for query in plain]
    assert together == finished(answer_all(catalogue, others))
    if products.suits():  # else the last bits of a score are those of its batch
        assert together == [answer(catalogue, query) for query in others]


@pytest.mark.parametrize(
    "asked",
    [
        {"exclude": ("a",)}, {"candidates": ()}, {"boosts": (Boost("add", 1.0, items=("a",)),)}, {"diversity": 0.5},
        {"explain": True}, {"metadata": {"age": 3}}, {"fields": ("genre",)}, {"explore": 0.1}, {"repeat": "allow"},
        {"day": 0}, {"caps": (Cap("genre", 1),)}, {"filter": Eq("genre", "drama")},
    ],
)  # fmt: skip
def test_a_query_that_asks_for_more_is_not_plain(asked: dict[str, Any]) -> None:
    assert not Query(3, {"a": 1.0}, **asked).is_plain
