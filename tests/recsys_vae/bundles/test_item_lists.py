"""Lists without a user, by counts that are small enough to compute by hand."""

import json
import math

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.bundles.item_lists import (
    LISTS,
    NEVER,
    NEW,
    POPULAR,
    RECENT,
    TRENDING,
    ItemLists,
    ListRules,
    NewcomerCounts,
    Windows,
    segments_only,
)
from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.errors import ConfigError, DataError, RecsysError, UnknownNameError

POPULARITY = np.array([5, 4, 3, 0], np.float32)
RULES = ListRules(shrinkage=2.0)


def lists(recent: list[float], baseline: list[float], segment: list[float] | None = None) -> ItemLists:
    nothing = csr_array((1, 4), dtype=np.float32)
    own = nothing if segment is None else csr_array(np.array([segment], np.float32))
    ages = np.array([30, 2, 9, NEVER], np.float32)
    return ItemLists(RULES, Windows(ages, np.array(recent, np.float32), np.array(baseline, np.float32), own, nothing))


def test_trending_is_growth_over_an_items_own_baseline_shrunk() -> None:
    found = lists([8, 4, 0, 0], [8, 0, 4, 0]).scores(TRENDING, POPULARITY)
    # Twelve events now as before: a keeps its 8; b comes from nothing, (4 + 2) / (0 + 2); c has gone.
    assert found[1] == pytest.approx(math.log(3))
    assert np.isneginf(found[[0, 2, 3]]).all()  # what has not grown is not trending


def test_what_all_items_grew_by_is_no_trend() -> None:
    assert np.isneginf(lists([8, 4, 2, 0], [4, 2, 1, 0]).scores(TRENDING, POPULARITY)).all()


def test_a_segment_has_growth_of_its_own_shrunk_towards_that_of_everybody() -> None:
    one = lists([8, 4, 4, 0], [8, 1, 1, 0], [0, 0, 4, 0])
    everybody = one.scores(TRENDING, POPULARITY)
    assert everybody[1] == everybody[2]
    theirs = one.scores(TRENDING, POPULARITY, None, csr_array(np.ones((1, 1), np.float32)))
    growth = (4 + 2) / (1 * 16 / 10 + 2)
    assert everybody[2] == pytest.approx(math.log(growth))
    assert theirs[2] == pytest.approx(math.log((4 + 2 * growth) / 2), rel=1e-6)
    assert theirs[1] == pytest.approx(math.log(2 * growth / 2), rel=1e-6)


def test_recent_goes_by_events_of_the_window_and_a_segments_share_of_them() -> None:
    one = lists([6, 3, 0, 0], [1, 1, 1, 0], [0, 3, 0, 0])
    assert np.argsort(-one.scores(RECENT, POPULARITY))[:2].tolist() == [0, 1]
    theirs = one.scores(RECENT, POPULARITY, None, csr_array(np.ones((1, 1), np.float32)))
    assert theirs[1] > theirs[0]
    assert np.isneginf(theirs[2:]).all()
    shares = np.array([6.5, 3.5, 0.5, 0.5]) / 11
    assert theirs[1] == pytest.approx(math.log((3 + 2 * shares[1]) / (3 + 2)), rel=1e-6)


def test_new_is_by_the_first_event_and_what_nobody_has_touched_is_newest() -> None:
    one = lists([1, 1, 1, 0], [1, 1, 1, 0], [0, 1, 0, 0])
    assert one.scores(NEW, POPULARITY).tolist() == [-30, -2, -9, 1]
    theirs = one.scores(NEW, POPULARITY, None, csr_array(np.ones((1, 1), np.float32)))
    assert theirs.tolist() == [-math.inf, -2, -math.inf, 1]


def test_popular_is_by_users_and_by_the_segments_of_the_bundle() -> None:
    one, metadata = ItemLists(), csr_array(np.array([[1], [1], [0]], np.float32))
    assert one.scores(POPULAR, POPULARITY).tolist() == POPULARITY.tolist()
    matrix = csr_array(np.array([[0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]], np.float32))
    segments = SegmentPopularity.learn(matrix, metadata, np.array([True]), shrinkage=1.0)
    theirs = one.scores(POPULAR, POPULARITY, segments, csr_array(np.ones((1, 1), np.float32)))
    assert int(np.argmax(theirs)) == 1


def test_lists_that_there_are() -> None:
    assert ItemLists().names == (POPULAR,)
    assert lists([1, 0, 0, 0], [1, 0, 0, 0]).names == LISTS
    assert lists([1, 0, 0, 0], [0, 0, 0, 0]).names == (POPULAR, RECENT, NEW)  # no baseline, no growth
    with pytest.raises(UnknownNameError, match="popular"):
        ItemLists().scores(TRENDING, POPULARITY)


def test_metadata_of_another_schema_are_refused() -> None:
    with pytest.raises(DataError):
        lists([1, 0, 0, 0], [1, 0, 0, 0]).scores(NEW, POPULARITY, None, csr_array((1, 2), dtype=np.float32))


def test_only_segments_count() -> None:
    found = segments_only(csr_array(np.array([[1, 0.5]], np.float32)), np.array([True, False]))
    assert found.toarray().tolist() == [[1, 0]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"recent_days": 0}, {"baseline_days": math.nan}, {"shrinkage": 0}, {"shrinkage": math.inf},
        {"session_minutes": -1}, {"bought": ("",)}, {"bought": "purchase"},
    ],
)  # fmt: skip
def test_rules_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        ListRules(**wrong)


def test_rules_are_read_as_they_were_written() -> None:
    rules = ListRules(3.0, 12.0, 5.0, 60.0, ("purchase",))
    assert ListRules.from_json(rules.to_json()) == rules
    for text in ("[", "[]", json.dumps({"tomorrow": 1}), json.dumps({"recent_days": 0})):
        with pytest.raises(RecsysError):
            ListRules.from_json(text)


def counted(users: float, recent: float, baseline: float) -> NewcomerCounts:
    return NewcomerCounts(*(np.array([0, one], np.float32) for one in (users, recent, baseline)))


def test_what_came_later_is_scored_by_the_formulas_of_the_bundles_items() -> None:
    one = lists([8, 4, 0, 0], [8, 0, 4, 0])
    new = counted(users=5, recent=8, baseline=8)
    # As many users, and as many events in each window, as the first item has: so the same scores.
    for name in (POPULAR, RECENT):
        found = one.scores_of_newcomers(name, new, POPULARITY)
        assert np.isneginf(found[0])  # nothing is known of it
        assert found[1] == pytest.approx(one.scores(name, POPULARITY)[0])
    assert np.isneginf(one.scores_of_newcomers(TRENDING, new, POPULARITY)).all()  # it has not grown
    found = one.scores_of_newcomers(TRENDING, counted(users=4, recent=4, baseline=0), POPULARITY)
    assert found[1] == pytest.approx(math.log(3)) == pytest.approx(one.scores(TRENDING, POPULARITY)[1])
    with pytest.raises(UnknownNameError):
        one.scores_of_newcomers(NEW, new, POPULARITY)


def test_where_popularity_goes_by_segment_what_came_later_has_its_share_of_all() -> None:
    matrix = csr_array(np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0], [1, 1, 0, 0]], np.float32))
    segments = SegmentPopularity.learn(matrix, csr_array((5, 1), dtype=np.float32), np.array([True]), shrinkage=1.0)
    found = lists([1, 1, 1, 1], [1, 1, 1, 1]).scores_of_newcomers(POPULAR, counted(5, 0, 0), POPULARITY, segments)
    assert found[1] == pytest.approx(segments.log_shares[0])
