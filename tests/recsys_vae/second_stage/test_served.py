"""Lists of a bundle with a second stage, through the fallback chain."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.recommender import FallbackChain
from recsys_vae.reranking.caps import Cap
from recsys_vae.reranking.reranker import Reranker
from recsys_vae.reranking.rules import Rules
from recsys_vae.top_k import mask
from tests.second_stages import NEEDS_LIGHTGBM, with_latest_first
from tests.worlds import csr, two_tastes, untrained

pytestmark = NEEDS_LIGHTGBM
N = 12
WORLD = two_tastes()
YEARS = np.array([3, 9, 1, 7, 5, 11, 2, 8, 0, 6, 4, 10])
TABLE = pl.DataFrame({"item_id": WORLD.items.values, "year": YEARS, "kind": ["x", "y", "z"] * 4})
HISTORIES = csr([[0, 1], [6, 7, 8], []], N)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "b"
    write_bundle(
        path, untrained("mult-vae", N), WORLD.items, popularity=WORLD.item_counts(), provenance=Provenance(),
        item_table=TABLE,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def ranked(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> FallbackChain:
    to = tmp_path_factory.mktemp("ranked") / "b"
    return FallbackChain(Bundle.load(with_latest_first(plain, to, [untrained("ease", N)])))


@pytest.fixture(scope="module")
def first(plain: Path) -> FallbackChain:
    return FallbackChain(Bundle.load(plain))


def candidates(first: FallbackChain, user: int) -> set[int]:
    """The three best of either model."""
    ease = untrained("ease", N).score(HISTORIES)
    found = [first.scores(first.encode(HISTORIES)), ease]
    for scores in found:
        mask(scores, excluded=HISTORIES)
    return {row for scores in found for row in np.argsort(-scores[user], kind="stable")[:3].tolist()}


def test_the_candidates_of_all_models_come_latest_first(ranked: FallbackChain, first: FallbackChain) -> None:
    answers = ranked.recommend(HISTORIES, 3)
    assert answers.scorer == "ranker"
    for user in range(2):
        wanted = sorted(candidates(first, user), key=lambda row: -YEARS[row])[:3]
        assert answers.rows[user].tolist() == wanted
    np.testing.assert_array_equal(np.sort(answers.scores[:2]), np.sort(first.recommend(HISTORIES, 3).scores[:2]))


def test_lists_beyond_the_candidates_go_on_as_the_first_stage_does(ranked: FallbackChain, first: FallbackChain) -> None:
    longer, before = ranked.recommend(HISTORIES, N), first.recommend(HISTORIES, N)
    for user in range(2):
        known = HISTORIES[[user]].nnz
        assert sorted(longer.rows[user].tolist()) == sorted(before.rows[user].tolist())
        assert (longer.rows[user] >= 0).sum() == N - known
        rest = [row for row in longer.rows[user].tolist() if row not in candidates(first, user)]
        assert rest == [row for row in before.rows[user].tolist() if row not in candidates(first, user)]
    assert (np.diff(longer.scores[:2, : N - 3]) <= 0).all()


def test_who_has_no_history_gets_what_is_popular(ranked: FallbackChain, first: FallbackChain) -> None:
    assert ranked.recommend(HISTORIES, 4).rows[2].tolist() == first.recommend(HISTORIES, 4).rows[2].tolist()
    users = ranked.encode(HISTORIES)
    assert ranked.scorers(users) == ("ranker", "ranker", first.scorer)
    assert not ranked.is_bare(users)
    assert ranked.is_bare(users[np.array([2])]) == first.is_bare(users[np.array([2])])


def test_users_get_the_same_alone_and_together(ranked: FallbackChain) -> None:
    together = ranked.recommend(WORLD.matrix, 4)
    alone = [ranked.recommend(WORLD.matrix[[user]], 4).rows[0].tolist() for user in range(40)]
    assert together.rows.tolist() == alone


def test_filters_exclusions_dislikes_and_repeats_hold(ranked: FallbackChain) -> None:
    everything = ranked.recommend(HISTORIES, N).rows[0]
    allowed = np.arange(N) % 3 == 1
    few = ranked.recommend(HISTORIES, N, allowed=allowed, excluded=csr([[4], [], []], N)).rows[0]
    assert few[few >= 0].tolist() == [row for row in everything.tolist() if row >= 0 and allowed[row] and row != 4]
    disliking = HISTORIES.copy()
    disliking.data[0] = -1
    assert 0 not in ranked.recommend(disliking, N).rows[0]
    assert 0 not in ranked.recommend(disliking, N, repeat="allow").rows[0]
    assert ranked.recommend(disliking, N, repeat="only").rows[0].tolist() == [1, *[-1] * (N - 1)]
    assert set(ranked.recommend(HISTORIES, N, repeat="allow").rows[0].tolist()) == set(range(N))


def test_scores_are_those_of_lists_so_that_batch_jobs_and_evaluation_agree(ranked: FallbackChain) -> None:
    users = ranked.encode(HISTORIES)
    scores, some = ranked.scores(users), np.array([3, 1])
    np.testing.assert_array_equal(scores[:, some], ranked.scores(users, some))
    np.testing.assert_array_equal(scores, ranked.score(HISTORIES))
    rules = Rules(caps=(Cap("kind", 1),))
    mask(scores, excluded=HISTORIES)
    capped = Reranker(rules, ranked.bundle.item_table, 3).lists(scores.copy(), HISTORIES)
    for rows in capped.rows[:2]:
        assert len(set((rows % 3).tolist())) == 3
    assert capped.rows[0, 0] == ranked.recommend(HISTORIES, 1).rows[0, 0]
