"""Answers: what is asked about a user, and what is said about it. Pure: no HTTP, no store, no event loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_vae.data.histories import History
from recsys_vae.data.signals import Repeat
from recsys_vae.protocols import Float32Array, Int64Array
from recsys_vae.reranking.caps import Cap
from recsys_vae.reranking.rules import Calibration
from service.ranking.boosts import Boost
from service.ranking.cursors import Cursor
from service.ranking.filters import Condition
from service.ranking.item_columns import Value
from service.ranking.propensities import Chances
from service.ranking.served_model import Catalogue
from service.store.user_history import NOTHING, UserEvents

IN_HISTORY, LEFT_OUT = "unknown_items_in_history", " and were left out"
NAMED_IN_WARNING = 10
"""Ids that a warning names; it counts the others."""
USUAL = 256
"""Items that a search looks at for one query, k and what is hidden; the few queries that need more are searched for
apart, so that they do not make the others slower."""
POPULARITY_SCORER, SEGMENT_SCORER = "popularity", "segment-popularity"

Float64Array = NDArray[np.float64]


class Quota(NamedTuple):
    """At least `n` items of a list are of a group: those that fit a condition, these, or `long-tail` or `new`."""

    n: int
    where: Condition | None = None
    items: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Query:
    """What is asked.

    Attributes:
        k: items wanted, at least 1.
        history: as received.
        exclude: ids of items not to return, besides those in the history.
        candidates: ids of the items to choose among; None for all.
        filter: what the metadata of items has to fit; None for anything.
        boosts: applied one after the other.
        diversity: 0 for the order of the scores, up to 1.
        explain: whether to say what pushed each item up.
        metadata: what else is known of the user, by name.
        after: where the list goes on: what it has in common with the pages before, and what they showed.
        fields: columns of the items' metadata that come with each item.
        explore: share of the places for items that the model does not know.
        seed: what these are drawn by.
        caps: on how many items may share a value, all of which hold.
        repeat: whether items of the history may come back, or only these; never those that the user dislikes.
        quotas: on how many items are of a group, of this page; one gives way where there are not so many.
        calibration: of the list to the history; None for none.
        events: that the history was made of, where it counts how often and when items were bought.
        day: since 1970, UTC, that purchases are seen from; None where they do not count.
        tells_chances: whether to say how likely items are to be in the list.
    """

    k: int
    history: History = field(default_factory=dict)
    exclude: Sequence[str] = ()
    candidates: Sequence[str] | None = None
    filter: Condition | None = None
    boosts: tuple[Boost, ...] = ()
    diversity: float = 0.0
    explain: bool = False
    after: Cursor | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    explore: float = 0.0
    seed: str = ""
    caps: tuple[Cap, ...] = ()
    repeat: Repeat = "exclude"
    quotas: tuple[Quota, ...] = ()
    calibration: Calibration | None = None
    events: UserEvents = NOTHING
    day: int | None = None
    tells_chances: bool = False

    @classmethod
    def of_history(cls, history: History, k: int) -> "Query":
        """The k best items besides those of a history: what is asked most, made without a look at each field."""
        query = object.__new__(cls)
        query.__dict__.update(_PLAIN, k=k, history=history)
        return query

    @cached_property
    def is_plain(self) -> bool:
        """Whether nothing is asked for but the k best items besides those of a history."""
        return not (
            self.exclude or self.candidates is not None or self.filter is not None or self.boosts or self.diversity
            or self.explain or self.after is not None or self.metadata or self.fields or self.explore or self.caps
            or self.repeat != "exclude" or self.quotas or self.calibration is not None or self.day is not None
        )  # fmt: skip


_PLAIN = vars(Query(1)) | {"is_plain": True}


@dataclass(frozen=True)
class Notice:
    """Something that did not stop the answer but that the caller should know."""

    code: str
    message: str


@dataclass(frozen=True)
class Cause:
    """An item of the history, and how much it moved a recommended item's score."""

    item_id: str
    effect: float


class RankedItem(NamedTuple):
    """One item of an answer; `rank` counts from 1 over all pages. `because` is None where nobody asked."""

    rank: int
    item_id: str
    score: float
    because: tuple[Cause, ...] | None = None


_RANKED = partial(tuple.__new__, RankedItem)
"""From the fields of an item, without a call of a Python function for each."""


@dataclass(frozen=True)
class Answer:
    """What is answered.

    Attributes:
        model_version: of the bundle that answered.
        tier: of the fallback chain.
        scorer: what computed the scores.
        items: best first.
        notices: in no particular order.
        sources: what put each item into the list: the tier, or `content` for an item that nobody had touched.
        reasons: with an explanation, what pushed each item up: history, metadata or popularity; else empty.
        fields: of each item, where some were asked for; else empty.
        shown: rows of the items of this page and those before, ascending.
        has_more: whether allowed items are left.
        teams: where two variants drafted the list, which of them each item is credited to, None for nobody; else empty.
        chances: how likely items are to be in the list; None where nobody asked, and where it is not known.
        items_as_of: sequence of the change of items after which it was made.
    """

    model_version: str
    tier: str
    scorer: str
    items: Sequence[RankedItem]
    notices: tuple[Notice, ...]
    sources: tuple[str, ...] = ()
    shown: tuple[int, ...] = ()
    has_more: bool = False
    reasons: tuple[str, ...] = ()
    fields: tuple[dict[str, Any], ...] = ()
    teams: tuple[str | None, ...] = ()
    chances: Chances | None = None
    items_as_of: int = 0


def ranked(catalogue: Catalogue, rows: Int64Array, scores: Float64Array, first: int = 1) -> tuple[RankedItem, ...]:
    """Items in this order, the first of this rank; rows of -1 are left out."""
    if len(rows) and rows[-1] < 0:
        rows, scores = rows[rows >= 0], scores[rows >= 0]
    fields = zip(range(first, first + len(rows)), catalogue.ids(rows), scores.tolist(), repeat(None))
    return tuple(map(_RANKED, fields))


def shortest(scores: Float32Array) -> Float64Array:
    """Float32 numbers with as few decimal digits as tell them apart: JSON carries none that they do not have."""
    wide = scores.astype(np.float64)
    found, is_open = wide.copy(), np.isfinite(scores) & (scores != 0)
    places = np.floor(np.log10(np.abs(wide, where=is_open, out=np.ones_like(wide))))
    for digits in range(9, 5, -1):  # nine are always enough, fewer than six never
        power = np.power(10.0, digits - 1 - places)
        rounded = np.rint(wide * power) / power
        is_open &= rounded.astype(np.float32) == scores
        if not is_open.any():
            break
        found[is_open] = rounded[is_open]
    return found


def unknown(place: str, ids: Sequence[str], rows: Int64Array) -> list[Notice]:
    """What to say of ids that the catalogue does not hold."""
    if not len(rows) or rows.min() >= 0:
        return []
    missing = np.flatnonzero(rows < 0)
    named = ", ".join(ids[int(i)] for i in missing[:NAMED_IN_WARNING])
    more = f" and {len(missing) - NAMED_IN_WARNING} more" if len(missing) > NAMED_IN_WARNING else ""
    counts = f"{len(missing)} of {len(ids)} items in {place}"
    return [Notice(f"unknown_items_in_{place}", f"{counts} are not in the catalogue{LEFT_OUT}: {named}{more}.")]


def unnamed(notices: Sequence[Notice]) -> tuple[Notice, ...]:
    """What there is to say to somebody who may not know what a stored history holds."""
    return tuple(
        replace(one, message=f"{one.message.partition(LEFT_OUT)[0]}{LEFT_OUT}.") if one.code == IN_HISTORY else one
        for one in notices
    )


def shortfall(n_found: int, k: int) -> list[Notice]:
    """What to say of a list that is shorter than asked for."""
    if n_found == k:
        return []
    return [Notice("fewer_items_than_k", f"{k} items were asked for, {n_found} are allowed: all of them are here.")]
