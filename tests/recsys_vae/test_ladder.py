from pathlib import Path

import numpy as np
import pytest

from recsys_vae.bundle import Bundle, write_bundle
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.ladder import HISTORY, POPULAR, Ladder
from recsys_vae.manifest import Provenance
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
    users = ladder.encode(csr([[]], 12), as_known=True)
    assert users.tiers == (HISTORY,)
    assert ladder.scores(users) == pytest.approx(ladder.bundle.model.score(csr([[]], 12)), rel=1e-5, abs=1e-6)
