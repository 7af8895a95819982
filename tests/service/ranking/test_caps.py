"""Caps: the list is the greedy one, best first, of exactly k where the walk finds k."""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.recommender import FallbackChain
from service.errors import FieldError
from service.ranking.caps import Counts, Gate, values_of
from service.ranking.cursors import Cursor
from service.ranking.filters import Eq
from service.ranking.ranking import answer
from service.ranking.results import Cap, Query
from service.ranking.served_model import Catalogue
from tests.worlds import two_tastes, untrained

N = 40
WORLD = two_tastes(60, N)
IDS = WORLD.items.values.to_list()
BRANDS = [("x", "x", "x", "y", None)[row % 5] for row in range(N)]
TAGS = [[["p"], ["p", "q"], [], None, ["q", "q", "r"], ["p", "r"]][row % 6] for row in range(N)]
TABLE = pl.DataFrame({"item_id": IDS, "brand": BRANDS, "tags": TAGS, "price": [float("nan"), *map(float, range(1, N))]})
CAPS = {"brand": BRANDS, "tags": TAGS}


@pytest.fixture(scope="module", params=["mult-vae", "ease"])
def catalogue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    folder: Path = tmp_path_factory.mktemp("bundles") / request.param
    model = untrained(request.param, N)
    origin = Provenance(dataset="tiny", trained_on="all", n_users=60, metrics={})
    write_bundle(folder, model, WORLD.items, popularity=np.arange(N) + 1.0, provenance=origin, item_table=TABLE)
    return Catalogue(FallbackChain(Bundle.load(folder)))


def several(cell: object) -> list[object]:
    return list(dict.fromkeys(cell)) if isinstance(cell, list) else [] if cell is None else [cell]


def walked(ids: list[str], caps: tuple[Cap, ...], k: int) -> list[str]:
    """The list by brute force: down the whole order, passing over what a cap forbids."""
    found: list[str] = []
    counts: Counter[tuple[int, object]] = Counter()
    for item_id in ids:
        values = [
            (place, one) for place, cap in enumerate(caps) for one in several(CAPS[cap.column][IDS.index(item_id)])
        ]
        if all(counts[value] < caps[value[0]].n for value in values):
            counts.update(values)
            found.append(item_id)
    return found[:k]


def ids_of(catalogue: Catalogue, query: Query) -> list[str]:
    return [item.item_id for item in answer(catalogue, query).items]


some_caps = st.lists(st.builds(Cap, st.sampled_from(["brand", "tags"]), st.integers(1, 4)), min_size=1, max_size=2)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_caps, st.integers(1, 45), st.lists(st.sampled_from(IDS), max_size=5), st.booleans(), st.booleans())
def test_the_list_is_that_of_a_walk_down_the_whole_order(
    catalogue: Catalogue, caps: list[Cap], k: int, history: list[str], keep_seen: bool, filtered: bool
) -> None:
    condition = Eq("brand", "x") if filtered else None
    query = Query(k, dict.fromkeys(history, 1.0), filter=condition, repeat="allow" if keep_seen else "exclude")
    order = ids_of(catalogue, Query(N, query.history, filter=condition, repeat="allow" if keep_seen else "exclude"))
    capped = Query(k, query.history, filter=condition, repeat="allow" if keep_seen else "exclude", caps=tuple(caps))
    found = answer(catalogue, capped)
    expected = walked(order, tuple(caps), k)
    assert [item.item_id for item in found.items] == expected
    assert found.has_more == (len(walked(order, tuple(caps), k + 1)) > k)
    assert any(notice.code == "fewer_items_than_k" for notice in found.notices) == (len(expected) < k)


@pytest.mark.parametrize("diversity", [0.0, 0.6])
def test_pages_are_one_list_in_which_earlier_pages_count(catalogue: Catalogue, diversity: float) -> None:
    caps = (Cap("brand", 3), Cap("tags", 4))
    whole = ids_of(catalogue, Query(N, {IDS[0]: 1.0}, caps=caps, diversity=diversity))
    pages: list[str] = []
    after, has_more = None, True
    while has_more:
        found = answer(catalogue, Query(3, {IDS[0]: 1.0}, caps=caps, diversity=diversity, after=after))
        pages += [item.item_id for item in found.items]
        after, has_more = Cursor(catalogue.version, None, bytes(16), found.shown), found.has_more
    assert found.items
    if not diversity:
        assert pages == whole
    counts = Counter(BRANDS[IDS.index(item_id)] for item_id in pages)
    assert len(set(pages)) == len(pages)
    assert max(counts["x"], counts["y"]) == 3


def test_diverse_lists_keep_caps_and_hold_k_wherever_one_cap_lets_k_through(catalogue: Catalogue) -> None:
    found = ids_of(catalogue, Query(12, {IDS[0]: 1.0}, caps=(Cap("brand", 2),), diversity=0.5))
    brands = Counter(BRANDS[IDS.index(item_id)] for item_id in found)
    assert len(found) == min(12, 4 + BRANDS.count(None))
    assert brands["x"] == brands["y"] == 2


def test_explained_lists_are_the_same(catalogue: Catalogue) -> None:
    query = Query(6, {IDS[0]: 1.0}, caps=(Cap("tags", 2),))
    explained = answer(catalogue, Query(6, {IDS[0]: 1.0}, caps=(Cap("tags", 2),), explain=True))
    assert [item.item_id for item in explained.items] == ids_of(catalogue, query)
    assert all(item.because is not None for item in explained.items)


def test_a_column_that_is_not_there_is_named(catalogue: Catalogue) -> None:
    with pytest.raises(FieldError, match=r"body.at_most.1.column: .* no column 'colour'"):
        answer(catalogue, Query(3, caps=(Cap("brand", 1), Cap("colour", 1))))


def test_an_item_without_a_value_is_bound_by_no_cap(catalogue: Catalogue) -> None:
    rows = np.array([0, 1, 3, 4], dtype=np.int64)
    columns = {name: catalogue.filters.frozen(name, "at_most") for name in ("price", "tags")}
    assert values_of(columns, (Cap("price", 1), Cap("tags", 1)), rows) == [
        ((1, "p"),),
        ((0, 1.0), (1, "p"), (1, "q")),
        ((0, 3.0),),
        ((0, 4.0), (1, "q"), (1, "r")),
    ]


def test_a_gate_closes_when_a_cap_is_filled() -> None:
    gate = Gate([((0, "a"),), ((0, "a"),), ((0, "b"),), ()], Counts([Cap("c", 2)], [((0, "a"),)]))
    assert gate.open.tolist() == [True] * 4
    gate.take(0)
    assert gate.open.tolist() == [False, False, True, True]
    assert gate.best_first(5).tolist() == [2, 3]
