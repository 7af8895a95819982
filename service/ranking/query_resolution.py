"""Questions: queries in the terms of a catalogue: item rows instead of ids, masks instead of conditions.

Items change while answers are computed. A question holds all of them that its answer goes by, as of one moment, and
says which: whoever answers it looks nothing up in the catalogue that may have changed meanwhile.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.histories import History, HistoryRows
from recsys_vae.data.purchases import Purchases
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from recsys_vae.reranking import calibration
from service.errors import FieldError
from service.ranking import boosts, caps, mmr, repeats
from service.ranking.arrivals import Arrivals, arrivals
from service.ranking.live_columns import FrozenColumn, Snapshot
from service.ranking.results import NAMED_IN_WARNING, Notice, Query, unknown
from service.ranking.served_model import Catalogue

METADATA_NOT_USED = Notice("metadata_not_used", "The model in service does not use metadata of users.")

Chosen = BoolArray | Int64Array
NOTHING: Int64Array = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class ResolvedQuery:
    """A query, resolved.

    Attributes:
        query: as it was asked.
        history: rows of its known items.
        hidden: rows of items that must not come back, ascending: history (or what is disliked of it), excluded, shown
            before.
        allowed: flags of the items to choose among, not to be written to; None for all.
        boosted: how, by how much, and which items (flags or rows), in order.
        metadata: what else is known of the user, as the bundle reads it, shape (1, n_features); None for nothing.
        notices: what there is to say so far.
        fields: the columns that come with each item, as they are where `allowed` is true; None where none do.
        members: which items each quota speaks of, not to be written to.
        purchases: what the user has bought, where the repeat-purchase head ranks it; else None.
        columns: those that caps and calibration count by.
        arrivals: newcomers that may come into the list; None where none may.
        items_as_of: sequence of the change after which items are as they are here.
    """

    query: Query
    history: HistoryRows
    hidden: Int64Array
    allowed: BoolArray | None
    boosted: tuple[tuple[str, float, Chosen], ...]
    metadata: csr_array | None
    notices: tuple[Notice, ...]
    fields: Snapshot | None = None
    members: tuple[BoolArray, ...] = ()
    purchases: Purchases | None = None
    columns: Mapping[str, FrozenColumn] = field(default_factory=dict)
    arrivals: Arrivals | None = None
    items_as_of: int = 0

    @property
    def hides_history_only(self) -> bool:
        """Whether nothing but the history must not come back."""
        # Who is shown no dislikes, has a history without them.
        return (
            len(self.hidden) == len(self.history.rows)
            and self.query.repeat == "exclude"
            and not self.history.has_dislikes
        )

    @property
    def is_plain(self) -> bool:
        """Whether its best items are its list, with nothing to say beside."""
        return self.query.is_plain and self.arrivals is None and not self.notices

    @property
    def goes_by_purchases(self) -> bool:
        """Whether the user has bought something that its list goes by, on whatever tier."""
        return self.purchases is not None and self.purchases.counts.nnz > 0

    @property
    def depth(self) -> int:
        """Best items that are looked at to choose k."""
        k = caps.FIRST_POOL * self.query.k if self.query.caps else self.query.k
        if self.query.calibration is not None:
            k = max(k, calibration.pool_size(self.query.k))
        return max(k, mmr.pool_size(self.query.k)) if self.query.diversity else k

    def n_left(self, n_items: int) -> int:
        """Items that may come back."""
        if self.allowed is None:
            return n_items - len(self.hidden)
        return int(np.count_nonzero(self.allowed)) - int(np.count_nonzero(self.allowed[self.hidden]))

    def among(self, chosen: BoolArray) -> "ResolvedQuery":
        """The same, of these items only."""
        return replace(self, allowed=chosen if self.allowed is None else chosen & self.allowed)

    def boost(self, scores: Float32Array) -> None:
        """Apply the boosts to all scores, shape (n_items,), in place."""
        for by, value, chosen in self.boosted:
            boosts.apply(scores, by, value, chosen)


def resolve_all(catalogue: Catalogue, queries: Sequence[Query]) -> list[ResolvedQuery | Exception]:
    """Every query resolved, or what is wrong with it; the items of all histories are looked up and sorted together."""
    return [
        _attempt(catalogue, query, history)
        for query, history in zip(queries, _look_up(catalogue, [query.history for query in queries]), strict=True)
    ]


def _look_up(catalogue: Catalogue, histories: Sequence[History]) -> list[HistoryRows]:
    lengths = [len(history) for history in histories]
    ends = list(accumulate(lengths))
    rows = catalogue.rows(chain.from_iterable(histories))
    weights = np.fromiter(chain.from_iterable(history.values() for history in histories), np.float32, len(rows))
    owners = np.repeat(np.arange(len(histories)), lengths)
    order = np.argsort(owners * (len(catalogue) + 1) + rows + 1)
    ascending, weights = rows[order], weights[order]
    found = [
        HistoryRows(rows[start:end], ascending[start:end], weights[start:end])
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    if not len(weights) or weights.min() >= 0:
        return found
    return [one._replace(has_dislikes=bool((one.weights < 0).any())) for one in found]


def _attempt(catalogue: Catalogue, query: Query, history: HistoryRows) -> ResolvedQuery | Exception:
    try:
        return resolve(catalogue, query, history)
    except Exception as error:
        return error


def resolve(
    catalogue: Catalogue, query: Query, history: HistoryRows, *, takes_new: bool | None = None
) -> ResolvedQuery:
    """Look everything up that a query names; ids that are not in the catalogue are left out, and a notice says so.

    Args:
        catalogue: where.
        query: what is asked.
        history: its history, looked up.
        takes_new: whether the list has places for newcomers; by default where lists of users may hold them.

    Raises:
        FieldError: a column, filter or condition of a boost does not fit the metadata; a cursor names no such rows.
    """
    with catalogue.overlay.lock:  # nothing is changed about items meanwhile
        return _resolved(catalogue, query, history, takes_new)


def _resolved(catalogue: Catalogue, query: Query, history: HistoryRows, takes_new: bool | None) -> ResolvedQuery:
    notices: list[Notice] = []
    overlay = catalogue.overlay
    if query.is_plain and history.is_known and not len(overlay.newcomers):
        hidden = history.ascending
        return ResolvedQuery(query, history, hidden, overlay.shown, (), None, (), items_as_of=overlay.sequence)
    if query.fields:
        overlay.check_names(query.fields, "body.fields")
    if not history.is_known:
        notices += unknown("history", tuple(query.history), history.rows)
        history = history.known()
    excluded = _known(catalogue, "exclude", query.exclude, notices)
    metadata = _metadata(catalogue, query)
    shown, shown_new = _shown(catalogue, query)
    notices += _misfits(catalogue, query, metadata)
    allowed = _repeated(_allowed(catalogue, query, notices), query, history, len(catalogue))
    fields = Snapshot(catalogue.filters.metadata, query.fields) if query.fields else None
    boosted, members = _boosted(catalogue, query, notices), tuple(_members(catalogue, query, notices))
    purchases = repeats.purchases(catalogue, query, history)
    if purchases is not None and not purchases.counts.nnz and len(history.liked):
        notices.append(repeats.HISTORY_WITHOUT_TIMES)
    return ResolvedQuery(
        query,
        history,
        _hidden(_of_history(query, history), excluded, shown),
        allowed,
        boosted,
        metadata,
        tuple(notices),
        fields,
        members,
        purchases,
        _counted_by(catalogue, query),
        _arrivals(catalogue, query, shown_new, takes_new),
        overlay.sequence,
    )


def stack(rows: Sequence[Int64Array], values: Sequence[Float32Array] | None, width: int) -> csr_array:
    """Sparse rows, shape (len(rows), width), from the ascending columns of each; every value 1 when None."""
    starts, indices = np.cumsum([0, *map(len, rows)]), np.concatenate(rows)
    data = np.ones(len(indices), dtype=np.float32) if values is None else np.concatenate(values)
    stacked = csr_array((data, indices, starts), shape=(len(rows), width))
    stacked.has_canonical_format = True
    return stacked


def _known(catalogue: Catalogue, place: str, ids: Sequence[str], notices: list[Notice]) -> Int64Array:
    if not ids:
        return NOTHING
    rows = catalogue.rows(ids)
    is_left_out = place == "candidates" and not catalogue.overlay.newcomers.are_recommended
    notices += unknown(place, ids, rows if is_left_out else _with_newcomers(catalogue, ids, rows))
    return rows


def _with_newcomers(catalogue: Catalogue, ids: Sequence[str], rows: Int64Array) -> Int64Array:
    """Rows, none of them below 0 where the item is a newcomer."""
    newcomers = catalogue.overlay.newcomers
    if not len(newcomers) or not len(rows) or rows.min() >= 0:
        return rows
    return np.array([0 if item_id in newcomers else row for item_id, row in zip(ids, rows.tolist(), strict=True)])


def _of_history(query: Query, history: HistoryRows) -> Int64Array:
    """Rows of the history that must not come back, ascending."""
    if query.repeat == "exclude":
        return history.ascending
    return history.disliked if history.has_dislikes else NOTHING


def _counted_by(catalogue: Catalogue, query: Query) -> dict[str, FrozenColumn]:
    """The columns that caps and calibration count by."""
    named = [(cap.column, f"body.at_most.{number}.column") for number, cap in enumerate(query.caps)]
    if query.calibration is not None:
        named.append((query.calibration.column, "body.calibration.column"))
    return {name: catalogue.filters.frozen(name, place) for name, place in named}


def _arrivals(catalogue: Catalogue, query: Query, shown: tuple[int, ...], takes_new: bool | None) -> Arrivals | None:
    newcomers = catalogue.overlay.newcomers
    takes_new = newcomers.are_recommended if takes_new is None else takes_new
    return arrivals(newcomers, query, shown) if takes_new and len(newcomers) else None


def _hidden(history: Int64Array, excluded: Int64Array, shown: Int64Array) -> Int64Array:
    """Ascending rows, each once; those of a history are different already."""
    if not len(excluded) and not len(shown):
        return history
    return np.unique(np.concatenate([history, excluded[excluded >= 0], shown]))


def _metadata(catalogue: Catalogue, query: Query) -> csr_array | None:
    """The one place where the metadata of a request are encoded."""
    schema = catalogue.chain.bundle.tiers.schema
    if not query.metadata or schema is None or not schema.width:
        return None
    return schema.encode([query.metadata])


def _misfits(catalogue: Catalogue, query: Query, encoded: csr_array | None) -> list[Notice]:
    """What to say of metadata of the user that say nothing to the bundle."""
    schema = catalogue.chain.bundle.tiers.schema
    if not query.metadata:
        return []
    if schema is None or encoded is None:
        return [METADATA_NOT_USED]
    foreign, silent = schema.misfits(query.metadata, encoded)
    told = ((foreign, "are no fields of the model in service"), (silent, "hold values that it has not learned"))
    return [
        Notice("unknown_metadata", f"{len(names)} entries of metadata {words}, and count as missing: {_some(names)}.")
        for names, words in told
        if names
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED_IN_WARNING]) + (" ..." if len(names) > NAMED_IN_WARNING else "")


def _shown(catalogue: Catalogue, query: Query) -> tuple[Int64Array, tuple[int, ...]]:
    """Rows of items of the bundle, and numbers of newcomers, that earlier pages showed."""
    if query.after is None:
        return NOTHING, ()
    shown = np.array(query.after.shown, dtype=np.int64)
    new = tuple((shown[shown >= len(catalogue)] - len(catalogue)).tolist())
    if any(catalogue.overlay.newcomers.numbered(number) is None for number in new):
        raise FieldError("body.cursor", "this cursor was not made here")
    return shown[shown < len(catalogue)], new


def _allowed(catalogue: Catalogue, query: Query, notices: list[Notice]) -> BoolArray | None:
    fits = _fitting(catalogue, query)
    if query.candidates is None:
        return fits
    rows = _known(catalogue, "candidates", query.candidates, notices)
    allowed = np.zeros(len(catalogue), dtype=np.bool_)
    allowed[rows[rows >= 0]] = True
    return allowed if fits is None else allowed & fits


def _repeated(allowed: BoolArray | None, query: Query, history: HistoryRows, n_items: int) -> BoolArray | None:
    """What is allowed, of the history only where that is asked for."""
    if query.repeat != "only":
        return allowed
    flags = np.zeros(n_items, dtype=np.bool_)
    flags[history.ascending] = True
    return flags if allowed is None else flags & allowed


def _fitting(catalogue: Catalogue, query: Query) -> BoolArray | None:
    """Flags of the items that are shown and fit the filter; the same object for all who may get the same."""
    shown = catalogue.overlay.shown
    if query.filter is None:
        return shown
    if shown is None:
        return catalogue.filters.mask(query.filter, "body.filter")
    return catalogue.filters.mask_among(query.filter, shown, "body.filter")


def _members(catalogue: Catalogue, query: Query, notices: list[Notice]) -> Iterator[BoolArray]:
    """Which items each quota speaks of."""
    for number, quota in enumerate(query.quotas):
        if quota.where is not None:
            yield catalogue.filters.mask(quota.where, f"body.quotas.{number}.where")
        elif quota.group:
            yield catalogue.groups[quota.group]
        else:
            rows = _known(catalogue, "quotas", quota.items, notices)
            flags = np.zeros(len(catalogue), dtype=np.bool_)
            flags[rows[rows >= 0]] = True
            yield flags


def _boosted(catalogue: Catalogue, query: Query, notices: list[Notice]) -> tuple[tuple[str, float, Chosen], ...]:
    found: list[tuple[str, float, Chosen]] = []
    for number, boost in enumerate(query.boosts):
        if boost.where is not None:
            chosen: Chosen = catalogue.filters.mask(boost.where, f"body.boost.{number}.where")
        else:
            rows = _known(catalogue, "boost", boost.items, notices)
            chosen = np.unique(rows[rows >= 0])
        found.append((boost.by, boost.value, chosen))
    return tuple(found)
