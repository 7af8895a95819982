"""Cleaning: pure steps from LazyFrame to LazyFrame, in the order in which ingest applies them.

1. Row by row: `mark_losses` (minimum rating, time window), `weigh_events`; what speaks against an item has a weight
   below 0 from here on.
2. User by user: dislikes.py takes what speaks against items, `drop_duplicates` keeps one row a (user, item); it needs
   all rows of a user in its frame.
3. Over all: `k_core`, iterated on counts until every user and every item has enough; it reads part by part.
4. User by user: `number_positions` numbers what is left and sorts it.

A row that a rule takes is marked with the rule's name in `lost_to`, never dropped in silence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import polars as pl

from pipelines.ingest.group_counts import ROWS, Counts
from pipelines.ingest.keep import Keep
from pipelines.ingest.said import ANY_EVENT, names
from pipelines.ingest.table_schemas import OUT_OF_RANGE
from recsys_vae.data import columns as c
from recsys_vae.errors import ConfigError

DROPPED_BY = "lost_to"
"""Name of the rule that took a row; null while the row stands."""


class Rule(StrEnum):
    """The rules that may take a row, in the order in which they are applied."""

    ERASED = "erased"
    MIN_RATING = "min_rating"
    NO_TIMESTAMP = "no_timestamp"
    SINCE = "since"
    UNTIL = "until"
    MAX_EVENTS_PER_USER = "max_events_per_user"
    RETURN = "return"
    RETURNED = "returned"
    DISLIKE = "dislike"
    LIKED_LATER = "liked_later"
    DISLIKED_LATER = "disliked_later"
    DUPLICATE = "duplicate"
    MIN_USER = "min_user"
    MIN_ITEM = "min_item"


RULES = pl.Enum([rule.value for rule in Rule])
"""Type of `lost_to`."""


@dataclass(frozen=True)
class CleaningRules:
    """What is kept of a log.

    Attributes:
        min_rating: rows whose weight, as the log has it, is below are lost; a row without weight too.
        event_weights: pairs (event type, weight); a row's weight is multiplied by its event's. An event type that is
            not named breaks the contract. Nothing is done where there are no pairs.
        file_event_weights: triples (glob of a file's name, event type, weight), which rule over `event_weights` in the
            files that are named. The event type `*` is any that has no weight of its own, and none at all.
        since: rows before it are lost; a row without timestamp too.
        until: rows at or after it are lost; a row without timestamp too.
        keep: which row stands for a (user, item) that occurs more than once. `last` and `first` follow the order within
            the user, rows of unknown order counting as earliest and latest; `max` takes the largest weight; `sum` the
            last row with all weights added up.
        max_events_per_user: users with more rows that stand, duplicates included, are lost with all of them.
        returns: a row of negative weight takes back the purchase that it belongs to, and is lost with it.
        dislikes: event types that speak against an item; they need no weight of their own.
        dislike_below: a row whose weight, as the log has it, is below speaks against the item, too.
        min_user: least number of items a user keeps.
        min_item: least number of users an item keeps.

    Raises:
        ConfigError: a value is out of its range.
    """

    min_rating: float | None = None
    event_weights: tuple[tuple[str, float], ...] = ()
    file_event_weights: tuple[tuple[str, str, float], ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    keep: Keep = Keep.LAST
    max_events_per_user: int | None = None
    returns: bool = False
    min_user: int = 1
    min_item: int = 1
    dislikes: tuple[str, ...] = ()
    dislike_below: float | None = None

    def __post_init__(self) -> None:
        if self.min_user < 1 or self.min_item < 1:
            raise ConfigError(f"--min-user and --min-item are at least 1, got {self.min_user} and {self.min_item}.")
        for event, weight in (*self.event_weights, *((event, weight) for _, event, weight in self.file_event_weights)):
            if not c.LEAST_WEIGHT <= weight <= c.GREATEST_WEIGHT:
                raise ConfigError(
                    f"The weight of event {event!r} is {weight}; expected a number from {c.LEAST_WEIGHT:f} to "
                    f"{c.GREATEST_WEIGHT:g}."
                )
        if self.max_events_per_user is not None and self.max_events_per_user < 1:
            raise ConfigError(f"--max-events-per-user is at least 1, got {self.max_events_per_user}.")
        if self.dislike_below is not None and not math.isfinite(self.dislike_below):
            raise ConfigError(f"--dislike-below takes a number, got {self.dislike_below}.")
        if self.has_dislikes and self.returns:
            raise ConfigError(
                "--returns takes purchases back, --dislike and --dislike-below keep what speaks against an item: a row "
                "below 0 cannot be both. Choose one."
            )
        if self.since and self.until and not self.since < self.until:
            raise ConfigError(f"--since {self.since} is not before --until {self.until}: no row could pass.")

    def of_file(self, path: Path) -> "CleaningRules":
        """The rules with the event weights that hold in a file."""
        own = {event: weight for glob, event, weight in self.file_event_weights if names(glob, path)}
        return replace(self, event_weights=tuple({**dict(self.event_weights), **own}.items()), file_event_weights=())

    @property
    def weighed(self) -> tuple[str, ...]:
        """Event types that have a weight of their own, in any file."""
        of_files = (event for _, event, _ in self.file_event_weights)
        named = dict.fromkeys((*(event for event, _ in self.event_weights), *of_files))
        return tuple(event for event in named if event != ANY_EVENT)

    @property
    def has_dislikes(self) -> bool:
        """Whether any row can speak against an item."""
        return bool(self.dislikes) or self.dislike_below is not None

    @property
    def has_core(self) -> bool:
        """Whether the k-core asks for anything."""
        return self.min_user > 1 or self.min_item > 1


def mark_losses(frame: pl.LazyFrame, rules: CleaningRules) -> pl.LazyFrame:
    """Add `lost_to`: the first rule on single rows that takes a row, else null."""
    tests: list[tuple[Rule, pl.Expr]] = []
    if rules.min_rating is not None:
        is_return = (pl.col(c.WEIGHT) < 0) & rules.returns
        is_enough = (pl.col(c.WEIGHT) >= rules.min_rating) | is_return | _is_dislike(rules)
        tests.append((Rule.MIN_RATING, is_enough.fill_null(False).not_()))
    if rules.since or rules.until:
        tests.append((Rule.NO_TIMESTAMP, pl.col(c.TIMESTAMP).is_null()))
    if rules.since:
        tests.append((Rule.SINCE, pl.col(c.TIMESTAMP) < _moment(rules.since)))
    if rules.until:
        tests.append((Rule.UNTIL, pl.col(c.TIMESTAMP) >= _moment(rules.until)))
    marks = [pl.when(test).then(_taken_by(rule)) for rule, test in tests]
    lost = pl.coalesce(marks) if marks else pl.lit(None, dtype=RULES)
    return frame.with_columns(lost.alias(DROPPED_BY))


def weigh_events(frame: pl.LazyFrame, rules: CleaningRules) -> pl.LazyFrame:
    """Multiply weights by their event's; a missing weight is 1. Unknown events get a `reason`, as does a product that
    no interaction may have.
    """  # fmt: skip
    weight = pl.col(c.WEIGHT).fill_null(1.0)
    if rules.has_dislikes:
        weight = pl.when(_is_dislike(rules)).then(-weight).otherwise(weight)
    if not rules.event_weights:
        return frame.with_columns(weight.alias(c.WEIGHT))
    named = pl.DataFrame(
        rules.event_weights, schema={c.EVENT_TYPE: pl.String, "event_weight": pl.Float32}, orient="row"
    )
    factor = pl.col(c.EVENT_TYPE).replace_strict(
        named[c.EVENT_TYPE], named["event_weight"], default=None, return_dtype=pl.Float32
    )
    if ANY_EVENT in dict(rules.event_weights):
        factor = factor.fill_null(dict(rules.event_weights)[ANY_EVENT])
    if rules.dislikes:
        factor = pl.when(factor.is_null() & _is_disliking(rules)).then(pl.lit(1.0, pl.Float32)).otherwise(factor)
    least, greatest = (pl.lit(bound, dtype=pl.Float32) for bound in (c.LEAST_WEIGHT, c.GREATEST_WEIGHT))
    reason = (
        pl.when(factor.is_null())
        .then(pl.lit("event_type has no weight"))
        .when(~(weight * factor).abs().is_between(least, greatest))
        .then(pl.lit(f"weight times the event's is {OUT_OF_RANGE}"))
    )
    return frame.with_columns((weight * factor).alias(c.WEIGHT), pl.coalesce(c.REASON, reason).alias(c.REASON))


def _is_dislike(rules: CleaningRules) -> pl.Expr:
    """Whether a row, its weight as the log has it, speaks against the item."""
    below = pl.lit(False) if rules.dislike_below is None else pl.col(c.WEIGHT) < rules.dislike_below
    return below.fill_null(False) | _is_disliking(rules)


def _is_disliking(rules: CleaningRules) -> pl.Expr:
    """Whether a row's event type speaks against the item."""
    return pl.col(c.EVENT_TYPE).is_in(rules.dislikes).fill_null(False) if rules.dislikes else pl.lit(False)


def mark_given(frame: pl.LazyFrame, first_file: int) -> pl.LazyFrame:
    """Add `given`: whether any row of its (user, item) is of this file or a later one (the test part)."""
    return frame.with_columns((pl.col("file") >= first_file).any().over(c.USER, c.ITEM).alias("given"))


def drop_duplicates(frame: pl.LazyFrame, keep: Keep) -> pl.LazyFrame:
    """Mark all but one row a (user, item) as lost to `duplicate`; all rows of a user must be in the frame."""
    pair = pl.struct(c.USER, c.ITEM)
    first = keep is Keep.FIRST
    by = [c.WEIGHT] if keep is Keep.MAX else []
    ordered = frame.with_columns(_order()).sort([*by, "order", "file", "row"], nulls_last=first)
    if keep is Keep.SUM:
        # In 64 bits, and no more than what an interaction may have.
        total = pl.col(c.WEIGHT).cast(pl.Float64).sum().over(c.USER, c.ITEM)
        ordered = ordered.with_columns(total.clip(upper_bound=c.GREATEST_WEIGHT).cast(pl.Float32).alias(c.WEIGHT))
    lost = ~(pair.is_first_distinct() if first else pair.is_last_distinct())
    return ordered.with_columns(pl.when(lost).then(_taken_by(Rule.DUPLICATE)).alias(DROPPED_BY)).drop("order")


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by user, item and order, those of unknown order first; all rows of a user must be in the frame."""
    return rows.with_columns(_order()).sort(c.USER, c.ITEM, "order", "file", "row").drop("order")


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
        users: one column `user_id`, a frame a part; some may have lost all their items.
        items: one column `item_id`.
        rounds: how often the parts were read.
    """

    users: tuple[pl.DataFrame, ...]
    items: pl.DataFrame
    rounds: int

    def mark_losses(self, part: pl.LazyFrame, number: int) -> pl.LazyFrame:
        """Add `lost_to` to a part: `min_user` where the user was taken, `min_item` where only the item was."""
        lost_user = _absent(part, c.USER, self.users[number], Rule.MIN_USER)
        return _absent(lost_user, c.ITEM, self.items, Rule.MIN_ITEM)


def k_core(parts: Sequence[pl.LazyFrame], min_user: int, min_item: int) -> Core:
    """Take users with fewer than `min_user` items and items with fewer than `min_item` users, until none is left.

    Args:
        parts: one row a (user, item), all rows of a user in one part. Each part is read once a round; in memory are one
            part and the counts.
    """
    core: Core | None = None
    while True:
        core, took_any = _take_round(parts, core, min_user, min_item)
        if not took_any:
            return core


def _take_round(parts: Sequence[pl.LazyFrame], before: Core | None, min_user: int, min_item: int) -> tuple[Core, bool]:
    """Take users first, then items by the users that are left; and say whether any was taken."""
    users: list[pl.DataFrame] = []
    item_counts = Counts([c.ITEM])
    took_any = False
    for number, part in enumerate(parts):
        rows = _pairs(part, before, number)
        counts = rows.group_by(c.USER).len()
        taken = counts.filter(pl.col("len") < min_user)
        # A user whose items were all taken has no row here: those rows were lost to min_item, so the user is not taken.
        users.append((before.users[number] if before else counts).select(c.USER).join(taken, on=c.USER, how="anti"))
        took_any |= not taken.is_empty()
        item_counts.count(rows.join(users[-1], on=c.USER, how="semi"))
    items = item_counts.total().filter(pl.col(ROWS) >= min_item).select(c.ITEM)
    took_any |= items.height < item_counts.total().height
    return Core(tuple(users), items, before.rounds + 1 if before else 1), took_any


def _pairs(part: pl.LazyFrame, core: Core | None, number: int) -> pl.DataFrame:
    """The pairs of a part that a core leaves."""
    pairs = part.select(c.USER, c.ITEM)
    if core:
        pairs = pairs.join(core.users[number].lazy(), on=c.USER, how="semi")
        pairs = pairs.join(core.items.lazy(), on=c.ITEM, how="semi")
    return pairs.collect()


def _absent(rows: pl.LazyFrame, column: str, ids: pl.DataFrame, rule: Rule) -> pl.LazyFrame:
    left = ids.lazy().with_columns(pl.lit(True).alias("left"))
    joined = rows.join(left, on=column, how="left", maintain_order="left")
    lost = pl.when(pl.col("left").is_null()).then(_taken_by(rule))
    return joined.with_columns(pl.coalesce(DROPPED_BY, lost).alias(DROPPED_BY)).drop("left")


def _taken_by(rule: Rule) -> pl.Expr:
    return pl.lit(rule.value, dtype=RULES)


def _order() -> pl.Expr:
    """Position where the user has any, else timestamp, as one number; null where neither is known."""
    by_position = pl.col(c.POSITION).cast(pl.Int64)
    by_time = pl.col(c.TIMESTAMP).to_physical()
    has_position = pl.col(c.POSITION).is_not_null().any().over(c.USER)
    return pl.when(has_position).then(by_position).otherwise(by_time).alias("order")


def _moment(moment: datetime) -> pl.Expr:
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return pl.lit(known.astimezone(UTC), dtype=pl.Datetime("us", "UTC"))
