"""Rows of one user: what they are about."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys_vae.recommender import FallbackChain
from service.ranking.results import Query
from service.ranking.rows import BECAUSE, FOR_YOU, LIST, Rows, RowsQuery, rows_of
from service.ranking.served_model import Catalogue
from service.ranking.steps import finished
from tests.service.tiny import ITEMS


def ask(chain: FallbackChain, history: str, **asked: object) -> Rows:
    query = Query(1, dict.fromkeys(history, 1.0))
    return finished(rows_of(Catalogue(chain), RowsQuery(query, **asked)))  # type: ignore[arg-type]


def test_a_row_for_the_model_for_the_last_items_and_for_each_list(chain: FallbackChain) -> None:
    found = ask(chain, "df", because=2, lists=("trending", "new"))
    assert [row.kind for row in found.rows] == [FOR_YOU, BECAUSE, BECAUSE, LIST, LIST]
    assert [row.name for row in found.rows] == [None, "f", "d", "trending", "new"]
    shown = [item.item_id for row in found.rows for item in row.items]
    assert len(set(shown) | set("df")) == len(shown) + 2


def test_an_item_that_is_like_one_before_it_has_no_row(chain: FallbackChain) -> None:
    (nearest,) = chain.similarity.similar(2, 1).rows[0].tolist()
    found = ask(chain, f"h{ITEMS[nearest]}c", because=2, lists=())
    assert [row.name for row in found.rows if row.kind == BECAUSE] == ["c", "h"]


def test_no_row_is_about_what_the_user_dislikes(chain: FallbackChain) -> None:
    query = Query(1, {"d": 1.0, "f": -1.0})
    found = finished(rows_of(Catalogue(chain), RowsQuery(query, lists=())))
    assert [row.name for row in found.rows if row.kind == BECAUSE] == ["d"]
    assert "f" not in {item.item_id for row in found.rows for item in row.items}


def test_without_a_history_the_first_row_is_what_is_popular_and_comes_once(chain: FallbackChain) -> None:
    found = ask(chain, "")
    assert [(row.kind, row.name) for row in found.rows] == [(LIST, "popular"), (LIST, "trending"), (LIST, "new")]
    assert found.tier == "popular"


@pytest.mark.parametrize(("column", "title"), [("title", "Title a"), ("name", "Title a"), ("label", "a")])
def test_an_item_is_called_by_its_title(chain: FallbackChain, column: str, title: str) -> None:
    table = chain.bundle.item_table.with_columns(pl.Series(column, [f"Title {item_id}" for item_id in ITEMS]))
    found = ask(FallbackChain(replace(chain.bundle, item_table=table)), "a", because=1)
    assert found.rows[1].title == f"Because you watched {title}"


def test_lists_that_the_bundle_does_not_have_are_left_out(chain: FallbackChain) -> None:
    bare = FallbackChain(replace(chain.bundle, shelves=type(chain.bundle.shelves)()))
    found = ask(bare, "ab", because=0)
    assert [row.name for row in found.rows] == [None, "popular"]
    assert np.isfinite([item.score for row in found.rows for item in row.items]).all()
