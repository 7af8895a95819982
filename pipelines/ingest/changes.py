"""Changes: what an append makes of a large dataset without writing its tables anew.

Where no rule looks across users, rows of a user depend on that user's alone. So only the users whom the new logs name
are cleaned again, with all their rows; what becomes of them lies beside the tables (recsys_vae/data/changed_tables.py),
and counts change by the difference that they make.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest import notes
from pipelines.ingest.accepted import Accepted, State, write_kept
from pipelines.ingest.cleaning import Rule
from pipelines.ingest.dropped_rows import ITEM_ENTITY, USER_ENTITY, DroppedRows
from pipelines.ingest.file_times import TimeCounts, odd_times
from pipelines.ingest.ingest import Made, Run, reconciled
from pipelines.ingest.kept_rows import Ids, KeptFacts
from pipelines.ingest.new_logs import NewLogs
from pipelines.ingest.part_folders import name_of
from pipelines.ingest.summary import Count, IngestSummary, Kept
from pipelines.ingest.user_partitions import RowStore
from pipelines.ingest.user_rules import most_first
from recsys_vae.data import columns as c
from recsys_vae.data.changed_tables import CHANGES, change_files
from recsys_vae.frames import read_table, scan_table

LARGE = 1_000_000
"""Interactions from which on tables are not written anew for each append."""
SHARE = 0.25
"""Largest share of the interactions that lies beside the tables before all is made one again."""
MOST = 32
"""Most appends until then."""
_KEYS = ["entity", "id", "rule"]


def may_change(before: DatasetDir, earlier: IngestSummary, state: State, new: NewLogs) -> bool:
    """Whether what the new logs change can lie beside the tables."""
    rules = state.settings.rules
    looks_across = rules.has_core or rules.max_events_per_user is not None or rules.returns
    if looks_across or state.settings.said.prefixes or new.taken_back or not new.accepted:
        return False
    if state.whole_numbers or new.whole_numbers or earlier.kept.interactions < LARGE:
        return False
    files = change_files(before.path, "interactions")
    beside = sum(int(scan_table(path).select(pl.len()).collect().item()) for path in files)
    return len(files) < MOST and beside + new.accepted <= SHARE * earlier.kept.interactions


@dataclass(frozen=True)
class Outcome:
    """What became of some users' rows."""

    kept: KeptFacts
    losses: DroppedRows
    duplicates: tuple[Count, ...]


class Changes:
    """What an append changes, in the directory of the dataset that is being made."""

    def __init__(self, before: Accepted, accepted: Accepted, new: NewLogs, run: Run) -> None:
        """Args:
        before: what was accepted of the logs of before.
        accepted: what was accepted of all.
        new: the new logs.
        run: of the dataset that is being made.
        """
        self._before, self._accepted, self._new, self._run, self._dataset = before, accepted, new, run, run.dataset
        self._folder = self._dataset.path / CHANGES
        self._number = len(change_files(self._dataset.path, "touched"))

    def write(self, earlier: IngestSummary, quarantined: tuple[Count, ...]) -> IngestSummary:
        """Write what has changed; returns what was counted, of the dataset as a whole."""
        self._folder.mkdir(exist_ok=True)
        rows = self._touched_rows()
        ids, item_codes = self._ids_of(rows)
        with ThreadPoolExecutor(1, "recsys-before") as pool:
            earlier_rows = rows.filter(~pl.col("is_new"))
            counting = pool.submit(self._outcome, earlier_rows, ids, "before", counts_only=True)
            after = self._outcome(rows, ids, "after")
            before = counting.result()
        self._move("after", ids)
        losses = self._losses(before, after, ids)
        losses.write_parquet(self._folder / f"losses-{self._number}.parquet")
        item_rows = self._before.kept(self._accepted.state.numbers[1])
        was_kept = item_rows > 0
        item_rows[item_codes] += after.kept.item_rows.astype(np.int64) - before.kept.item_rows
        write_kept(self._accepted.folder, item_rows.astype(np.uint32))
        kept = self._kept(earlier.kept, before.kept.kept(0), after.kept.kept(0), int(np.count_nonzero(item_rows)))
        described = (
            self._users_described(earlier, before, after, ids),
            self._items_described(earlier, was_kept, item_rows > 0),
        )
        return self._summary(earlier, kept, described, losses, before, after, quarantined)

    def _touched_rows(self) -> pl.DataFrame:
        is_touched = np.zeros(self._accepted.state.numbers[0], bool)
        for _, some in self._new.frames():
            is_touched[some[c.USER].to_numpy()] = True
        return self._accepted.of_users(is_touched, len(self._before.state.sizes))

    def _ids_of(self, rows: pl.DataFrame) -> tuple[Ids, np.ndarray]:
        """Ids of these rows alone; and the numbers that the items have in the dataset, in their order."""
        found = []
        for kind, name, size in zip(("users", "items"), (c.USER, c.ITEM), self._accepted.state.numbers, strict=False):
            codes = rows[name].unique().to_numpy()
            texts = self._accepted.texts(kind).gather(codes)
            order = texts.arg_sort().to_numpy()
            places = np.zeros(size, np.uint32)
            places[codes[order]] = np.arange(len(codes), dtype=np.uint32)
            found.append((texts.gather(order), places, codes[order]))
        (users, user_places, _), (items, item_places, item_codes) = found
        ids = Ids(users, user_places, items, item_places, self._accepted.texts("events"))
        return ids, item_codes

    def _outcome(self, rows: pl.DataFrame, ids: Ids, name: str, *, counts_only: bool = False) -> Outcome:
        """Clean some rows by themselves."""
        dataset = DatasetDir(self._run.scratch / name)
        scratch = self._run.scratch / f"{name}-scratch"
        for folder in (dataset.path, scratch):
            folder.mkdir()
        losses = DroppedRows(ids.users, ids.items)
        if not rows.height:
            return Outcome(KeptFacts(len(ids.items)), losses, ())
        run = replace(self._run, dataset=dataset, scratch=scratch, counts_only=counts_only)
        store = RowStore(scratch / "rows", run.rows_per_part)
        store.add(rows.drop("is_new"))
        made: Made = run.make_tables(store, ids, losses)
        return Outcome(made.kept, losses, made.facts.duplicates())

    def _move(self, name: str, ids: Ids) -> None:
        made = DatasetDir(self._run.scratch / name)
        for table in (made.interactions_path, made.dislikes_path, made.repeats_path):
            if table.is_file():
                table.rename(self._folder / f"{table.stem}-{self._number}.parquet")
        pl.DataFrame({c.USER: ids.users}).write_parquet(self._folder / f"touched-{self._number}.parquet")

    def _losses(self, before: Outcome, after: Outcome, ids: Ids) -> pl.DataFrame:
        """By how much rows that rules took have changed."""
        frames = [_frame("", pl.Series([], dtype=pl.String), "", np.empty(0, np.int64))]
        for rule in Rule:
            for entity, texts in ((USER_ENTITY, ids.users), (ITEM_ENTITY, ids.items)):
                change = after.losses.counts(entity, rule) - before.losses.counts(entity, rule)
                if len(there := np.flatnonzero(change)):
                    frames.append(_frame(entity, texts.gather(there), rule.value, change[there]))
        dropped = self._new.dropped()
        for (entity, rule_name), some in dropped.group_by("entity", "rule"):
            texts = self._accepted.texts("users" if entity == USER_ENTITY else "items").gather(some["code"])
            frames.append(_frame(str(entity), texts, str(rule_name), some["rows"].to_numpy().astype(np.int64)))
        return pl.concat(frames).sort(_KEYS)

    def _kept(self, earlier: Kept, before: Kept, after: Kept, items: int) -> Kept:
        def changed(name: str) -> int:
            return int(getattr(earlier, name) + getattr(after, name) - getattr(before, name))

        interactions, users = changed("interactions"), changed("users")
        first, last = self._range(earlier, before, after)
        return Kept(
            interactions=interactions,
            users=users,
            items=items,
            density=interactions / (users * items),
            first=first,
            last=last,
            without_timestamp=changed("without_timestamp"),
            without_position=changed("without_position"),
            users_against_time=changed("users_against_time"),
            dislikes=changed("dislikes"),
        )

    def _range(self, earlier: Kept, before: Kept, after: Kept) -> tuple[datetime | None, datetime | None]:
        """Times of all interactions: those of the dataset are read only where one at an end may have gone."""
        starts = before.first is None or before.first != earlier.first or after.first == earlier.first
        ends = before.last is None or before.last != earlier.last or (after.last and after.last >= before.last)
        if not (starts and ends):
            time = pl.col(c.TIMESTAMP)
            return self._dataset.interactions().select(time.min().alias("f"), time.max().alias("l")).collect().row(0)
        times = [time for one in (earlier, after) for time in (one.first, one.last) if time is not None]
        return min(times, default=None), max(times, default=None)

    def _users_described(self, earlier: IngestSummary, before: Outcome, after: Outcome, ids: Ids) -> int | None:
        """Of the users of before and those that have come."""
        if earlier.users_described is None:
            return None
        described = read_table(self._dataset.users_path).select(c.USER)
        counts = [
            sum(_described(ids.users.gather(some), described) for some in one.kept.users) for one in (before, after)
        ]
        return earlier.users_described + counts[1] - counts[0]

    def _items_described(self, earlier: IngestSummary, was_kept: np.ndarray, is_kept: np.ndarray) -> int | None:
        if earlier.items_described is None:
            return None
        described = read_table(self._dataset.items_path).select(c.ITEM)
        texts = self._accepted.texts("items")
        come, gone = (
            _described(texts.gather(np.flatnonzero(mask)), described)
            for mask in (is_kept & ~was_kept, was_kept & ~is_kept)
        )
        return earlier.items_described + come - gone

    def _summary(
        self,
        earlier: IngestSummary,
        kept: Kept,
        described: tuple[int | None, int | None],
        losses: pl.DataFrame,
        before: Outcome,
        after: Outcome,
        quarantined: tuple[Count, ...],
    ) -> IngestSummary:
        files = self._accepted.state.files
        times = [TimeCounts.of(one.times) for one in files]
        lost = Counter({one.name: one.rows for one in earlier.lost})
        lost.update(dict(losses.filter(entity=USER_ENTITY).group_by("rule").agg(pl.col("rows").sum()).iter_rows()))
        duplicates = Counter({one.name: one.rows for one in earlier.duplicates})
        duplicates.update({one.name: one.rows for one in after.duplicates})
        duplicates.subtract({one.name: one.rows for one in before.duplicates})
        return reconciled(
            replace(
                earlier,
                sources=tuple(name_of(Path(one.path)) for one in files),
                rows_in=sum(one.records for one in files),
                lines=sum(one.lines for one in files),
                lines_apart=sum(one.lines_apart for one in files),
                quarantined=quarantined,
                lost=tuple(Count(rule.value, lost[rule.value]) for rule in Rule if lost[rule.value]),
                kept=kept,
                users_described=described[0],
                items_described=described[1],
                taken_for=tuple(one.taken_for for one in files),
                times=tuple(one.file_times() for one in times),
                notes=(
                    *odd_times(times),
                    *notes.on_order(kept),
                    *notes.on_metadata(kept, *described, earlier.unreadable_numbers),
                ),
                duplicates=tuple(Count(kind, rows) for kind, rows in most_first(duplicates) if rows),
                warnings=notes.on_kinds(self._run.rules, self._accepted.texts("events"), self._dataset.quarantine_path),
            )
        )


def _frame(entity: str, ids: pl.Series, rule: str, rows: np.ndarray) -> pl.DataFrame:
    frame = pl.DataFrame({"id": ids, "rows": rows}, schema={"id": pl.String, "rows": pl.Int64})
    return frame.select(pl.lit(entity).alias("entity"), "id", pl.lit(rule).alias("rule"), "rows")


def _described(ids: pl.Series, table: pl.DataFrame) -> int:
    """How many of the ids a table of one column holds."""
    return pl.DataFrame({"id": ids}).join(table, left_on="id", right_on=table.columns, how="semi").height
