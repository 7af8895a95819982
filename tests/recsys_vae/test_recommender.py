from pathlib import Path

import numpy as np
import pytest

from recsys_vae.bundles.bundle import Bundle, Tiers, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.bundles.tier_policy import Rung, Rungs
from recsys_vae.data.features import Field, Schema
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.protocols import ConditionalRecommender
from recsys_vae.recommender import CONTENT, HISTORY, POPULAR, POSTERIOR, PRIOR, SEGMENT, Ladder
from tests.worlds import csr, two_tastes, untrained

WORLD = two_tastes()


@pytest.fixture(params=["mult-vae", "ease"], scope="module")
def ladder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ladder:
    path: Path = tmp_path_factory.mktemp("ladder") / "bundle"
    model = untrained(request.param, 12)
    write_bundle(path, model, WORLD.items, popularity=WORLD.item_counts(), provenance=Provenance())
    return Ladder(Bundle.load(path))


def test_users_without_history_get_the_popular_items_and_are_told(ladder: Ladder) -> None:
    answers = ladder.recommend(csr([[0, 1], []], 12), 3)
    counts = WORLD.item_counts()
    assert answers.tiers == (HISTORY, POPULAR)
    assert answers.rows[1].tolist() == sorted(range(12), key=lambda item: (-counts[item], item))[:3]
    assert answers.scores[1].tolist() == counts[answers.rows[1]].tolist()


def test_lists_are_the_models_own_order_without_seen_items(ladder: Ladder) -> None:
    histories = csr([[0, 1], [7, 8, 9]], 12)
    answers = ladder.recommend(histories, 12)
    scores = ladder.bundle.model.score(histories)
    for user, seen in enumerate(([0, 1], [7, 8, 9])):
        expected = sorted(set(range(12)) - set(seen), key=lambda item: (-scores[user, item], item))
        assert answers.rows[user][: len(expected)].tolist() == expected
        assert (answers.rows[user][len(expected) :] == -1).all()


def test_seen_items_may_be_kept(ladder: Ladder) -> None:
    assert (ladder.recommend(csr([[0, 1]], 12), 12, keep_seen=True).rows >= 0).all()


def test_only_what_is_allowed_and_not_excluded_comes_back(ladder: Ladder) -> None:
    allowed = np.isin(np.arange(12), [0, 2, 3, 4])
    answers = ladder.recommend(csr([[0], []], 12), 5, allowed=allowed, excluded=csr([[2], [3]], 12))
    assert [sorted(row[row >= 0].tolist()) for row in answers.rows] == [[3, 4], [0, 2, 4]]


def test_similar_items_leave_out_the_item_itself(ladder: Ladder) -> None:
    found = ladder.similar(4, 11)
    assert sorted(found.rows[0].tolist()) == sorted(set(range(12)) - {4})
    assert (np.diff(found.scores[0]) <= 0).all()


def test_similar_items_of_a_linear_model_share_the_taste(ladder: Ladder) -> None:
    if ladder.bundle.manifest.model != "ease":
        pytest.skip("the other model is untrained")
    assert (ladder.similar(4, 5).rows < 6).all()


def test_bad_questions_are_refused(ladder: Ladder) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        ladder.recommend(csr([[0]], 12), 0)
    with pytest.raises(DataError, match="another catalogue"):
        ladder.recommend(csr([[0]], 13), 1)
    with pytest.raises(ConfigError, match="excluded"):
        ladder.recommend(csr([[0]], 12), 1, excluded=csr([[0], [1]], 12))
    with pytest.raises(ConfigError, match=r"0\.\.11"):
        ladder.similar(12, 1)


def test_users_encoded_once_are_searched_for_and_scored_by_each_their_tier(ladder: Ladder) -> None:
    histories = csr([[0, 1], [], [7]], 12)
    users = ladder.encode(histories)
    found = ladder.search(users, 12)
    scores = ladder.scores(users)
    for user in range(3):
        assert found.scores[user] == pytest.approx(scores[user][found.rows[user]], rel=1e-5, abs=1e-6)
    assert scores[1].tolist() == WORLD.item_counts().tolist()
    assert ladder.scores(users, np.array([3, 5])) == pytest.approx(scores[:, [3, 5]], rel=1e-5, abs=1e-6)
    assert ladder.search(users[np.array([2])], 3).rows.tolist() == found.rows[2:, :3].tolist()


def test_the_model_may_be_asked_about_an_empty_history(ladder: Ladder) -> None:
    users = ladder.encode(csr([[]], 12), tier=HISTORY)
    assert users.tiers == (HISTORY,)
    assert ladder.scores(users) == pytest.approx(ladder.bundle.model.score(csr([[]], 12)), rel=1e-5, abs=1e-6)


RECORDS = [{"taste": "left" if user % 2 == 0 else "right", "shade": "red"} for user in range(WORLD.n_users)]
SCHEMA = Schema.learn(
    [Field("shade", "category"), Field("taste", "category")],
    [*RECORDS, {"shade": "blue"}, {"taste": "middle"}],
)
METADATA = SCHEMA.encode(RECORDS)
SEGMENTS = SegmentPopularity.learn(WORLD.matrix, METADATA, np.ones(5, dtype=np.bool_), shrinkage=1.0)
RUNGS = Rungs(
    described=(Rung(0, PRIOR), Rung(1, POSTERIOR), Rung(3, HISTORY)),
    bare=(Rung(0, POPULAR), Rung(1, HISTORY)),
    content=True,
)
LEFT = SCHEMA.encode([{"taste": "left"}])


def conditional(path: Path, tiers: Tiers) -> Ladder:
    """Over the world, and one item, the last, that nobody has touched."""
    popularity = WORLD.item_counts()
    popularity[11] = 0
    write_bundle(
        path, untrained("conditional-vae", 12), WORLD.items, popularity=popularity, provenance=Provenance(), tiers=tiers
    )
    return Ladder(Bundle.load(path))


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> Ladder:
    return conditional(tmp_path_factory.mktemp("tall") / "bundle", Tiers(RUNGS, SCHEMA, SEGMENTS))


def test_each_user_is_answered_by_the_tier_that_what_is_known_reaches(tall: Ladder) -> None:
    histories = csr([[], [0], [0, 1, 2], [], [0], [11], [0, 11]], 12)
    known = SCHEMA.encode([{"taste": "left"}] * 3 + [{}, {"taste": "unheard of"}, {}, {}])
    answers = tall.recommend(histories, 3, metadata=known)
    assert answers.tiers == (PRIOR, POSTERIOR, HISTORY, POPULAR, HISTORY, CONTENT, HISTORY)
    assert tall.tiers == (POSTERIOR, HISTORY, PRIOR, CONTENT, SEGMENT, POPULAR)


def test_a_tier_goes_by_what_it_is_named_for(tall: Ladder) -> None:
    model = tall.bundle.model
    assert isinstance(model, ConditionalRecommender)
    one, none = csr([[4, 5]], 12), csr([[]], 12)
    expected = {
        POSTERIOR: model.score(one, LEFT),
        HISTORY: model.score(one),
        PRIOR: model.score(none, LEFT),
        SEGMENT: SEGMENTS.score(LEFT),
        POPULAR: SEGMENTS.log_shares[None, :],
    }
    for tier, scores in expected.items():
        users = tall.encode(one, LEFT, tier=tier)
        assert users.tiers == (tier,)
        assert tall.scores(users) == pytest.approx(scores, rel=1e-4, abs=1e-5)
        found = tall.search(users, 12)
        assert found.scores == pytest.approx(scores[:, found.rows[0]], rel=1e-4, abs=1e-5)


def test_users_of_all_tiers_are_answered_together_as_alone(tall: Ladder) -> None:
    histories = csr([[], [0], [0, 1, 2], []], 12)
    known = SCHEMA.encode([{"taste": "left"}, {"taste": "right"}, {"taste": "left"}, {}])
    together = tall.recommend(histories, 5, metadata=known)
    for user in range(4):
        alone = tall.recommend(histories[[user]], 5, metadata=known[[user]])
        assert together.rows[user].tolist() == alone.rows[0].tolist()


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> Ladder:
    """A ladder that lets segment popularity count beside the model, with a bias that new items were lifted by."""
    described, bare = (Rung(0, PRIOR, 2.0), Rung(1, POSTERIOR, 0.5)), (Rung(0, POPULAR), Rung(1, HISTORY, 0.25))
    tiers = Tiers(Rungs(described, bare, content=True, lift=3.0), SCHEMA, SEGMENTS)
    return conditional(tmp_path_factory.mktemp("weighted") / "bundle", tiers)


def test_segment_popularity_counts_beside_the_model_by_the_weight_of_the_rung(weighted: Ladder) -> None:
    model = weighted.bundle.model
    assert isinstance(model, ConditionalRecommender)
    histories, known = csr([[], [4], [4]], 12), SCHEMA.encode([{"taste": "left"}] * 2 + [{}])
    users = weighted.encode(histories, known)
    segments, old = SEGMENTS.score(known), slice(0, 11)
    expected = model.score(histories, known)[:, old] + np.array([[2.0], [0.5], [0.25]]) * segments[:, old]
    assert weighted.scores(users)[:, old] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert weighted.scores(users, np.array([3, 0])) == pytest.approx(expected[:, [3, 0]], rel=1e-4, abs=1e-5)
    found = weighted.search(users, 12)
    assert found.scores == pytest.approx(np.take_along_axis(weighted.scores(users), found.rows, 1), rel=1e-4)
    for user in range(3):
        alone = weighted.recommend(histories[[user]], 12, metadata=known[[user]], keep_seen=True)
        assert alone.rows[0].tolist() == found.rows[user].tolist()


def test_a_new_item_counts_as_popular_as_that_of_an_average_interaction(weighted: Ladder) -> None:
    users = weighted.encode(csr([[]], 12), LEFT)
    alone = weighted.encode(csr([[]], 12), LEFT, tier=PRIOR)
    usual = float((np.exp(SEGMENTS.log_shares) * SEGMENTS.log_shares).sum())
    assert float((weighted.scores(users) - weighted.scores(alone))[0, 11]) == pytest.approx(2.0 * usual, rel=1e-4)


def test_a_history_of_new_items_is_answered_without_their_lift_and_with_metadata(weighted: Ladder) -> None:
    model, new = weighted.bundle.model, csr([[11]], 12)
    assert isinstance(model, ConditionalRecommender)
    users = weighted.encode(new, LEFT, tier=CONTENT)
    unlifted = model.score(new, LEFT) - 3.0 * weighted.is_new
    assert weighted.scores(users) == pytest.approx(unlifted, rel=1e-4, abs=1e-5)
    assert weighted.search(users, 12).scores[0] == pytest.approx(np.sort(unlifted[0])[::-1], rel=1e-4, abs=1e-5)


def test_a_weight_without_segments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="count beside a tier, and there is none"):
        conditional(tmp_path / "bundle", Tiers(Rungs((Rung(0, PRIOR, 1.0),), (Rung(0, POPULAR),)), SCHEMA))


def test_nothing_known_of_anybody_is_no_trouble(tall: Ladder) -> None:
    assert tall.recommend(csr([[], [3]], 12), 2).tiers == (POPULAR, HISTORY)
    assert (
        tall.recommend(csr([[]], 12), 2, tier=SEGMENT).rows[0].tolist()
        == tall.recommend(csr([[]], 12), 2).rows[0].tolist()
    )


def test_metadata_are_passed_over_where_no_schema_reads_them(ladder: Ladder) -> None:
    assert ladder.recommend(csr([[]], 12), 2, metadata=LEFT).tiers == (POPULAR,)


def test_tiers_that_a_bundle_does_not_have_are_refused(ladder: Ladder, tall: Ladder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no tier 'prior'; there are: history, popular"):
        ladder.encode(csr([[]], 12), tier=PRIOR)
    with pytest.raises(DataError, match="names the tier 'segment'"):
        conditional(tmp_path / "bundle", Tiers(Rungs(bare=(Rung(0, SEGMENT),)), SCHEMA))
    with pytest.raises(DataError, match="expected"):
        tall.recommend(csr([[]], 12), 2, metadata=csr([[0]], 4))


def test_items_that_nobody_had_touched_are_known_as_new(tall: Ladder, ladder: Ladder) -> None:
    assert np.flatnonzero(tall.is_new).tolist() == [11]
    assert not ladder.is_new.any()


def test_a_schema_of_another_model_is_refused(tmp_path: Path) -> None:
    other = Schema.learn([Field("taste", "category")], RECORDS)
    with pytest.raises(DataError, match="5 columns, the schema has 2"):
        conditional(tmp_path / "bundle", Tiers(Rungs(), other))
