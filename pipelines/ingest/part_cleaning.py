"""Parts are cleaned side by side: duplicates dropped, then a core taken; what is counted of each is joined in order.

In a part users are counted from its first one on, so what is counted of it does not grow with all users.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from pipelines.ingest import cleaning, cleaning_compiled
from pipelines.ingest.beside import THREADS, side_by_side
from pipelines.ingest.cleaning import DROPPED_BY, RULES, CleaningRules, Rule
from pipelines.ingest.cleaning_compiled import Distinct
from pipelines.ingest.dislikes import Dislikes, mark_dislikes
from pipelines.ingest.dropped_rows import DroppedRows
from pipelines.ingest.kept_rows import Ids
from pipelines.ingest.log_sources import Source
from pipelines.ingest.repeats import PAIR, Repeats
from pipelines.ingest.user_partitions import Part, whole
from pipelines.ingest.user_rules import UserFacts, mark_busy_users, mark_returns
from recsys_vae.data import columns as c


@dataclass(frozen=True)
class DistinctParts:
    """Leaves one row a (user, item) in every part, and none that a rule has taken.

    Attributes:
        source: all logs.
        rules: what is kept.
        ids: of all parts.
        repeats: gets the events of pairs that occur more than once.
        dislikes: gets the pairs that are disliked.
    """

    source: Source
    rules: CleaningRules
    ids: Ids
    repeats: Repeats
    dislikes: Dislikes

    def drop_duplicates(self, parts: Sequence[Part], dropped_rows: DroppedRows, facts: UserFacts) -> None:
        """Thin every part; counted is what was dropped."""
        several = len(parts) > 1

        def thin(number: int) -> tuple[DroppedRows, UserFacts]:
            ids = self.ids.of(*parts[number].users)
            lost, found = DroppedRows(ids.users, ids.items), UserFacts(ids)
            self._thin(number, parts[number], lost, found, threads=1 if several else THREADS)
            return lost, found

        at_once = THREADS if self._is_frugal else 1
        for part, (lost, found) in zip(parts, side_by_side(thin, range(len(parts)), at_once), strict=True):
            dropped_rows.join(lost.losses, part.users[0])
            facts.join(found.counts())

    @property
    def _is_frugal(self) -> bool:
        """Whether compiled loops do all: polars takes several times the memory of a part, so that one is enough."""
        rules = self.rules
        by_frames = rules.max_events_per_user is not None or rules.returns or rules.has_dislikes
        return rules.keep in cleaning_compiled.KEEPS and not by_frames and not self.source.given_test

    def _thin(self, number: int, part: Part, lost: DroppedRows, facts: UserFacts, threads: int) -> None:
        rows = part.take()
        if self.rules.max_events_per_user is not None:
            marked = mark_busy_users(rows, self.rules.max_events_per_user)
            facts.count_busy(marked)
            rows = thinned(marked, lost)
        if self.rules.returns:
            rows = thinned(mark_returns(whole(rows)), lost).select(rows.columns)
        every, rows = rows, self._without_dislikes(number, rows, lost)
        if self.source.given_test:
            rows = cleaning.mark_given(rows.lazy(), len(self.source.logs)).collect()
        distinct = cleaning_compiled.drop_duplicates(rows, self.rules.keep, lost, threads)
        if distinct is None:
            marked = cleaning.drop_duplicates(whole(rows).lazy(), self.rules.keep).collect()
            distinct = Distinct(thinned(marked, lost), rows.select(PAIR.is_duplicated()).to_series())
        left = distinct.rows
        if left.height < rows.height:
            facts.count_duplicates(rows, left)
        if every is not rows:
            is_repeated = every.select(PAIR.is_duplicated() | (pl.col(c.WEIGHT) < 0)).to_series()
            self.repeats.add(number, every, is_repeated)
        elif left.height < rows.height:
            self.repeats.add(number, rows, distinct.is_repeated)
        part.replace(left)

    def _without_dislikes(self, number: int, rows: pl.DataFrame, lost: DroppedRows) -> pl.DataFrame:
        """Rows of a part that speak for items, of pairs that are not disliked in the end."""
        if not self.rules.has_dislikes or not (rows[c.WEIGHT] < 0).any():
            return rows
        columns, rows = rows.columns, whole(rows)
        if self.source.given_test:  # what is disliked in the test part is not known before
            in_test = (pl.col("file") >= len(self.source.logs)) & (pl.col(c.WEIGHT) < 0)
            taken = pl.when(in_test).then(pl.lit(Rule.DISLIKE.value, dtype=RULES))
            rows = thinned(rows.with_columns(taken.alias(DROPPED_BY)), lost)
        marked = mark_dislikes(rows)
        self.dislikes.add(number, marked)
        return thinned(marked, lost).select(columns)


def take_core(parts: Sequence[Part], ids: Ids, least: tuple[int, int], dropped_rows: DroppedRows) -> int:
    """Thin every part to the k-core of them all; returns how many rounds it took.

    Args:
        least: rows that a user, and that an item must have.
    """
    thin, rounds = _core(parts, least, len(ids.items))

    def of_part(number: int) -> DroppedRows:
        part = parts[number]
        its = ids.of(*part.users)
        lost = DroppedRows(its.users, its.items)
        part.replace(thin(number, lost))
        return lost

    for part, lost in zip(parts, side_by_side(of_part, range(len(parts))), strict=True):
        dropped_rows.join(lost.losses, part.users[0])
    return rounds


def _core(
    parts: Sequence[Part], least: tuple[int, int], n_items: int
) -> tuple[Callable[[int, DroppedRows], pl.DataFrame], int]:
    """What thins a part, by its number, and counts what it drops; and the rounds."""
    compiled = cleaning_compiled.k_core(parts, *least, n_items)
    if compiled is not None:
        return lambda number, lost: compiled[number].thin(parts[number].take(), lost), compiled[0].rounds
    core = cleaning.k_core([part.scan() for part in parts], *least)

    def plain(number: int, lost: DroppedRows) -> pl.DataFrame:
        return thinned(core.mark_losses(parts[number].scan(), number).collect(), lost)

    return plain, core.rounds


def thinned(marked: pl.DataFrame, dropped_rows: DroppedRows) -> pl.DataFrame:
    """Count what is marked as lost; the rest."""
    dropped_rows.add(marked)
    return marked.filter(pl.col(DROPPED_BY).is_null())
