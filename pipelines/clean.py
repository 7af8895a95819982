"""Cleaning: pure steps from LazyFrame to LazyFrame, in the order in which ingest applies them.

1. Row by row: `mark_losses` (minimum rating, time window), `weigh_events`.
2. User by user: `drop_duplicates` keeps one row a (user, item); it needs all rows of a user in its frame.
3. Over all: `k_core`, iterated on counts until every user and every item has enough.
4. User by user: `number_positions` numbers what is left and sorts it.

A row that a rule takes is marked with the rule's name in `lost_to`, never dropped in silence.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import polars as pl

from recsys_vae import columns as c
from recsys_vae.errors import ConfigError

LOST_TO = "lost_to"
"""Name of the rule that took a row; null while the row stands."""


class Rule(StrEnum):
    """The rules that may take a row, in the order in which they are applied."""

    MIN_RATING = "min_rating"
    NO_TIMESTAMP = "no_timestamp"
    SINCE = "since"
    UNTIL = "until"
    DUPLICATE = "duplicate"
    MIN_USER = "min_user"
    MIN_ITEM = "min_item"


class Keep(StrEnum):
    """Which row stands for a (user, item) that occurs more than once."""

    LAST = "last"
    FIRST = "first"
    MAX = "max"
    SUM = "sum"


@dataclass(frozen=True)
class CleaningRules:
    """What is kept of a log.

    Attributes:
        min_rating: rows whose weight, as the log has it, is below are lost; a row without weight too.
        event_weights: pairs (event type, weight); a row's weight is multiplied by its event's. An event type that is
            not named breaks the contract. Nothing is done where there are no pairs.
        since: rows before it are lost; a row without timestamp too.
        until: rows at or after it are lost; a row without timestamp too.
        keep: which row stands for a (user, item) that occurs more than once. `last` and `first` follow the order within
            the user, rows of unknown order counting as earliest and latest; `max` takes the largest weight; `sum` the
            last row with all weights added up.
        min_user: least number of items a user keeps.
        min_item: least number of users an item keeps.

    Raises:
        ConfigError: a value is out of its range.
    """

    min_rating: float | None = None
    event_weights: tuple[tuple[str, float], ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    keep: Keep = Keep.LAST
    min_user: int = 1
    min_item: int = 1

    def __post_init__(self) -> None:
        if self.min_user < 1 or self.min_item < 1:
            raise ConfigError(f"--min-user and --min-item are at least 1, got {self.min_user} and {self.min_item}.")
        for event, weight in self.event_weights:
            if not 0 < weight < float("inf"):
                raise ConfigError(f"The weight of event {event!r} is {weight}; expected a finite number above 0.")
        if self.since and self.until and not self.since < self.until:
            raise ConfigError(f"--since {self.since} is not before --until {self.until}: no row could pass.")

    @property
    def has_core(self) -> bool:
        """Whether the k-core asks for anything."""
        return self.min_user > 1 or self.min_item > 1


def mark_losses(frame: pl.LazyFrame, rules: CleaningRules) -> pl.LazyFrame:
    """Add `lost_to`: the first rule on single rows that takes a row, else null."""
    tests: list[tuple[Rule, pl.Expr]] = []
    if rules.min_rating is not None:
        tests.append((Rule.MIN_RATING, (pl.col(c.WEIGHT) >= rules.min_rating).fill_null(False).not_()))
    if rules.since or rules.until:
        tests.append((Rule.NO_TIMESTAMP, pl.col(c.TIMESTAMP).is_null()))
    if rules.since:
        tests.append((Rule.SINCE, pl.col(c.TIMESTAMP) < _moment(rules.since)))
    if rules.until:
        tests.append((Rule.UNTIL, pl.col(c.TIMESTAMP) >= _moment(rules.until)))
    marks = [pl.when(test).then(pl.lit(rule.value)) for rule, test in tests]
    lost = pl.coalesce(marks) if marks else pl.lit(None, dtype=pl.String)
    return frame.with_columns(lost.alias(LOST_TO))


def weigh_events(frame: pl.LazyFrame, rules: CleaningRules) -> pl.LazyFrame:
    """Multiply weights by their event's; a missing weight is 1. Unknown events get a `reason`."""
    weight = pl.col(c.WEIGHT).fill_null(1.0)
    if not rules.event_weights:
        return frame.with_columns(weight)
    named = pl.DataFrame(
        rules.event_weights, schema={c.EVENT_TYPE: pl.String, "event_weight": pl.Float32}, orient="row"
    )
    factor = pl.col(c.EVENT_TYPE).replace_strict(
        named[c.EVENT_TYPE], named["event_weight"], default=None, return_dtype=pl.Float32
    )
    unknown = pl.when(factor.is_null()).then(pl.lit("event_type has no weight"))
    return frame.with_columns((weight * factor).alias(c.WEIGHT), pl.coalesce(c.REASON, unknown).alias(c.REASON))


def drop_duplicates(frame: pl.LazyFrame, keep: Keep) -> pl.LazyFrame:
    """Mark all but one row a (user, item) as lost to `duplicate`; all rows of a user must be in the frame."""
    pair = pl.struct(c.USER, c.ITEM)
    first = keep is Keep.FIRST
    by = [c.WEIGHT] if keep is Keep.MAX else []
    ordered = frame.with_columns(_order()).sort([*by, "order", "file", "row"], nulls_last=first)
    if keep is Keep.SUM:
        ordered = ordered.with_columns(pl.col(c.WEIGHT).sum().over(c.USER, c.ITEM))
    lost = ~(pair.is_first_distinct() if first else pair.is_last_distinct())
    return ordered.with_columns(pl.when(lost).then(pl.lit(Rule.DUPLICATE.value)).alias(LOST_TO)).drop("order")


def number_positions(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Sort by user, order and item, and number each user's rows from 0; rows of unknown order come last, numbered null.

    The order is the given position where a user has any, else the timestamp, ties as they came in. Positions are
    numbered anew, because rules may have taken rows in between. All rows of a user must be in the frame.
    """
    known = pl.col("order").is_not_null()
    unordered_item = pl.when(~known).then(c.ITEM)
    ordered = frame.with_columns(_order()).sort(c.USER, "order", unordered_item, "file", "row", nulls_last=True)
    number = pl.int_range(pl.len(), dtype=pl.UInt32).over(c.USER)
    return ordered.with_columns(pl.when(known).then(number).alias(c.POSITION)).drop("order")


@dataclass(frozen=True)
class Core:
    """The users and items that a k-core leaves.

    Attributes:
        users: one column `user_id`; None where nobody was taken.
        items: one column `item_id`; None where nothing was taken.
        rounds: how often the counts were taken.
    """

    users: pl.DataFrame | None
    items: pl.DataFrame | None
    rounds: int

    def mark_losses(self, pairs: pl.LazyFrame) -> pl.LazyFrame:
        """Add `lost_to`: `min_user` where the user was taken, else `min_item` where the item was, else null."""
        lost_user = _absent(pairs, c.USER, self.users, Rule.MIN_USER)
        return _absent(lost_user, c.ITEM, self.items, Rule.MIN_ITEM)

    def keep(self, pairs: pl.LazyFrame) -> pl.LazyFrame:
        """The rows whose user and item are both left, in their order."""
        return _among(_among(pairs, c.USER, self.users), c.ITEM, self.items)


def k_core(pairs: pl.LazyFrame, min_user: int, min_item: int) -> Core:
    """Take users with fewer than `min_user` items and items with fewer than `min_item` users, until none is left.

    Args:
        pairs: one row a (user, item). It is scanned twice a round; only counts are held in memory.
    """
    users: pl.DataFrame | None = None
    items: pl.DataFrame | None = None
    rounds = 0
    while True:
        rounds += 1
        users, lost_users = _at_least(_among(pairs, c.ITEM, items), c.USER, min_user, users)
        items, lost_items = _at_least(_among(pairs, c.USER, users), c.ITEM, min_item, items)
        if not (lost_users or lost_items):
            return Core(users, items, rounds)


def _at_least(
    pairs: pl.LazyFrame, column: str, least: int, before: pl.DataFrame | None
) -> tuple[pl.DataFrame | None, bool]:
    """Ids that occur often enough, and whether that took any."""
    if least <= 1 and before is None:
        return None, False
    counts = pairs.group_by(column).agg(pl.len().alias("n")).collect(engine="streaming")
    left = counts.filter(pl.col("n") >= least).select(column)
    return left, left.height < (counts.height if before is None else before.height)


def _among(pairs: pl.LazyFrame, column: str, ids: pl.DataFrame | None) -> pl.LazyFrame:
    if ids is None:
        return pairs
    return pairs.join(ids.lazy(), on=column, how="semi", maintain_order="left")


def _absent(pairs: pl.LazyFrame, column: str, ids: pl.DataFrame | None, rule: Rule) -> pl.LazyFrame:
    if ids is None:
        return pairs
    left = ids.lazy().with_columns(pl.lit(True).alias("left"))
    joined = pairs.join(left, on=column, how="left", maintain_order="left")
    lost = pl.when(pl.col("left").is_null()).then(pl.lit(rule.value))
    return joined.with_columns(pl.coalesce(LOST_TO, lost).alias(LOST_TO)).drop("left")


def _order() -> pl.Expr:
    """Position where the user has any, else timestamp, as one number; null where neither is known."""
    by_position = pl.col(c.POSITION).cast(pl.Int64)
    by_time = pl.col(c.TIMESTAMP).to_physical()
    has_position = pl.col(c.POSITION).is_not_null().any().over(c.USER)
    return pl.when(has_position).then(by_position).otherwise(by_time).alias("order")


def _moment(moment: datetime) -> pl.Expr:
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return pl.lit(known.astimezone(UTC), dtype=pl.Datetime("us", "UTC"))
