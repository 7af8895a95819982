"""Rules that look at all rows of a user, before duplicates are dropped: users that are no persons, and returns."""

from collections import Counter

import polars as pl

from pipelines.ingest.cleaning import DROPPED_BY, RULES, Rule, in_order
from pipelines.ingest.kept_rows import Ids
from pipelines.ingest.summary import Count
from recsys_vae.data import columns as c

PAIR = [c.USER, c.ITEM]
SHOWN = 10
"""Users that a note names at most."""


class UserFacts:
    """What the rules found, for people.

    Args:
        ids: what the numbers in the rows stand for.
    """

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._busy: Counter[str] = Counter()
        self._duplicates: Counter[str] = Counter()

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """What was found: rows of busy users, and of duplicates by event type."""
        return self._busy, self._duplicates

    def join(self, counts: tuple[Counter[str], Counter[str]]) -> None:
        """Add what was found in further parts."""
        busy, duplicates = counts
        self._busy.update(busy)
        self._duplicates.update(duplicates)

    def count_busy(self, marked: pl.DataFrame) -> None:
        """Count the users of a part that `mark_busy_users` took."""
        lost = marked.filter(pl.col(DROPPED_BY) == Rule.MAX_EVENTS_PER_USER.value)
        counts = lost.group_by(c.USER).len()
        self._busy.update(dict(zip(self._ids.users.gather(counts[c.USER]), counts["len"], strict=True)))

    def count_duplicates(self, before: pl.DataFrame, after: pl.DataFrame) -> None:
        """Count the duplicates of a part by their event type: rows before and after they were dropped.

        Where a log has event types, a part may lack the column: none of its rows has one.
        """
        if len(self._ids.events):
            self._duplicates.update(self._by_event(before))
            self._duplicates.subtract(self._by_event(after))

    def _by_event(self, rows: pl.DataFrame) -> dict[str, int]:
        if c.EVENT_TYPE not in rows.columns:
            return {"no event type": rows.height}
        counts = rows.group_by(c.EVENT_TYPE).len()
        kinds = self._ids.events.gather(counts[c.EVENT_TYPE]).fill_null("no event type")
        return dict(zip(kinds, counts["len"], strict=True))

    def duplicates(self) -> tuple[Count, ...]:
        """Rows lost as duplicates, by event type, the most first."""
        return tuple(Count(kind, rows) for kind, rows in most_first(self._duplicates) if rows)

    def notes(self) -> tuple[str, ...]:
        """Who was left out as no person."""
        if not self._busy:
            return ()
        some = ", ".join(f"{user} ({rows:,} rows)" for user, rows in most_first(self._busy)[:SHOWN])
        more = len(self._busy) - SHOWN
        who = ("user has", "is") if len(self._busy) == 1 else ("users have", "are")
        return (
            f"{len(self._busy):,} {who[0]} more rows than --max-events-per-user and {who[1]} left out: {some}"
            + (f", and {more:,} more" if more > 0 else ""),
        )


def most_first(counts: Counter[str]) -> list[tuple[str, int]]:
    """Names with their counts, the most first, ties by name: the same log says the same."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def mark_busy_users(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """Mark the rows of users who have more than `most` of them as lost; all rows of a user must be in the frame."""
    busy = pl.len().over(c.USER) > most
    return rows.with_columns(_lost(busy, Rule.MAX_EVENTS_PER_USER))


def mark_returns(rows: pl.DataFrame) -> pl.DataFrame:
    """Mark rows of negative weight as lost, and the purchases that they take back.

    A return takes back what the same user has bought of the same item before, the latest first, as far as its weight
    goes; of a purchase that is taken back in part, the rest of the weight stands. Where the pair has rows of the
    return's event type, only those are purchases. All rows of a user must be in the frame.
    """
    returned = rows.filter(pl.col(c.WEIGHT) < 0)
    if not returned.height:
        return rows
    pairs = in_order(rows.join(returned.select(PAIR).unique(), on=PAIR, how="semi"))
    left = _what_is_left(pairs.select(*PAIR, c.EVENT_TYPE, c.WEIGHT).rows())
    changed = pairs.select("file", "row").with_columns(pl.Series("left", left, dtype=pl.Float32))
    joined = rows.join(changed, on=["file", "row"], how="left", maintain_order="left")
    is_return = pl.col(c.WEIGHT) < 0
    is_gone = pl.col("left").le(0).fill_null(False)
    lost = pl.when(is_return).then(_taken_by(Rule.RETURN)).when(is_gone).then(_taken_by(Rule.RETURNED))
    weight = pl.when(is_return | is_gone | pl.col("left").is_null()).then(c.WEIGHT).otherwise("left")
    return joined.with_columns(lost.alias(DROPPED_BY), weight.alias(c.WEIGHT)).drop("left")


def _what_is_left(rows: list[tuple[int, int, str | None, float]]) -> list[float]:
    """Of the weight of each row, in order."""
    left = [weight for *_, weight in rows]
    bought: dict[tuple[int, int], list[int]] = {}
    for place, (user, item, kind, weight) in enumerate(rows):
        before = bought.setdefault((user, item), [])
        if weight > 0:
            before.append(place)
            continue
        alike = [one for one in before if rows[one][2] == kind] or before
        taken = -weight
        for one in reversed(alike):
            part = min(taken, left[one])
            left[one], taken = left[one] - part, taken - part
    return left


def _lost(test: pl.Expr, rule: Rule) -> pl.Expr:
    return pl.when(test).then(_taken_by(rule)).alias(DROPPED_BY)


def _taken_by(rule: Rule) -> pl.Expr:
    return pl.lit(rule.value, dtype=RULES)
