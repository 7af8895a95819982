"""Lists by one compiled call are those that are made step by step, and so is their text."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys_vae.bundles.bundle import Bundle, Tiers, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.tier_policy import TierPolicy, TierThreshold
from recsys_vae.data.ids import IdMap
from recsys_vae.models import catalog
from recsys_vae.recommender import HISTORY, POPULAR, FallbackChain
from service.http.conversion import to_text, to_wire
from service.http.fast_path import written
from service.ranking import plain_lists
from service.ranking.cursors import Cursor
from service.ranking.pages import Basis, Page
from service.ranking.plain_lists import PlainItems
from service.ranking.ranking import answer_all
from service.ranking.results import Answer, Query
from service.ranking.served_model import Catalogue
from service.ranking.steps import finished

N_ITEMS = 1500
SETTINGS = {"mult-vae": {"hidden": 200, "latent": 10}, "rec-vae": {"hidden": 40, "latent": 190}}


@pytest.fixture(scope="module", params=list(SETTINGS))
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    directory: Path = tmp_path_factory.mktemp("bundles") / request.param
    made = catalog.create(request.param, N_ITEMS, catalog.configure(request.param, SETTINGS[request.param]))
    items = IdMap.from_values(f"i{number}" for number in range(N_ITEMS))
    origin = Provenance(dataset="random", trained_on="nothing", n_users=1)
    popularity = np.arange(N_ITEMS, 0, -1)
    write_bundle(directory, made, items, popularity=popularity, provenance=origin)
    return Bundle.load(directory)


@pytest.fixture
def catalogue(bundle: Bundle) -> Catalogue:
    found = Catalogue(FallbackChain(bundle))
    if found.lists is None:
        pytest.skip("nothing is compiled that finds lists at once")
    return found


def queries(n: int, k: int = 20) -> list[Query]:
    draw = np.random.default_rng(n)
    histories = [draw.choice(N_ITEMS, draw.integers(1, 40), replace=False).tolist() for _ in range(n)]
    return [Query(k, {f"i{row}": 1.0 for row in rows}) for rows in histories]


def step_by_step(
    catalogue: Catalogue, asked: Sequence[Query], monkeypatch: pytest.MonkeyPatch
) -> list[Answer | Exception]:
    with monkeypatch.context() as patched:
        patched.setattr(plain_lists, "answers", lambda _, queries: [None] * len(queries))
        return finished(answer_all(catalogue, asked))


def check(catalogue: Catalogue, asked: Sequence[Query], monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """Both ways give the same, in every field and as text."""
    found, expected = plain_lists.answers(catalogue, asked), step_by_step(catalogue, asked, monkeypatch)
    made: list[Answer] = []
    for one, other in zip(found, expected, strict=True):
        assert one == other
        assert one is not None
        assert isinstance(other, Answer)
        made.append(one)
        assert isinstance(one.items, PlainItems)
        assert tuple(one.items) == other.items
        cursor = Cursor(one.model_version, None, bytes(16), one.shown)
        assert cursor.write(one.items.found.packed) == cursor.write()
        pages = [
            Page(answer, "AQ_-9" if answer.has_more else None, Basis(None, 0, None, (0,))) for answer in (one, other)
        ]
        text = to_text(pages[0], "request-1", "main")
        assert isinstance(text, bytes) or "fewer_items_than_k" in [notice.code for notice in one.notices]
        assert written(text) == written(to_wire(pages[1], "request-1", "main"))
    return made


@pytest.mark.parametrize("n", [1, 2, 4, 5, 17, 64])
def test_both_ways_find_the_same(catalogue: Catalogue, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = check(catalogue, queries(n), monkeypatch)
    assert {one.tier for one in found} == {HISTORY}
    assert all(len(one.items) == 20 and one.has_more for one in found)


def test_lists_of_one_batch_may_differ_in_length(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Query(k, query.history) for k, query in zip((1, 7, 200), queries(3), strict=True)]
    assert [len(one.items) for one in check(catalogue, asked, monkeypatch)] == [1, 7, 200]


def test_chances_are_told_where_they_are_asked_for(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [replace(query, tells_chances=True) for query in queries(3)]
    for one in check(catalogue, [*asked, *queries(1)], monkeypatch)[:3]:
        assert one.chances is not None
        assert one.chances.named == {item.item_id: 1.0 for item in one.items}


def test_what_the_catalogue_does_not_hold_is_told(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [*queries(2), Query(5, {"i3": 1.0, "nobody": 1.0, "i1": 2.0, "é": 1.0}), Query(5, {"i9": 0.5})]
    found = check(catalogue, asked, monkeypatch)
    assert [notice.code for one in found for notice in one.notices] == ["unknown_items_in_history"]


def test_what_is_hidden_does_not_come_back(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, best = queries(3), check(catalogue, queries(3), monkeypatch)
    catalogue.overlay.shown = np.ones(N_ITEMS, dtype=np.bool_)
    catalogue.overlay.shown[list(best[0].shown)] = False
    found = check(catalogue, asked, monkeypatch)
    assert not set(found[0].shown) & set(best[0].shown)
    catalogue.overlay.shown[10:] = False
    short = check(catalogue, asked, monkeypatch)
    assert any("fewer_items_than_k" in [notice.code for notice in one.notices] for one in short)


@pytest.mark.parametrize(
    "other",
    [
        Query(5), Query(5, {"nobody": 1.0}), Query(5, {"i1": -1.0}), Query(5, {"i1": 1.0}, exclude=["i2"]),
        Query(5, {"i1": 1.0}, explain=True), Query(300, {"i1": 1.0}), Query(5, {"i\0": 1.0, "": 1.0}),
    ],
)  # fmt: skip
def test_anything_else_in_a_batch_is_answered_step_by_step(
    catalogue: Catalogue, other: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = queries(2)
    asked, is_whole = [first, other, last], "i\0" not in other.history
    assert [one is not None for one in plain_lists.answers(catalogue, asked)] == [is_whole, False, is_whole]
    found = finished(answer_all(catalogue, asked))
    for one, expected in zip(found, step_by_step(catalogue, asked, monkeypatch), strict=True):
        assert isinstance(one, Answer)
        assert isinstance(expected, Answer)
        assert (tuple(one.items), replace(one, items=())) == (tuple(expected.items), replace(expected, items=()))


def test_who_is_answered_otherwise_by_the_policy_is(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = TierPolicy(bare=(TierThreshold(0, POPULAR), TierThreshold(3, HISTORY)))
    catalogue = Catalogue(FallbackChain(replace(bundle, tiers=Tiers(policy))))
    if catalogue.lists is None:
        pytest.skip("nothing is compiled that finds lists at once")
    asked = [Query(5, {"i1": 1.0, "i2": 1.0, "i3": 1.0}), Query(5, {"i1": 1.0, "i2": 1.0})]
    assert [one is not None for one in plain_lists.answers(catalogue, asked)] == [True, False]
    check(catalogue, asked[:1], monkeypatch)
    assert [one.tier for one in finished(answer_all(catalogue, asked)) if isinstance(one, Answer)] == [HISTORY, POPULAR]
