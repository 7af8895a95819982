"""Lists without a user, over the tiny world: what they go by, and that filters, boosts and caps hold in them."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_vae.bundles.shelves import Shelves
from recsys_vae.recommender import FallbackChain
from service.errors import FieldError, UnknownItemError, UnknownListError
from service.ranking.boosts import Boost
from service.ranking.filters import Eq
from service.ranking.item_lists import NAMED, SIMILAR, TOGETHER, ItemList, ListQuery, Source, listed
from service.ranking.results import Cap, Query
from service.ranking.served_model import Catalogue
from service.ranking.steps import finished


def ask(chain: FallbackChain, kind: str, name: str, query: Query, hidden: list[int] | None = None) -> ItemList:
    asked = ListQuery(Source(kind, name), query)
    return finished(listed(Catalogue(chain), asked, np.array(hidden or [], dtype=np.int64)))


def ids(found: ItemList) -> str:
    return "".join(item.item_id for item in found.items)


@pytest.mark.parametrize(
    ("name", "expected"), [("popular", "abcgdefh"), ("recent", "habgc"), ("trending", "hg"), ("new", "echgfdba")]
)
def test_lists_by_name(any_chain: FallbackChain, name: str, expected: str) -> None:
    found = ask(any_chain, NAMED, name, Query(20))
    assert ids(found).startswith(expected[:2])
    assert sorted(ids(found)) == sorted(expected)
    assert [item.rank for item in found.items] == list(range(1, len(expected) + 1))
    assert [notice.code for notice in found.notices] == ["fewer_items_than_k"]


@pytest.mark.parametrize("kind", [SIMILAR, TOGETHER])
def test_an_item_is_not_beside_itself_and_scores_descend(any_chain: FallbackChain, kind: str) -> None:
    found = ask(any_chain, kind, "a", Query(20))
    scores = [item.score for item in found.items]
    assert "a" not in ids(found)
    assert scores == sorted(scores, reverse=True)
    assert len(found.items) == (7 if kind == SIMILAR else len(ids(found)))


def test_similar_items_are_neighbours_first_and_then_what_the_model_finds_alike(any_chain: FallbackChain) -> None:
    found = ask(any_chain, SIMILAR, "h", Query(20))
    assert set(ids(found)[:2]) == {"a", "g"}  # h is in one history, with these
    assert [item.score > 1 for item in found.items] == [True, True, *[False] * 5]
    behind = ask(any_chain, SIMILAR, "h", Query(3, filter=Eq("genre", "comedy")))
    assert len(behind.items) == 3  # although no neighbour fits
    assert set(ids(behind)) <= set("bdf")


def test_what_is_bought_together_is_by_lift_and_only_what_was(chain: FallbackChain) -> None:
    found = ask(chain, TOGETHER, "g", Query(3))
    # g is in two baskets of six, h in one, together in one: (1 + 1) / (2 * 1 / 6 + 1).
    assert (found.items[0].item_id, found.items[0].score) == ("h", pytest.approx(1.5))
    assert set(ids(found)) <= set("abch")


@pytest.mark.parametrize(("kind", "name"), [(NAMED, "popular"), (NAMED, "new"), (SIMILAR, "a")])
def test_filters_boosts_caps_and_columns_hold(any_chain: FallbackChain, kind: str, name: str) -> None:
    plain = ids(ask(any_chain, kind, name, Query(20)))
    dramas = ids(ask(any_chain, kind, name, Query(20, filter=Eq("genre", "drama"))))
    assert dramas == "".join(item for item in plain if item in "aceg")
    last = plain[-1]
    pushed = ask(any_chain, kind, name, Query(1, boosts=(Boost("add", 1000.0, None, (last,)),), fields=("genre",)))
    assert ids(pushed) == last
    assert pushed.fields[0].keys() == {"genre"}
    capped = ask(any_chain, kind, name, Query(2, caps=(Cap("genre", 1),), fields=("genre",)))
    assert {told["genre"] for told in capped.fields} == {"drama", "comedy"}
    assert ids(ask(any_chain, kind, name, Query(20, exclude=[plain[0]]), hidden=[7])) == plain[1:].replace("h", "")
    assert set(ids(ask(any_chain, kind, name, Query(20, candidates=list("bh"))))) <= set("bh")


def test_a_cap_that_cannot_be_filled_ends(chain: FallbackChain) -> None:
    assert len(ask(chain, NAMED, "trending", Query(20, caps=(Cap("genre", 1),))).items) == 2
    assert ids(ask(chain, NAMED, "trending", Query(20, candidates=[], caps=(Cap("genre", 1),)))) == ""


def test_what_is_not_there_is_told(chain: FallbackChain) -> None:
    bare = FallbackChain(replace(chain.bundle, shelves=Shelves()))
    with pytest.raises(UnknownListError, match="popular"):
        ask(bare, NAMED, "trending", Query(3))
    for kind in (SIMILAR, TOGETHER):
        with pytest.raises(UnknownItemError, match="'zzz'"):
            ask(chain, kind, "zzz", Query(3))
    found = ask(bare, TOGETHER, "a", Query(3))
    assert (found.items, found.notices[0].code) == ((), "not_counted")
    assert len(ask(bare, SIMILAR, "a", Query(20)).items) == 7
    with pytest.raises(FieldError, match="no column"):
        ask(chain, NAMED, "new", Query(3, fields=("nope",)))
