import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.recommender import FallbackChain
from service.ranking import explanations
from service.ranking.ranking import answer
from service.ranking.results import Query
from service.ranking.served_model import Catalogue
from tests.service.tiny import ITEMS


def score(chain: FallbackChain, items: str) -> np.ndarray:
    row = np.array([[float(item in items) for item in ITEMS]], dtype=np.float32)
    return chain.bundle.model.score(csr_array(row))[0]


def test_an_effect_is_the_score_less_the_score_without_the_item(any_chain: FallbackChain) -> None:
    found = answer(Catalogue(any_chain), Query(5, dict.fromkeys("abc", 1.0), explain=True))
    whole = score(any_chain, "abc")
    for item in found.items:
        place = ITEMS.index(item.item_id)
        effects = {h: whole[place] - score(any_chain, "abc".replace(h, ""))[place] for h in "abc"}
        assert item.because is not None
        assert [c.effect for c in item.because] == pytest.approx(
            sorted((e for e in effects.values() if e > 1e-6), reverse=True)[: explanations.NAMED], rel=1e-4, abs=1e-5
        ) or any(abs(effect) < 1e-5 for effect in effects.values())
        for cause in item.because:
            assert cause.effect == pytest.approx(effects[cause.item_id], rel=1e-4, abs=1e-5)


def test_items_that_always_come_together_explain_each_other(chain: FallbackChain) -> None:
    found = answer(Catalogue(chain), Query(1, {"c": 1.0, "g": 1.0}, candidates=["h"], explain=True))
    assert found.items[0].because is not None
    assert found.items[0].because[0].item_id == "g"  # one user has g and h, nobody c and h


def test_a_history_of_one_item_and_no_history_are_explained_too(any_chain: FallbackChain) -> None:
    assert answer(Catalogue(any_chain), Query(3, {"a": 1.0}, explain=True)).items[0].because is not None
    assert answer(Catalogue(any_chain), Query(3, explain=True)).items[0].because == ()
    assert answer(Catalogue(any_chain), Query(3)).items[0].because is None


def test_long_histories_are_explained_by_their_end(chain: FallbackChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanations, "LONGEST", 2)
    found = answer(Catalogue(chain), Query(4, dict.fromkeys("abc", 1.0), explain=True))
    assert {cause.item_id for item in found.items for cause in item.because or ()} <= {"b", "c"}
    assert [notice.code for notice in found.notices] == ["explained_in_part"]


def test_the_work_of_an_explanation_is_bounded() -> None:
    assert explanations.affordable(30) == explanations.LONGEST
    assert explanations.affordable(10_000) * 10_000 <= explanations.ENTRIES
    assert explanations.affordable(10**9) == 1
