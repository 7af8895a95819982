"""Answers: what is asked about a user, ranked by a ladder, and everything worth saying about it.

Pure: no HTTP, no store, no event loop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.ladder import POPULAR, Ladder
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array

NAMED_IN_WARNING = 10
"""Ids that a warning names; it counts the others."""
POPULARITY_SCORER = "popularity"


@dataclass(frozen=True)
class Query:
    """What is asked.

    Attributes:
        k: items wanted, at least 1.
        history: item id -> weight > 0.
        exclude: ids of items not to return, besides those in the history.
        candidates: ids of the items to choose among; None for all.
    """

    k: int
    history: Mapping[str, float] = field(default_factory=dict)
    exclude: Sequence[str] = ()
    candidates: Sequence[str] | None = None


@dataclass(frozen=True)
class Notice:
    """Something that did not stop the answer but that the caller should know."""

    code: str
    message: str


@dataclass(frozen=True)
class RankedItem:
    """One item of an answer; `rank` counts from 1."""

    rank: int
    item_id: str
    score: float


@dataclass(frozen=True)
class Answer:
    """What is answered.

    Attributes:
        model_version: of the bundle that answered.
        tier: of the ladder.
        scorer: what computed the scores.
        items: best first.
        notices: in no particular order.
    """

    model_version: str
    tier: str
    scorer: str
    items: tuple[RankedItem, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True)
class SimilarItems:
    """The items most similar to one."""

    model_version: str
    items: tuple[RankedItem, ...]
    notices: tuple[Notice, ...]


def answer(ladder: Ladder, query: Query) -> Answer:
    """Rank items for one user; ids that are not in the catalogue are left out, and a notice says so."""
    notices: list[Notice] = []
    history = _history_row(ladder, query.history, notices)
    excluded = _excluded_row(ladder, query.exclude, notices)
    allowed = _allowed(ladder, query.candidates, notices)
    found = ladder.recommend(history, query.k, allowed=allowed, excluded=excluded)
    tier = found.tiers[0]
    if tier == POPULAR:
        notices.append(Notice("no_history", "No history to go by: these are the items that most users have touched."))
    items = _ranked(ladder, found.rows[0], found.scores[0])
    notices += _shortfall(len(items), query.k)
    scorer = POPULARITY_SCORER if tier == POPULAR else found.scorer
    return Answer(ladder.bundle.version, tier, scorer, items, tuple(notices))


def similar(ladder: Ladder, item_id: str, k: int) -> SimilarItems | None:
    """The k items most similar to one; None where the catalogue does not hold it."""
    row = int(ladder.bundle.items.rows([item_id])[0])
    if row < 0:
        return None
    found = ladder.similar(row, k)
    items = _ranked(ladder, found.rows[0], found.scores[0])
    return SimilarItems(ladder.bundle.version, items, tuple(_shortfall(len(items), k)))


def _history_row(ladder: Ladder, history: Mapping[str, float], notices: list[Notice]) -> csr_array:
    rows = ladder.bundle.items.rows(list(history))
    notices += _unknown("history", list(history), rows)
    weights = np.fromiter(history.values(), dtype=np.float32, count=len(history))
    return _sparse_row(rows[rows >= 0], weights[rows >= 0], len(ladder.bundle.items))


def _excluded_row(ladder: Ladder, exclude: Sequence[str], notices: list[Notice]) -> csr_array | None:
    if not exclude:
        return None
    rows = ladder.bundle.items.rows(exclude)
    notices += _unknown("exclude", exclude, rows)
    known = np.unique(rows[rows >= 0])
    return _sparse_row(known, np.ones(len(known), dtype=np.float32), len(ladder.bundle.items))


def _allowed(ladder: Ladder, candidates: Sequence[str] | None, notices: list[Notice]) -> BoolArray | None:
    if candidates is None:
        return None
    rows = ladder.bundle.items.rows(candidates)
    notices += _unknown("candidates", candidates, rows)
    allowed = np.zeros(len(ladder.bundle.items), dtype=np.bool_)
    allowed[rows[rows >= 0]] = True
    return allowed


def _sparse_row(rows: Int64Array, weights: Float32Array, width: int) -> csr_array:
    order = np.argsort(rows)
    return csr_array((weights[order], rows[order], [0, len(rows)]), shape=(1, width), dtype=np.float32)


def _ranked(ladder: Ladder, rows: Int64Array, scores: Float32Array) -> tuple[RankedItem, ...]:
    found = rows >= 0
    # The shortest decimal of a float32, so that JSON carries no digits that the score does not have.
    pairs = zip(ladder.bundle.items.ids(rows[found]), map(str, scores[found]), strict=True)
    return tuple(RankedItem(rank, item_id, float(score)) for rank, (item_id, score) in enumerate(pairs, start=1))


def _unknown(place: str, ids: Sequence[str], rows: Int64Array) -> list[Notice]:
    unknown = np.flatnonzero(rows < 0)
    if not len(unknown):
        return []
    named = ", ".join(ids[int(i)] for i in unknown[:NAMED_IN_WARNING])
    more = f" and {len(unknown) - NAMED_IN_WARNING} more" if len(unknown) > NAMED_IN_WARNING else ""
    counts = f"{len(unknown)} of {len(ids)} items in {place}"
    return [Notice(f"unknown_items_in_{place}", f"{counts} are not in the catalogue and were left out: {named}{more}.")]


def _shortfall(n_found: int, k: int) -> list[Notice]:
    if n_found == k:
        return []
    return [Notice("fewer_items_than_k", f"{k} items were asked for, {n_found} are allowed: all of them are here.")]
