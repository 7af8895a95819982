"""Shelves of a bundle: lists without a user and neighbours of items, counted from what the model learned from."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import row_number
from pipelines.dataset.user_features import UserMetadata
from pipelines.training.fallback_policy import segment_columns
from recsys_vae.bundles.item_lists import NEVER, ItemLists, ListRules, Windows, segments_only
from recsys_vae.bundles.neighbours import Neighbours, n_kept
from recsys_vae.bundles.shelves import LIST_RULES, Shelves
from recsys_vae.data.co_occurrence import co_views, incidence, lifts, runs, sessions, without_long
from recsys_vae.data.columns import EVENT_TYPE, ITEM, POSITION, TIMESTAMP, USER, WEIGHT
from recsys_vae.data.features import Schema
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.signals import UNTIMED
from recsys_vae.errors import ConfigError, RecsysError
from recsys_vae.evaluation import entries
from recsys_vae.protocols import Int64Array

DAY, MINUTE = 86_400_000_000, 60_000_000
"""In microseconds."""
LATEST = 0.999
"""Quantile of the times that the recent window ends with; what is later is in it: few rows of 2099 make nothing old."""
FEWEST_SESSIONS = 2
"""That must hold a pair."""
LARGEST_SESSION = 500
LONGEST_HISTORY = 5_000
"""Items; longer ones are machines, or hold everything beside everything."""
RUN = 20
"""Events of a user, one after the other, that are seen together."""
DAMPING, RUN_DAMPING = 0.0, 0.0
"""Of items by their popularity, in histories and in runs. These three were chosen on validation users
(tests/benchmarks/signals_lists.py)."""
MOST_UNORDERED = 0.01
"""Share of events without time and position, beyond which there is no order to go by."""


def make_shelves(
    dataset: DatasetDir, learned_from: Interactions, schema: Schema | None, rules: ListRules, cutoff: str | None = None
) -> Shelves:
    """Count lists and neighbours.

    Args:
        dataset: whose events are counted.
        learned_from: the pairs of user and item that may count, and the catalogue.
        schema: of the users' metadata, for lists by segment; None for none.
        rules: what is counted.
        cutoff: time of the latest event that may count, in ISO 8601; None for all.

    Raises:
        ConfigError: no event is of a kind that `rules.bought` names; `check_bought` says so before a training.
    """
    events = events_of(dataset, learned_from, cutoff, kinds=bool(rules.bought))
    windows = _windows(dataset, learned_from, events, schema, rules)
    return Shelves(ItemLists(rules, windows), _neighbours(learned_from, events, rules))


def check_bought(
    dataset: DatasetDir, learned_from: Interactions, rules: ListRules, cutoff: str | None = None
) -> tuple[str, ...]:
    """Which of the kinds that `rules.bought` names no event has; the arguments are those of `make_shelves`.

    Raises:
        ConfigError: no event has any of them.
    """
    if not rules.bought:
        return ()
    found = set(_bought(events_of(dataset, learned_from, cutoff), rules)[EVENT_TYPE])
    return tuple(kind for kind in rules.bought if kind not in found)


def rules_in(bundle: Path) -> ListRules:
    """The rules of a bundle that stands at a path; the usual ones where it has none."""
    try:
        return ListRules.from_json((bundle / LIST_RULES).read_bytes())
    except (OSError, RecsysError):
        return ListRules()


def events_of(
    dataset: DatasetDir, learned_from: Interactions, cutoff: str | None = None, *, kinds: bool = True
) -> pl.DataFrame:
    """Events of the pairs that were learned from, by user and least recent first: row numbers, times, positions where
    the dataset has them, and kinds where they are wanted.
    """  # fmt: skip
    table = dataset.events()
    names = table.collect_schema().names()
    weight = pl.col(WEIGHT).fill_null(1.0) if WEIGHT in names else pl.lit(1.0)
    if cutoff is not None:
        table = table.filter((pl.col(TIMESTAMP) <= datetime.fromisoformat(cutoff)).fill_null(value=False))
    columns = [
        row_number(USER, learned_from.users).cast(pl.Int32),
        row_number(ITEM, learned_from.items).cast(pl.Int32),
        pl.col(TIMESTAMP).dt.epoch("us").fill_null(UNTIMED),
    ]
    columns += [pl.col(POSITION).cast(pl.Int64).fill_null(-1)] if POSITION in names else []
    if kinds:
        columns.append(pl.col(EVENT_TYPE) if EVENT_TYPE in names else pl.lit(None, pl.String).alias(EVENT_TYPE))
    found = table.filter(weight > 0).select(*columns).drop_nulls([USER, ITEM]).collect(engine="streaming")
    keys = found[USER].to_numpy().astype(np.int64)
    keys *= learned_from.n_items
    keys += found[ITEM].to_numpy()
    are_learned = entries.contains(learned_from.matrix, keys)
    del keys
    found = found if are_learned.all() else found.filter(pl.Series(are_learned))
    by = [name for name in (TIMESTAMP, POSITION) if name in found.columns]
    # Where only some events have a time, the position says more: it counts over all of them.
    by = by if (found[TIMESTAMP] != UNTIMED).all() else by[::-1]
    return found if _is_sorted(found, (USER, *by)) else found.sort(USER, *by, maintain_order=True)


def _is_sorted(table: pl.DataFrame, by: Sequence[str]) -> bool:
    """Whether it is; a dataset's events mostly are, and sorting holds them twice."""
    ties = np.ones(max(0, table.height - 1), dtype=np.bool_)
    for name in by:
        values = table[name].to_numpy()
        if (ties & (values[1:] < values[:-1])).any():
            return False
        ties &= values[1:] == values[:-1]
    return True


def _windows(
    dataset: DatasetDir, learned_from: Interactions, events: pl.DataFrame, schema: Schema | None, rules: ListRules
) -> Windows | None:
    is_timed = events[TIMESTAMP] != UNTIMED
    timed = events if is_timed.all() else events.filter(is_timed)
    if not timed.height:
        return None
    users, items, times = (timed[name].to_numpy() for name in (USER, ITEM, TIMESTAMP))
    now = int(timed[TIMESTAMP].quantile(LATEST, "nearest") or 0)
    begins = now - round(rules.recent_days * DAY)
    is_recent = times > begins
    is_before = ~is_recent & (times > begins - round(rules.baseline_days * DAY))
    counted = [_counts(users[chosen], items[chosen], learned_from) for chosen in (is_recent, is_before)]
    metadata = csr_array((learned_from.n_users, 0), dtype=np.float32)
    if schema is not None and schema.width:
        rows = UserMetadata(dataset, schema).rows(learned_from.users.values)
        metadata = segments_only(rows, segment_columns(schema))
    by_segment = [csr_array(metadata.T @ counts).astype(np.float32) for counts in counted]
    recent, baseline = (np.asarray(counts.sum(axis=0), dtype=np.float32).ravel() for counts in counted)
    last = np.full(learned_from.n_items, NEVER)
    np.maximum.at(last, items, times // DAY)
    ages = _ages(events, now, learned_from.n_items)
    return Windows(ages, recent, baseline, by_segment[0], by_segment[1], last.astype(np.float32))


def _counts(users: Int64Array, items: Int64Array, learned_from: Interactions) -> csr_array:
    """Events by user and item."""
    shape = (learned_from.n_users, learned_from.n_items)
    counts = csr_array((np.ones(len(users), np.float32), (users, items)), shape=shape)
    counts.sum_duplicates()
    return counts


def _ages(events: pl.DataFrame, now: int, n_items: int) -> NDArray[np.float32]:
    """Days since the first event of each item; one of unknown time counts as the oldest that is known."""
    items, times = events[ITEM].to_numpy(), events[TIMESTAMP].to_numpy().copy()
    is_timed = times != UNTIMED
    times[~is_timed] = times[is_timed].min()
    first = np.full(n_items, np.iinfo(np.int64).max)
    np.minimum.at(first, items, times)
    days = np.maximum(now - np.where(first == np.iinfo(np.int64).max, now, first), 0) / DAY
    return np.where(np.bincount(items, minlength=n_items) > 0, days, NEVER).astype(np.float32)


def _similar(learned_from: Interactions, events: pl.DataFrame, most: int) -> csr_array:
    """Neighbours by co-views, in runs of events where their order is known, else in whole histories."""
    is_unordered = events[TIMESTAMP] == UNTIMED
    if POSITION in events.columns:
        is_unordered &= events[POSITION] < 0
    if is_unordered.sum() > MOST_UNORDERED * events.height:
        return co_views(learned_from.matrix, damping=DAMPING, longest=LONGEST_HISTORY, most=most)
    users, items = events[USER].to_numpy(), events[ITEM].to_numpy()
    in_runs = incidence(*runs(users, items, RUN), learned_from.n_items)
    return co_views(in_runs, damping=RUN_DAMPING, longest=RUN, most=most)


def _neighbours(learned_from: Interactions, events: pl.DataFrame, rules: ListRules) -> Neighbours:
    most = n_kept(learned_from.n_items)
    similar = _similar(learned_from, events, most)
    bought = _bought(events, rules)
    users, times = bought[USER].to_numpy(), bought[TIMESTAMP].to_numpy()
    # Where no event has a time, a whole history is one session.
    groups = sessions(users, times, rules.session_minutes * MINUTE) if (times != UNTIMED).any() else users
    baskets = without_long(incidence(groups, bought[ITEM].to_numpy(), learned_from.n_items), LARGEST_SESSION)
    together = lifts(baskets, shrinkage=rules.shrinkage, at_least=FEWEST_SESSIONS, most=most)
    return Neighbours(similar, together)


def _bought(events: pl.DataFrame, rules: ListRules) -> pl.DataFrame:
    """The events that count for what is bought together."""
    if not rules.bought:
        return events
    found = events.filter(pl.col(EVENT_TYPE).is_in(rules.bought))
    if not found.height:
        kinds = ", ".join(events[EVENT_TYPE].drop_nulls().unique().sort()) or "none"
        raise ConfigError(
            f"--bought: no event to learn from is of the kinds {', '.join(rules.bought)}; the kinds are: {kinds}."
        )
    return found
