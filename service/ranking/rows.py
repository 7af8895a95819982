"""Rows: titled lists for one user, such as a page has one below the other; no item is in two of them.

    for you       what the model recommends
    because       what is like one of the last items of the history, one row an item
    list          trending, new, recent, popular

Each row takes its items before the next one does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from recsys_vae.bundles.item_lists import NEW, POPULAR, RECENT, TRENDING
from recsys_vae.protocols import Int64Array
from recsys_vae.recommender import POPULAR as POPULAR_TIER
from recsys_vae.recommender import SEGMENT
from service.ranking.item_lists import NAMED, SIMILAR, ListQuery, Source, listed, rows_in
from service.ranking.ranking import answer_all
from service.ranking.results import Notice, Query, RankedItem
from service.ranking.served_model import Catalogue
from service.ranking.steps import Steps

Kind = Literal["for-you", "because", "list"]
FOR_YOU: Final = "for-you"
BECAUSE: Final = "because"
LIST: Final = "list"
"""Kinds of rows."""
LOOKED_AT: Final = 20
"""Last items of a history that a row may be about."""
NAMES: Final = ("title", "name")
"""Columns that say what an item is called; the first that there is."""
TITLES: Final = {
    POPULAR: "Popular",
    RECENT: "Popular this week",
    TRENDING: "Trending now",
    NEW: "New",
}


@dataclass(frozen=True)
class RowsQuery:
    """Rows that are asked for.

    Attributes:
        query: items of each row, which of them may come, and what moves them; with the history of the user.
        because: how many rows are about items of the history.
        lists: names of the lists that have a row; one that the bundle does not have is left out.
    """

    query: Query
    because: int = 2
    lists: tuple[str, ...] = (TRENDING, NEW, POPULAR)

    @property
    def n_rows(self) -> int:
        """At most."""
        return 1 + self.because + len(self.lists)


class Row(NamedTuple):
    """One row; `name` is that of the list, or the id of the item that it is about."""

    kind: Kind
    title: str
    name: str | None
    items: Sequence[RankedItem]
    fields: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Rows:
    """The rows of one user, those without items left out."""

    model_version: str
    tier: str
    rows: tuple[Row, ...]
    notices: tuple[Notice, ...]


def rows_of(catalogue: Catalogue, asked: RowsQuery) -> Steps[Rows]:
    """The rows of one user, in steps; raises what keeps them from being made."""
    (answer,) = yield from answer_all(catalogue, [asked.query])
    if isinstance(answer, Exception):
        raise answer
    is_personal = answer.tier not in (POPULAR_TIER, SEGMENT)
    first: tuple[Kind, str, str | None] = (FOR_YOU, "For you", None)
    if not is_personal:
        first = (LIST, TITLES[POPULAR], POPULAR)
    found = [Row(*first, answer.items, answer.fields)]
    plain = replace(asked.query, history={}, explain=False, diversity=0.0, explore=0.0)
    history = rows_in(catalogue, tuple(asked.query.history), newcomers=True)
    liked = rows_in(catalogue, [item_id for item_id, weight in asked.query.history.items() if weight > 0])
    hidden = np.concatenate([history, np.array(answer.shown, dtype=np.int64)])
    for source, title in _sources(catalogue, asked, liked, is_personal=is_personal):
        row = yield from listed(catalogue, ListQuery(source, plain), hidden)
        hidden = np.concatenate([hidden, np.array(row.rows, dtype=np.int64)])
        found.append(Row(BECAUSE if source.kind == SIMILAR else LIST, title, source.name, row.items, row.fields))
    return Rows(catalogue.version, answer.tier, tuple(row for row in found if row.items), _said(answer.notices))


def _sources(
    catalogue: Catalogue, asked: RowsQuery, liked: Int64Array, *, is_personal: bool
) -> Iterator[tuple[Source, str]]:
    for row in _reasons(catalogue, liked, asked.because, asked.query.k):
        (item_id,) = catalogue.ids(np.array([row]))
        yield Source(SIMILAR, item_id), f"Because you watched {_called(catalogue, row, item_id)}"
    names = catalogue.chain.bundle.shelves.lists.names
    for name in asked.lists:
        if name in names and (is_personal or name != POPULAR):
            yield Source(NAMED, name), TITLES[name]


def _reasons(catalogue: Catalogue, liked: Int64Array, n: int, k: int) -> list[int]:
    """The last liked items of a history that are shown still, none of them like one that has a row already."""
    shown, chosen, near = catalogue.overlay.shown, list[int](), set[int]()
    for row in liked[::-1][:LOOKED_AT].tolist() if n else ():
        if row in near or not (shown is None or shown[row]):
            continue
        chosen.append(row)
        if len(chosen) == n:
            break
        near |= {row, *catalogue.chain.similarity.similar(row, k).rows[0].tolist()}
    return chosen


def _called(catalogue: Catalogue, row: int, item_id: str) -> str:
    name = next((name for name in NAMES if name in catalogue.filters.metadata), None)
    if name is None:
        return item_id
    value = catalogue.overlay.values(np.array([row]), [name])[0][name]
    return str(value) if value not in (None, "", [], ()) else item_id


def _said(notices: tuple[Notice, ...]) -> tuple[Notice, ...]:
    """Rows may be shorter than asked for."""
    return tuple(notice for notice in notices if notice.code != "fewer_items_than_k")
