"""Splits along the order of events: `temporal` (a global cut in time) and `last-out` (each user's last items).

Both ask for items that are new to the user: what a user repeats is history, not a target. A cut in time can ask for
the next visit instead, with what is repeated in it. `refit` is everything before the test part, and its items are the
catalogue; `train` is everything before the validation part.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions, read_weights
from recsys_vae.data.sequences import places_matrix
from recsys_vae.data.signals import KEEPS, UNTIMED, Evidence, Keep, SignalRules, evidence
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, UnknownNameError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.splits import HeldOut, Split, drop_unlearnable, over_catalogue, take_users
from recsys_vae.frames import columns_of
from recsys_vae.protocols import BoolArray, Int64Array


@dataclass(frozen=True, eq=False)
class _Cut:
    """Four sets of events, one flag an event; train and refit are also what is shown before validation and test.

    Where repeats are kept, a part asks for what its events hold, known or not.
    """

    train: BoolArray
    validation: BoolArray
    refit: BoolArray
    test: BoolArray
    keeps_repeats: bool = False


@dataclass(frozen=True, eq=False)
class Events:
    """Interactions one by one with their order; a user may meet an item more than once.

    Attributes:
        users: external ids of the user rows.
        items: external ids of the item rows.
        user_rows: shape (n_events,).
        item_rows: shape (n_events,).
        weights: shape (n_events,), > 0.
        order: shape (n_events,), larger is later; any unit, the same for all users where a global cut is wanted.
        keep: what stands for a pair, on either side of a cut by itself: `sum` adds its weights up, `last` and
            `first` go by the order, `max` by the weight, ties by the place in the arrays.
        against: whether an event speaks against the item, shape (n_events,); the latest event of a pair, on either side
            of a cut by itself, says whether the user likes or dislikes it. None where none does.
        times: microseconds since 1970, `signals.UNTIMED` where unknown, shape (n_events,); for a half-life.
        half_life: days in which a weight halves, counted from the latest event of the user on that side of a cut.
        tie_order: shape (n_events,), larger is later among a user's events of equal order; None where they go by item.
    """

    users: IdMap
    items: IdMap
    user_rows: Int64Array
    item_rows: Int64Array
    weights: NDArray[np.float32]
    order: Int64Array
    keep: Keep = "sum"
    against: BoolArray | None = None
    times: Int64Array | None = None
    half_life: float = math.inf
    tie_order: Int64Array | None = None

    def __post_init__(self) -> None:
        if self.keep not in KEEPS:
            raise UnknownNameError("rule for repeated pairs", self.keep, KEEPS)
        sizes = {len(a) for a in (self.user_rows, self.item_rows, self.weights, self.order)}
        sizes |= {len(a) for a in (self.against, self.times) if a is not None}
        if len(sizes) != 1:
            raise DataError(f"Events need as many users, items, weights and orders; got {sorted(sizes)}.")
        if self.half_life != math.inf and self.times is None:
            raise DataError("A half-life needs the times of the events, and they have none.")

    @classmethod
    def from_frame(cls, frame: Any, *, user: str, item: str, time: str, weight: str | None = None) -> "Events":
        """Build from a frame, polars or pandas, of one row an event.

        Args:
            user: column of the users' ids, strings or whole numbers.
            item: column of the items' ids, strings or whole numbers.
            time: column of datetimes, dates or whole numbers; larger is later.
            weight: column of weights > 0; every row counts 1 when None.

        Raises:
            SchemaError: a column is missing.
            DataError: an id or a time is null or of another type, or a weight is not above 0.
        """
        users, items, times, *weights = columns_of(frame, *filter(None, (user, item, time, weight)))
        if not (times.dtype.is_integer() or times.dtype.is_temporal()) or times.null_count():
            raise DataError(
                f"Times are datetimes, dates or whole numbers; column {time!r} holds {times.dtype} or nulls."
            )
        user_ids, item_ids = IdMap.from_labels(users), IdMap.from_labels(items)
        values = read_weights(weights[0]) if weights else np.ones(len(users), np.float32)
        order = times.cast(pl.Int64).to_numpy()
        return cls(user_ids, item_ids, user_ids.find(users), item_ids.find(items), values, order).in_order()

    def __len__(self) -> int:
        return len(self.order)

    def interactions(self, chosen: BoolArray) -> Interactions:
        """What users like, by the chosen events: a matrix over all of them and all items, one entry a pair by the rule
        of `keep`.
        """  # fmt: skip
        if self.against is not None or self.half_life != math.inf:
            found = self._evidence(chosen)
            return Interactions(self._matrix(found, found.weights > 0), self.users, self.items)
        standing = self._one_a_pair(np.flatnonzero(chosen))
        return Interactions.from_rows(
            self.user_rows[standing],
            self.item_rows[standing],
            self.weights[standing],
            users=self.users,
            items=self.items,
        )

    def dislikes(self, chosen: BoolArray) -> csr_array | None:
        """What they dislike, likewise, weights above 0; None where no event speaks against anything."""
        if self.against is None:
            return None
        found = self._evidence(chosen)
        return self._matrix(found._replace(weights=-found.weights), found.weights < 0)

    def _evidence(self, chosen: BoolArray) -> Evidence:
        by_time = self._by_time()
        places = by_time[chosen[by_time]]
        weights = self.weights[places].astype(np.float64)
        if self.against is not None:
            weights[self.against[places]] *= -1
        times = np.full(len(places), UNTIMED) if self.times is None else self.times[places]
        rules = SignalRules(keep=self.keep, half_life=self.half_life)
        return evidence(self.user_rows[places], self.item_rows[places], weights, times, rules)

    def _matrix(self, found: Evidence, wanted: BoolArray) -> csr_array:
        cells = (found.weights[wanted], (found.users[wanted], found.items[wanted]))
        matrix = csr_array(cells, shape=(len(self.users), len(self.items)), dtype=np.float32)
        matrix.sum_duplicates()
        return matrix

    @property
    def cells(self) -> Int64Array:
        """One number a pair of user and item, shape (n_events,)."""
        return self.user_rows * len(self.items) + self.item_rows

    def _one_a_pair(self, places: Int64Array) -> Int64Array:
        """Those of the places whose event stands for its pair; all of them where weights add up."""
        if self.keep == "sum":
            return places
        by_weight = (self.weights[places],) if self.keep == "max" else ()
        cells = self.cells[places]
        ranked = np.lexsort((places, self.order[places], *by_weight, cells))
        cells, changes = cells[ranked], np.ones(len(places), dtype=np.bool_)
        if self.keep == "first":
            changes[1:] = cells[1:] != cells[:-1]
        else:
            changes[:-1] = cells[1:] != cells[:-1]
        return places[ranked[changes]]

    def in_order(self) -> "Events":
        """Sorted by user, then order, then the order of ties, then item."""
        by_time = self._by_time()
        return replace(
            self,
            user_rows=self.user_rows[by_time],
            item_rows=self.item_rows[by_time],
            weights=self.weights[by_time],
            order=self.order[by_time],
            against=None if self.against is None else self.against[by_time],
            times=None if self.times is None else self.times[by_time],
            tie_order=None if self.tie_order is None else self.tie_order[by_time],
        )

    def places(self, chosen: BoolArray) -> csr_array:
        """Places in time of what users like by the chosen events, each of its latest, shape (n_users, n_items)."""
        found = self._evidence(chosen)
        liked = found.weights > 0
        kept = Evidence(found.users[liked], found.items[liked], found.weights[liked], found.places[liked])
        return places_matrix(kept, (len(self.users), len(self.items)))

    def _by_time(self) -> Int64Array:
        ties = () if self.tie_order is None else (self.tie_order,)
        return np.lexsort((self.item_rows, *ties, self.order, self.user_rows))


def temporal(events: Events, *, validation_from: int, test_from: int, visit: int | None = None) -> Split:
    """Cut at two moments: learn from what came before, ask for what came after.

    A window's history is everything before the window. Users who do nothing new in a window are not asked; those
    without history are asked, with an empty one, and counted.

    With `visit` the question is the next basket: all that a user does on the first visit of a window, what is repeated
    there included. Later visits of the window are left out and counted, and repeated targets are noted.

    Args:
        validation_from: first moment of the validation window, in the unit of `events.order`.
        test_from: first moment of the test window, where the validation window ends.
        visit: time, in this unit, that is one visit: a day; None to ask for what is new in the whole window.

    Raises:
        ConfigError: the cuts are not in order.
        EmptyDataError: nothing lies before the validation window or in one of the windows.
    """
    if not validation_from < test_from:
        raise ConfigError(
            f"The validation window must begin before the test window; got {validation_from}, {test_from}."
        )
    past, in_test = events.order < validation_from, events.order >= test_from
    windows = {"validation": ~past & ~in_test, "test": in_test}
    asked = windows if visit is None else {name: _first_visits(events, one, visit) for name, one in windows.items()}
    cut = _Cut(past, asked["validation"], ~in_test, asked["test"], keeps_repeats=visit is not None)
    split = _assemble("temporal", events, cut)
    later = {
        f"{name}_interactions_of_later_visits": events.interactions(one & ~asked[name]).matrix.nnz
        for name, one in windows.items()
        if visit is not None
    }
    return replace(split, counts=split.counts | later, windows={"validation": validation_from, "test": test_from})


def _first_visits(events: Events, window: BoolArray, visit: int) -> BoolArray:
    """The events of each user's first visit in a window."""
    visits, first = events.order // visit, np.full(len(events.users), np.iinfo(np.int64).max)
    np.minimum.at(first, events.user_rows[window], visits[window])
    found: BoolArray = window & (visits == first[events.user_rows])
    return found


def cut_points(order: Int64Array, *, validation: float, test: float) -> tuple[int, int]:
    """Moments after which the last `validation + test` and the last `test` of all events lie.

    Args:
        validation: share of the events in the validation window.
        test: share of the events in the test window.

    Raises:
        ConfigError: the shares leave nothing.
        EmptyDataError: the times are too coarse for such windows.
    """
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ConfigError(f"Shares of validation and test are above 0 and below 1 together; got {validation}, {test}.")
    ascending, n = np.sort(order), len(order)
    places = [min(n - 1, int(n * (1 - share) + 1e-9)) for share in (validation + test, test)]
    validation_from, test_from = (int(ascending[place]) for place in places) if n else (0, 0)
    if not n or not ascending[0] < validation_from < test_from:
        raise EmptyDataError(
            f"{n} events cannot be cut in windows of {validation:.0%} and {test:.0%}: too many share one time. "
            "Give the moments of the cuts, or choose another protocol."
        )
    return validation_from, test_from


def last_out(events: Events) -> Split:
    """Ask for the last item that each user met for the first time; for validation, for the one before it.

    Items that the user disliked before, or dislikes in the end, are not asked for.

    Users with two items are asked in the test part only, users with one in neither; both are counted. Events of equal
    order go by item row; users whose last two items are tied so are counted too.

    Raises:
        EmptyDataError: no user has two items.
    """
    events = events.in_order()
    n_users = len(events.users)
    of_disliked = _of_disliked(events)
    first = np.sort(np.unique(events.cells, return_index=True)[1])  # of each pair, where it is liked
    first = first[~of_disliked[first]]
    n_items = np.bincount(events.user_rows[first], minlength=n_users)
    if not (n_items >= 2).any():
        raise EmptyDataError("No user has two items: there is nothing to hold out. It takes a longer log.")
    end = np.cumsum(n_items)
    never = len(events)
    test_at = np.full(n_users, never)
    test_at[n_items >= 2] = first[end[n_items >= 2] - 1]
    validation_at = test_at.copy()
    validation_at[n_items >= 3] = first[end[n_items >= 3] - 2]

    place = np.arange(len(events))
    before_validation = place < validation_at[events.user_rows]
    before_test = place < test_at[events.user_rows]
    is_test = place == test_at[events.user_rows]
    cut = _Cut(before_validation, before_test & ~before_validation, before_test, is_test)
    split = _assemble("last-out", events, cut)
    tied = (n_items >= 2) & _tied(events.order, first, end - 1, end - 2)
    later = ~before_test & ~is_test
    return replace(
        split,
        counts=split.counts
        | {
            "users_with_one_item": int(np.count_nonzero(n_items == 1)),
            "users_with_two_items_not_in_validation": int(np.count_nonzero(n_items == 2)),
            "repeats_after_the_last_new_item": int(np.count_nonzero(later & ~of_disliked)),
            "events_of_disliked_items_after_the_last_new_item": int(np.count_nonzero(later & of_disliked)),
        },
        notes=split.notes | {"users_whose_last_two_items_are_tied": int(np.count_nonzero(tied))},
    )


def _of_disliked(events: Events) -> BoolArray:
    """Which events speak against an item, or are of a pair that is disliked in the end; events in order."""
    if events.against is None:
        return np.zeros(len(events), dtype=np.bool_)
    _, last, pairs = np.unique(events.cells[::-1], return_index=True, return_inverse=True)
    found: BoolArray = events.against | events.against[::-1][last][pairs][::-1]
    return found


def _tied(order: Int64Array, first: Int64Array, one: Int64Array, other: Int64Array) -> BoolArray:
    tied: BoolArray = order[first[np.maximum(one, 0)]] == order[first[np.maximum(other, 0)]]
    return tied


def _assemble(protocol: str, events: Events, cut: _Cut) -> Split:
    sizes = [int(np.count_nonzero(chosen)) for chosen in (cut.train, cut.validation, cut.test)]
    if not all(sizes):
        raise EmptyDataError(
            f"Training, validation and test have {sizes[0]}, {sizes[1]} and {sizes[2]} events; none may be empty. Move "
            "the cuts, or choose another protocol."
        )
    everything, part_of = events.interactions(cut.refit), events.interactions(cut.train)
    catalogue = entries.seen_columns(everything.matrix)
    wide, narrow = over_catalogue(everything, catalogue), over_catalogue(part_of, catalogue)
    known = {"validation": _Known.of(events, narrow, cut.train, catalogue),
             "test": _Known.of(events, wide, cut.refit, catalogue)}  # fmt: skip
    n_liked = len(events.items) if events.against is None else len(np.unique(events.item_rows[~events.against]))
    counts, notes = {"items_only_in_test": n_liked - catalogue.size}, dict[str, int]()
    parts = {}
    for name, window, later in (("validation", cut.validation, cut.validation), ("test", cut.test, ~cut.refit)):
        before = known[name]
        asked = events.interactions(window)
        inside = over_catalogue(asked, catalogue)
        held_out, known_of = before.ask(inside.matrix, _over(events.dislikes(later), catalogue), cut.keeps_repeats)
        part, unlearnable = drop_unlearnable(held_out, before.liked.item_counts())
        parts[name] = part.asked()
        outside = asked.matrix.nnz - inside.matrix.nnz
        counts[f"{name}_interactions_outside_training"] = outside + unlearnable
        counts[f"{name}_disliked_before" if cut.keeps_repeats else f"{name}_repeats"] = known_of
        if cut.keeps_repeats:
            notes[f"{name}_repeated_targets"] = parts[name].overlap()
        counts[f"{name}_users_without_targets"] = _n_filled(asked.matrix) - len(parts[name].users)
        notes[f"{name}_users_without_history"] = int(np.count_nonzero(entries.row_lengths(parts[name].histories) == 0))
    train, refit = known["validation"].active(), known["test"].active()
    return Split(
        protocol, train.liked, parts["validation"], parts["test"], refit.liked, counts, notes,
        train_dislikes=train.disliked, refit_dislikes=refit.disliked,
        train_order=train.order, refit_order=refit.order,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known at a cut, over the catalogue: what users like, its order, and what they dislike, of one shape."""

    liked: Interactions
    disliked: csr_array | None
    order: csr_array

    @classmethod
    def of(cls, events: Events, liked: Interactions, chosen: BoolArray, catalogue: Int64Array) -> "_Known":
        return cls(
            liked, _over(events.dislikes(chosen), catalogue), entries.keep_columns(events.places(chosen), catalogue)
        )

    def ask(self, window: csr_array, disliked_in_it: csr_array | None, keeps_repeats: bool) -> tuple[HeldOut, int]:
        """Ask for what a window has and nobody knew of, or what was liked too; and how much it has besides."""
        held_out = HeldOut(
            self.liked.users,
            self.liked.matrix,
            entries.pick(window, ~(self._dislikes(window) if keeps_repeats else self._holds(window))),
            dislikes=self.disliked,
            order=self.order,
            disliked_later=None
            if disliked_in_it is None
            else entries.pick(disliked_in_it, ~self._holds(disliked_in_it)),
        )
        return held_out, window.nnz - held_out.targets.nnz

    def active(self) -> "_Known":
        """Without the users who like nothing."""
        rows = np.flatnonzero(entries.row_lengths(self.liked.matrix))
        against = None if self.disliked is None else self.disliked[rows]
        return _Known(take_users(self.liked, rows), against, self.order[rows])

    def _holds(self, matrix: csr_array) -> BoolArray:
        return entries.contains(self.liked.matrix, entries.entry_keys(matrix)) | self._dislikes(matrix)

    def _dislikes(self, matrix: csr_array) -> BoolArray:
        if self.disliked is None:
            return np.zeros(matrix.nnz, dtype=np.bool_)
        return entries.contains(self.disliked, entries.entry_keys(matrix))


def _over(matrix: csr_array | None, catalogue: Int64Array) -> csr_array | None:
    return None if matrix is None else entries.keep_columns(matrix, catalogue)


def _n_filled(matrix: csr_array) -> int:
    return int(np.count_nonzero(entries.row_lengths(matrix)))
