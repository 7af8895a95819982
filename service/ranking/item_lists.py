"""Lists without a user: what is popular, trending or new, what is like an item, and what is bought with it.

They take filters, boosts, caps and columns as recommendations do: what differs is where the scores come from. Items
that came to the service after the bundle are the newest of what is new, and in the other lists where their stored
events put them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from recsys_vae.bundles.item_lists import NEW, NewcomerCounts
from recsys_vae.data.histories import HistoryRows
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from service.errors import UnknownItemError, UnknownListError
from service.ranking import exploration
from service.ranking.exploration import Guests
from service.ranking.query_resolution import NOTHING, ResolvedQuery, resolve
from service.ranking.ranking import best_items
from service.ranking.reordering import Ranked, selected, shortened
from service.ranking.results import Answer, Float64Array, Notice, Query, RankedItem, ranked, shortfall
from service.ranking.served_model import Catalogue
from service.ranking.steps import Steps
from service.store.shown_items import DAY

NAMED, SIMILAR, TOGETHER = "list", "similar", "bought-together"
"""What a list may go by."""
NOT_COUNTED: Final = Notice(
    "not_counted", "The bundle in service has no counts of what is bought together: train it again with this version."
)
NO_HISTORY: Final = HistoryRows(NOTHING, NOTHING, np.zeros(0, dtype=np.float32))


class Source(NamedTuple):
    """What a list goes by: `list` with its name, or `similar` or `bought-together` with the id of an item."""

    kind: str
    name: str


@dataclass(frozen=True)
class ListQuery:
    """A list that is asked for.

    Attributes:
        source: what it goes by.
        query: how many items, which of them may come, and what moves them; its metadata are those of a segment.
        place: of the request that the query comes from, for errors.
    """

    source: Source
    query: Query
    place: str = "body"


@dataclass(frozen=True)
class ItemList:
    """A list of items; `fields` of each, where some were asked for.

    `rows` are theirs in the catalogue; those of newcomers are their numbers behind its end.
    """

    model_version: str
    items: Sequence[RankedItem]
    notices: tuple[Notice, ...]
    fields: tuple[dict[str, Any], ...] = ()
    rows: tuple[int, ...] = ()


def listed(catalogue: Catalogue, asked: ListQuery, hidden: Int64Array = NOTHING) -> Steps[ItemList]:
    """The best items of a list, in steps.

    Args:
        catalogue: where.
        asked: for what.
        hidden: items that must not come back, besides those that the query names, as `ItemList.rows` has them.

    Raises:
        UnknownItemError: the catalogue does not hold the item, or it was deleted.
        UnknownListError: the bundle in service has no such list.
        FieldError: something in the query does not fit the metadata of the items.
    """
    catalogue.overlay.check_names(asked.query.fields, f"{asked.place}.fields")
    question = resolve(catalogue, asked.query, NO_HISTORY, takes_new=asked.source.kind == NAMED)
    scores, own = _scores(catalogue, asked.source, question)
    is_in = np.isfinite(scores)
    question = replace(
        question,
        allowed=is_in if question.allowed is None else question.allowed & is_in,
        hidden=np.unique(np.concatenate([question.hidden, hidden[hidden < len(catalogue)], own])),
        arrivals=question.arrivals and question.arrivals.without(hidden[hidden >= len(catalogue)] - len(catalogue)),
    )
    notices = list(question.notices)
    if asked.source.kind == TOGETHER and catalogue.chain.bundle.shelves.neighbours is None:
        notices.append(NOT_COUNTED)
    best, _ = yield from _best(catalogue, question, scores, notices)
    guests = _newcomers(catalogue, asked.source, question, best[1])
    rows, found = shortened(question, best, asked.query.k - len(guests))
    items = ranked(catalogue, rows, found)
    told = tuple(question.fields.values(rows)) if question.fields else ()
    kind = asked.source.kind
    shown = tuple(rows.tolist())
    answer = Answer(catalogue.version, "", kind, items, tuple(notices), (kind,) * len(items), shown, fields=told)
    if len(guests):
        answer = exploration.mixed(catalogue, answer, replace(asked.query, explain=False), guests, kind, "")
    notices += shortfall(len(answer.items), asked.query.k)
    return ItemList(catalogue.version, answer.items, tuple(notices), answer.fields, answer.shown)


def _newcomers(catalogue: Catalogue, source: Source, question: ResolvedQuery, found: Float64Array) -> Guests:
    """Newcomers of a list.

    Of what is new, the last to come is the first: an item of the bundle has a score of 1 there at most, which one has
    that nobody has touched. The other lists hold those that have events, by the formulas for the bundle's own.
    """
    arrivals = question.arrivals
    if arrivals is None:
        return exploration.NOBODY
    if source.name == NEW:
        came = np.argsort(np.argsort(arrivals.newcomers.numbers))
        scores = 2 + came[arrivals.eligible].astype(np.float32)
    else:
        scores = _by_events(catalogue, source.name, arrivals.ids)
        has_events = np.isfinite(scores)
        arrivals, scores = arrivals.among(has_events), scores[has_events]
    return exploration.by_score(arrivals, question.query.k, scores, found)


def _by_events(catalogue: Catalogue, name: str, item_ids: Sequence[str]) -> Float32Array:
    bundle, counted = catalogue.chain.bundle, catalogue.overlay.newcomers.counted
    lists = bundle.shelves.lists
    begin = counted.at - round(lists.rules.recent_days * DAY)
    before = begin - round(lists.rules.baseline_days * DAY)
    events = counted.events
    counts = NewcomerCounts(
        events.n_users(item_ids), events.between(item_ids, begin), events.between(item_ids, before, begin)
    )
    return lists.scores_of_newcomers(name, counts, bundle.popularity, bundle.tiers.segments)


def _best(
    catalogue: Catalogue, question: ResolvedQuery, scores: Float32Array, notices: list[Notice]
) -> Steps[tuple[Ranked, bool]]:
    def deeper(depth: int, among: BoolArray | None) -> Ranked:
        asked = question if among is None else question.among(among)
        return best_items(catalogue, asked, scores[None, :].copy(), depth)

    return (yield from selected(catalogue, question, deeper(question.depth, None), deeper, notices))


def _scores(catalogue: Catalogue, source: Source, question: ResolvedQuery) -> tuple[Float32Array, Int64Array]:
    """Scores of all items, shape (n_items,), -inf for those that are not in the list; and the item that it is about."""
    if source.kind == NAMED:
        return _named(catalogue, source.name, question), NOTHING
    row = row_of(catalogue, source.name)
    own = np.array([row], dtype=np.int64)
    if source.kind == SIMILAR:
        return catalogue.chain.similarity.scores(row), own
    neighbours = catalogue.chain.bundle.shelves.neighbours
    if neighbours is None:
        return np.full(len(catalogue), -np.inf, dtype=np.float32), own
    return neighbours.lifts(row), own


def _named(catalogue: Catalogue, name: str, question: ResolvedQuery) -> Float32Array:
    bundle = catalogue.chain.bundle
    lists = bundle.shelves.lists
    if name not in lists.names:
        raise UnknownListError(name, lists.names)
    make = partial(lists.scores, name, bundle.popularity, bundle.tiers.segments)
    return catalogue.made_once(name, make) if question.metadata is None else make(question.metadata)


def row_of(catalogue: Catalogue, item_id: str) -> int:
    """Row of an item.

    Raises:
        UnknownItemError: the catalogue does not hold it, or it was deleted.
    """
    row = int(catalogue.rows([item_id])[0])
    if row < 0 or catalogue.overlay.is_deleted(row):
        raise UnknownItemError(item_id)
    return row


def rows_in(catalogue: Catalogue, item_ids: Sequence[str], *, newcomers: bool = False) -> Int64Array:
    """Rows of those of some items that the catalogue holds; with newcomers as `ItemList.rows` has them, or without."""
    rows = catalogue.rows(item_ids)
    new = catalogue.overlay.newcomers
    numbers = [len(catalogue) + new.numbers[place] for place in new.places(item_ids)] if newcomers else []
    return np.concatenate([rows[rows >= 0], np.array(numbers, dtype=np.int64)])
