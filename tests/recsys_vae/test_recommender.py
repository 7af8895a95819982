from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_vae import recommender
from recsys_vae.bundles.bundle import Bundle, Tiers, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.bundles.tier_policy import TierPolicy, TierThreshold
from recsys_vae.data.features import Field, Schema
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.mult_dae import MultDAE, MultDAEConfig
from recsys_vae.native import ranks
from recsys_vae.native.library import library
from recsys_vae.native.quantised import quantise
from recsys_vae.protocols import ConditionalRecommender
from recsys_vae.recommender import CONTENT, HISTORY, POPULAR, POSTERIOR, PRIOR, SEGMENT, FallbackChain
from tests.worlds import csr, two_tastes, untrained

WORLD = two_tastes()


@pytest.fixture(params=["mult-vae", "ease"], scope="module")
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FallbackChain:
    path: Path = tmp_path_factory.mktemp("chain") / "bundle"
    model = untrained(request.param, 12)
    write_bundle(path, model, WORLD.items, popularity=WORLD.item_counts(), provenance=Provenance())
    return FallbackChain(Bundle.load(path))


def test_users_without_history_get_the_popular_items_and_are_told(chain: FallbackChain) -> None:
    answers = chain.recommend(csr([[0, 1], []], 12), 3)
    counts = WORLD.item_counts()
    assert answers.tiers == (HISTORY, POPULAR)
    assert answers.rows[1].tolist() == sorted(range(12), key=lambda item: (-counts[item], item))[:3]
    assert answers.scores[1].tolist() == counts[answers.rows[1]].tolist()


def test_lists_are_the_models_own_order_without_seen_items(chain: FallbackChain) -> None:
    histories = csr([[0, 1], [7, 8, 9]], 12)
    answers = chain.recommend(histories, 12)
    scores = chain.bundle.model.score(histories)
    for user, seen in enumerate(([0, 1], [7, 8, 9])):
        expected = sorted(set(range(12)) - set(seen), key=lambda item: (-scores[user, item], item))
        assert answers.rows[user][: len(expected)].tolist() == expected
        assert (answers.rows[user][len(expected) :] == -1).all()


def chain_that_is_scanned(monkeypatch: pytest.MonkeyPatch, folder: Path) -> FallbackChain:
    """Whose lists and places come from 8-bit codes, however few its items are."""
    monkeypatch.setattr(ranks, "SMALLEST", 0)
    model = MultDAE(12, MultDAEConfig(hidden=32))
    write_bundle(folder / "b", model, WORLD.items, popularity=WORLD.item_counts(), provenance=Provenance())
    chain = FallbackChain(Bundle.load(folder / "b", to_ask=True))
    if quantise(chain.item_vectors) is None:
        pytest.skip("the processor does not multiply 8-bit integers")
    return chain


@pytest.mark.skipif(library() is None, reason="nothing is compiled here")
def test_lists_and_places_need_no_row_of_scores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chain = chain_that_is_scanned(monkeypatch, tmp_path)
    histories, targets = csr([[0, 1], [7, 8, 9]], 12), csr([[2, 3], [0, 11]], 12)
    users = IdMap.from_values(["a", "b"])
    asked = HeldOut(users, histories, targets)
    found = chain.ranks(histories, k=12, hidden=histories, targets=targets)
    assert found is not None
    assert (found.rows == chain.recommend(histories, 12).rows).all()
    metrics = ["recall@3", "ndcg@5", "mrr", "coverage@2"]
    calls = mock_calls(monkeypatch, FallbackChain, "score")
    by_ranks = evaluate(chain, asked, metrics, depth=5)
    assert calls == []
    monkeypatch.setattr(FallbackChain, "ranks", lambda *_, **__: None)
    by_scores = evaluate(chain, asked, metrics, depth=5)
    assert len(calls) == 1
    assert by_ranks.means == by_scores.means
    assert (by_ranks.target_ranks == by_scores.target_ranks).all()


@pytest.mark.skipif(library() is None, reason="nothing is compiled here")
def test_users_of_whom_nothing_is_known_take_all_scores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chain = chain_that_is_scanned(monkeypatch, tmp_path)
    histories, targets = csr([[0, 1], [], [7]], 12), csr([[2, 3], [0, 11], [1]], 12)
    found = chain.ranks(histories, k=3, hidden=histories, targets=targets)
    assert found is not None
    assert found.are_known.tolist() == [True, False, True]
    asked = HeldOut(IdMap.from_values(["a", "b", "c"]), histories, targets)
    by_ranks = evaluate(chain, asked, ["recall@3", "mrr"], depth=5)
    monkeypatch.setattr(FallbackChain, "ranks", lambda *_, **__: None)
    by_scores = evaluate(chain, asked, ["recall@3", "mrr"], depth=5)
    assert (by_ranks.per_user["mrr"] == by_scores.per_user["mrr"]).all()
    assert (by_ranks.target_ranks == by_scores.target_ranks).all()


def mock_calls(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[str]:
    """Names of the calls of a method that are made from now on."""
    calls, method = [], getattr(owner, name)

    def told(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        return method(*arguments, **options)

    monkeypatch.setattr(owner, name, told)
    return calls


def test_item_vectors_that_are_too_many_to_hold_are_made_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.unwritten(untrained("mult-vae", 12), WORLD.items, WORLD.item_counts(), Tiers())
    held, histories = FallbackChain(bundle), csr([[0, 1], [7, 8, 9], []], 12)
    expected = held.score(histories)
    monkeypatch.setattr(recommender, "MOST_HELD", 0)
    monkeypatch.setattr(recommender, "BLOCK", 5)
    chain = FallbackChain(bundle)
    np.testing.assert_allclose(chain.score(histories), expected, rtol=1e-5)
    assert np.array_equal(chain.recommend(histories, 5).rows, held.recommend(histories, 5).rows)
    assert "item_vectors" in vars(held)
    assert "item_vectors" not in vars(chain)


def test_seen_items_may_be_kept(chain: FallbackChain) -> None:
    assert (chain.recommend(csr([[0, 1]], 12), 12, keep_seen=True).rows >= 0).all()


def test_what_users_have_may_be_all_that_comes_back_but_for_what_they_dislike(chain: FallbackChain) -> None:
    histories = csr([[0, 1, 5], [7, 8], []], 12)
    histories.data[1] = -1.0
    found = chain.recommend(histories, 4, repeat="only", excluded=csr([[], [8], []], 12)).rows
    assert [sorted(row[row >= 0].tolist()) for row in found] == [[0, 5], [7], []]
    kept = chain.recommend(histories, 12, repeat="allow").rows
    assert [sorted(row[row >= 0].tolist()) for row in kept] == [[0, *range(2, 12)], list(range(12)), list(range(12))]
    best = kept[0][np.isin(kept[0], found[0][found[0] >= 0])]
    assert found[0][:2].tolist() == best.tolist()


def test_only_what_is_allowed_and_not_excluded_comes_back(chain: FallbackChain) -> None:
    allowed = np.isin(np.arange(12), [0, 2, 3, 4])
    answers = chain.recommend(csr([[0], []], 12), 5, allowed=allowed, excluded=csr([[2], [3]], 12))
    assert [sorted(row[row >= 0].tolist()) for row in answers.rows] == [[3, 4], [0, 2, 4]]


def test_similar_items_leave_out_the_item_itself(chain: FallbackChain) -> None:
    found = chain.similarity.similar(4, 11)
    assert sorted(found.rows[0].tolist()) == sorted(set(range(12)) - {4})
    assert (np.diff(found.scores[0]) <= 0).all()


def test_similar_items_of_a_linear_model_share_the_taste(chain: FallbackChain) -> None:
    if chain.bundle.manifest.model != "ease":
        pytest.skip("the other model is untrained")
    assert (chain.similarity.similar(4, 5).rows < 6).all()


def test_bad_questions_are_refused(chain: FallbackChain) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        chain.recommend(csr([[0]], 12), 0)
    with pytest.raises(DataError, match="another catalogue"):
        chain.recommend(csr([[0]], 13), 1)
    with pytest.raises(ConfigError, match="excluded"):
        chain.recommend(csr([[0]], 12), 1, excluded=csr([[0], [1]], 12))
    with pytest.raises(ConfigError, match=r"0\.\.11"):
        chain.similarity.similar(12, 1)


def test_users_encoded_once_are_searched_for_and_scored_by_each_their_tier(chain: FallbackChain) -> None:
    histories = csr([[0, 1], [], [7]], 12)
    users = chain.encode(histories)
    found = chain.search(users, 12)
    scores = chain.scores(users)
    for user in range(3):
        assert found.scores[user] == pytest.approx(scores[user][found.rows[user]], rel=1e-5, abs=1e-6)
    assert scores[1].tolist() == WORLD.item_counts().tolist()
    assert chain.scores(users, np.array([3, 5])) == pytest.approx(scores[:, [3, 5]], rel=1e-5, abs=1e-6)
    assert chain.search(users[np.array([2])], 3).rows.tolist() == found.rows[2:, :3].tolist()


def test_the_model_may_be_asked_about_an_empty_history(chain: FallbackChain) -> None:
    users = chain.encode(csr([[]], 12), tier=HISTORY)
    assert users.tiers == (HISTORY,)
    assert chain.scores(users) == pytest.approx(chain.bundle.model.score(csr([[]], 12)), rel=1e-5, abs=1e-6)


RECORDS = [{"taste": "left" if user % 2 == 0 else "right", "shade": "red"} for user in range(WORLD.n_users)]
SCHEMA = Schema.learn(
    [Field("shade", "category"), Field("taste", "category")],
    [*RECORDS, {"shade": "blue"}, {"taste": "middle"}],
)
METADATA = SCHEMA.encode(RECORDS)
SEGMENTS = SegmentPopularity.learn(WORLD.matrix, METADATA, np.ones(5, dtype=np.bool_), shrinkage=1.0)
RUNGS = TierPolicy(
    described=(TierThreshold(0, PRIOR), TierThreshold(1, POSTERIOR), TierThreshold(3, HISTORY)),
    bare=(TierThreshold(0, POPULAR), TierThreshold(1, HISTORY)),
    content=True,
)
LEFT = SCHEMA.encode([{"taste": "left"}])


def conditional(path: Path, tiers: Tiers) -> FallbackChain:
    """Over the world, and one item, the last, that nobody has touched."""
    popularity = WORLD.item_counts()
    popularity[11] = 0
    write_bundle(
        path, untrained("conditional-vae", 12), WORLD.items, popularity=popularity, provenance=Provenance(), tiers=tiers
    )
    return FallbackChain(Bundle.load(path))


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> FallbackChain:
    return conditional(tmp_path_factory.mktemp("tall") / "bundle", Tiers(RUNGS, SCHEMA, SEGMENTS))


def test_each_user_is_answered_by_the_tier_that_what_is_known_reaches(tall: FallbackChain) -> None:
    histories = csr([[], [0], [0, 1, 2], [], [0], [11], [0, 11]], 12)
    known = SCHEMA.encode([{"taste": "left"}] * 3 + [{}, {"taste": "unheard of"}, {}, {}])
    answers = tall.recommend(histories, 3, metadata=known)
    assert answers.tiers == (PRIOR, POSTERIOR, HISTORY, POPULAR, HISTORY, CONTENT, HISTORY)
    assert tall.tiers == (POSTERIOR, HISTORY, PRIOR, CONTENT, SEGMENT, POPULAR)


def test_a_tier_goes_by_what_it_is_named_for(tall: FallbackChain) -> None:
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


def test_users_of_all_tiers_are_answered_together_as_alone(tall: FallbackChain) -> None:
    histories = csr([[], [0], [0, 1, 2], []], 12)
    known = SCHEMA.encode([{"taste": "left"}, {"taste": "right"}, {"taste": "left"}, {}])
    together = tall.recommend(histories, 5, metadata=known)
    for user in range(4):
        alone = tall.recommend(histories[[user]], 5, metadata=known[[user]])
        assert together.rows[user].tolist() == alone.rows[0].tolist()


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> FallbackChain:
    """Segment popularity counts beside the model, and there is a bias that new items were lifted by."""
    described, bare = (
        (TierThreshold(0, PRIOR, 2.0), TierThreshold(1, POSTERIOR, 0.5)),
        (TierThreshold(0, POPULAR), TierThreshold(1, HISTORY, 0.25)),
    )
    tiers = Tiers(TierPolicy(described, bare, content=True, lift=3.0), SCHEMA, SEGMENTS)
    return conditional(tmp_path_factory.mktemp("weighted") / "bundle", tiers)


def test_segment_popularity_counts_beside_the_model_by_the_weight_of_the_threshold(weighted: FallbackChain) -> None:
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


def test_scores_with_popularity_beside_them_are_the_same_bit_by_bit_in_any_batch(weighted: FallbackChain) -> None:
    if library() is None:
        pytest.skip("without compiled loops they agree to rounding")
    draw = np.random.default_rng(0)
    histories = csr([sorted(draw.choice(12, row % 5, replace=False)) for row in range(40)], 12)
    known = SCHEMA.encode([{"taste": ("left", "right")[row % 2]} if row % 3 else {} for row in range(40)])
    together = weighted.recommend(histories, 5, metadata=known)
    for n in range(1, 40):
        some = weighted.recommend(histories[:n], 5, metadata=known[:n])
        alone = weighted.recommend(histories[n : n + 1], 5, metadata=known[n : n + 1])
        assert (some.rows == together.rows[:n]).all()
        assert (some.scores == together.scores[:n]).all()
        assert (alone.rows == together.rows[n]).all()
        assert (alone.scores == together.scores[n]).all()


def test_a_new_item_counts_as_popular_as_that_of_an_average_interaction(weighted: FallbackChain) -> None:
    users = weighted.encode(csr([[]], 12), LEFT)
    alone = weighted.encode(csr([[]], 12), LEFT, tier=PRIOR)
    usual = float((np.exp(SEGMENTS.log_shares) * SEGMENTS.log_shares).sum())
    assert float((weighted.scores(users) - weighted.scores(alone))[0, 11]) == pytest.approx(2.0 * usual, rel=1e-4)


def test_a_history_of_new_items_is_answered_without_their_lift_and_with_metadata(weighted: FallbackChain) -> None:
    model, new = weighted.bundle.model, csr([[11]], 12)
    assert isinstance(model, ConditionalRecommender)
    users = weighted.encode(new, LEFT, tier=CONTENT)
    unlifted = model.score(new, LEFT) - 3.0 * weighted.is_new
    assert weighted.scores(users) == pytest.approx(unlifted, rel=1e-4, abs=1e-5)
    assert weighted.search(users, 12).scores[0] == pytest.approx(np.sort(unlifted[0])[::-1], rel=1e-4, abs=1e-5)


def test_scores_are_brought_to_the_scale_of_popularity_where_it_counts(tmp_path: Path) -> None:
    bare = (TierThreshold(0, POPULAR), TierThreshold(1, HISTORY, 0.25), TierThreshold(3, HISTORY))
    policy = TierPolicy((TierThreshold(0, PRIOR, 2.0),), bare, content=True, lift=3.0, temperature=0.05)
    chain = conditional(tmp_path / "bundle", Tiers(policy, SCHEMA, SEGMENTS))
    model, old = chain.bundle.model, slice(0, 11)
    histories = csr([[4], [4, 5, 6], [11]], 12)
    users = chain.encode(histories)
    assert users.tiers == (HISTORY, HISTORY, CONTENT)
    raw, segments = model.score(histories), SEGMENTS.score(csr([[]] * 3, 5))
    expected = raw[:, old] + np.zeros((3, 1))
    expected[[0, 2]] = raw[[0, 2], old] / 0.05 + 0.25 * segments[[0, 2], old]
    assert chain.scores(users)[:, old] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    unaided = raw / np.array([[0.05], [1.0], [0.05]])
    unaided[2, 11] -= 3.0 / 0.05  # the lift is of the model's own scores
    assert chain.unaided_scores(users) == pytest.approx(unaided, rel=1e-4, abs=1e-4)
    # The order of the model's scores alone is the same at any temperature.
    assert chain.recommend(histories[[1]], 5).rows.tolist() == chain.recommend(histories, 5).rows[[1]].tolist()


def test_everybody_is_bare_whom_the_model_alone_answers(
    tall: FallbackChain, chain: FallbackChain, weighted: FallbackChain
) -> None:
    histories = csr([[0], [0, 1, 2]], 12)
    both, first = SCHEMA.encode([{"taste": "left"}] * 2), SCHEMA.encode([{"taste": "left"}, {}])
    assert tall.is_bare(tall.encode(histories, first))
    assert not tall.is_bare(tall.encode(histories, both))  # the second is answered without the metadata
    assert chain.is_bare(chain.encode(histories))
    assert not chain.is_bare(chain.encode(csr([[0], []], 12)))
    assert not weighted.is_bare(weighted.encode(histories))


def test_a_weight_without_segments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="count beside a tier, and there is none"):
        conditional(
            tmp_path / "bundle",
            Tiers(TierPolicy((TierThreshold(0, PRIOR, 1.0),), (TierThreshold(0, POPULAR),)), SCHEMA),
        )


def test_nothing_known_of_anybody_is_no_trouble(tall: FallbackChain) -> None:
    assert tall.recommend(csr([[], [3]], 12), 2).tiers == (POPULAR, HISTORY)
    assert (
        tall.recommend(csr([[]], 12), 2, tier=SEGMENT).rows[0].tolist()
        == tall.recommend(csr([[]], 12), 2).rows[0].tolist()
    )


def test_metadata_are_passed_over_where_no_schema_reads_them(chain: FallbackChain) -> None:
    assert chain.recommend(csr([[]], 12), 2, metadata=LEFT).tiers == (POPULAR,)


def test_tiers_that_a_bundle_does_not_have_are_refused(
    chain: FallbackChain, tall: FallbackChain, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no tier 'prior'; there are: history, popular"):
        chain.encode(csr([[]], 12), tier=PRIOR)
    with pytest.raises(DataError, match="names the tier 'segment'"):
        conditional(tmp_path / "bundle", Tiers(TierPolicy(bare=(TierThreshold(0, SEGMENT),)), SCHEMA))
    with pytest.raises(DataError, match="expected"):
        tall.recommend(csr([[]], 12), 2, metadata=csr([[0]], 4))


def test_items_that_nobody_had_touched_are_known_as_new(tall: FallbackChain, chain: FallbackChain) -> None:
    assert np.flatnonzero(tall.is_new).tolist() == [11]
    assert not chain.is_new.any()


def test_a_schema_of_another_model_is_refused(tmp_path: Path) -> None:
    other = Schema.learn([Field("taste", "category")], RECORDS)
    with pytest.raises(DataError, match="5 columns, the schema has 2"):
        conditional(tmp_path / "bundle", Tiers(TierPolicy(), other))
