"""Ingest: raw logs in, one dataset directory out; in memory are counts a user and an item, and one part of the rows.

1. Every log is scanned: rows that keep the contract go to a scratch file, the others to quarantine.parquet.
2. The scratch file is cut into parts, each a range of users. (Deduplicating or sorting the whole at once would hold the
   whole in memory.) Duplicates are dropped part by part.
3. The k-core iterates on counts over the parts.
4. Each part is numbered and sorted. They ascend by user, so one after the other they are sorted as a whole. So are the
   events of pairs that occur more than once, where there are any.

All of it happens in a hidden directory beside the dataset, which takes its place in one rename at the end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

import polars as pl

from pipelines.dataset.directory import WRITTEN, DatasetDir
from pipelines.dataset.fields import ITEM_OPTION, USER_OPTION, Fields, check_fields, unreadable_numbers
from pipelines.dataset.order import users_against_time
from pipelines.ingest import cleaning
from pipelines.ingest.cleaning import DROPPED_BY, CleaningRules
from pipelines.ingest.dropped_rows import DroppedRows
from pipelines.ingest.group_counts import Counts
from pipelines.ingest.log_files import ColumnMap, check_all_read, scan_log, unreadable
from pipelines.ingest.metadata_tables import check_described, write_metadata
from pipelines.ingest.repeats import Repeats
from pipelines.ingest.summary import Count, IngestSummary, Kept
from pipelines.ingest.table_schemas import GIVEN_TEST, INTERACTIONS
from pipelines.ingest.user_partitions import user_bounds, write_parts
from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.data import columns as c
from recsys_vae.errors import ConfigError, EmptyDataError
from recsys_vae.frames import read_table, scan_table
from recsys_vae.outputs import check_output

ROWS_PER_PART = 250_000
Step = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """What is ingested.

    Attributes:
        logs: log files; their order breaks ties between rows of one user.
        mapping: which of their columns is which.
        given_test: files of a published test part. Their rows are interactions like any other, and are listed besides.
        users: metadata file of users.
        items: metadata file of items.
        fields: which of the metadata's columns models may use.
    """

    logs: tuple[Path, ...]
    mapping: ColumnMap = field(default_factory=ColumnMap)
    given_test: tuple[Path, ...] = ()
    users: Path | None = None
    items: Path | None = None
    fields: Fields = field(default_factory=Fields)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that hold interactions; a row's `file` is a place in here."""
        return self.logs + self.given_test


def ingest(
    source: Source,
    target: DatasetDir,
    rules: CleaningRules | None = None,
    *,
    overwrite: bool = False,
    rows_per_part: int = ROWS_PER_PART,
    step: Step = lambda _: None,
) -> IngestSummary:
    """Clean the logs of `source` into `target`, which appears whole or not at all.

    Args:
        rows_per_part: about how many rows are sorted at a time; one takes some 1 KiB of memory.
        step: told what begins, in a few words.

    Raises:
        ConfigError: the dataset exists and `overwrite` is false, something else stands there, or a rule needs a column
            that the logs lack.
        SchemaError: a required column is missing.
        DataError: a file holds other than the rows that were read of it, or a metadata table describes nobody.
        EmptyDataError: the logs are empty, or nothing is left; the message says which rule took the rows.
    """
    target = DatasetDir(check_output(target.path, WRITTEN))
    if target.path.exists() and not overwrite:
        raise ConfigError(
            f"Dataset {target.name!r} exists already at {target.path}. Choose another name, or pass --overwrite "
            "to replace it together with its splits and studies."
        )
    remove_partials(target.path)
    with atomic_directory(target.path, WRITTEN) as folder:
        run = _Run(source, rules or CleaningRules(), DatasetDir(folder), folder / "scratch", rows_per_part, step)
        summary = run.summary(target.name)
        rmtree(run.scratch)
        summary.write(run.dataset.summary_path)
    return summary


@dataclass(frozen=True)
class _Run:
    """One ingest under way, in a directory of its own."""

    source: Source
    rules: CleaningRules
    dataset: DatasetDir
    scratch: Path
    rows_per_part: int
    step: Step

    def summary(self, name: str) -> IngestSummary:
        """Write every table of the dataset and count."""
        self.scratch.mkdir()
        user_rows = self._write_metadata(self.source.users, c.USER, self.dataset.users_path)
        item_rows = self._write_metadata(self.source.items, c.ITEM, self.dataset.items_path)
        self._write_fields(self.source.fields)
        dropped_rows = DroppedRows(self.scratch / "losses")
        rows_in, quarantined = self._read_logs()
        parts = self._cut(rows_in - sum(count.rows for count in quarantined))
        repeats = Repeats(self.scratch / "repeats")
        self._drop_duplicates(parts, dropped_rows, repeats)
        _check_standing(rows_in, (*quarantined, *dropped_rows.totals()))
        rounds = self._take_core(parts, dropped_rows)
        _check_standing(rows_in, (*quarantined, *dropped_rows.totals()))
        kept = self._write_interactions(parts)
        repeats.write(parts, self.dataset.repeats_path)
        dropped_rows.write(self.dataset.losses_path)
        return IngestSummary(
            dataset=name,
            sources=tuple(path.name for path in self.source.files),
            rules=self.rules,
            rows_in=rows_in,
            quarantined=quarantined,
            lost=dropped_rows.totals(),
            kept=kept,
            core_rounds=rounds,
            user_rows=user_rows,
            item_rows=item_rows,
            users_described=self._described(self.source.users, c.USER, self.dataset.users_path),
            items_described=self._described(self.source.items, c.ITEM, self.dataset.items_path),
            unreadable_numbers=self._unreadable_numbers(),
        )

    @property
    def _rows_path(self) -> Path:
        return self.scratch / "rows.parquet"

    def _read_logs(self) -> tuple[int, tuple[Count, ...]]:
        """Rows read, and how many broke the contract why."""
        self.step("reading the logs, checking the contract")
        logs = [scan_log(path, number, self.source.mapping) for number, path in enumerate(self.source.files)]
        _check_rules(self.rules, {name for log in logs for name in log.collect_schema().names()})
        assessed = cleaning.mark_losses(pl.concat([INTERACTIONS.assess(log) for log in logs]), self.rules)
        result = INTERACTIONS.divide(cleaning.weigh_events(assessed, self.rules))
        names = dict(enumerate(str(path) for path in self.source.files))
        bad = result.bad.with_columns(pl.col("file").replace_strict(names, return_dtype=pl.String))
        try:
            # Two scans: one scan for both sinks held twice the memory and took longer.
            result.good.sink_parquet(self._rows_path, compression="lz4")
            bad.sink_parquet(self.dataset.quarantine_path)
        except pl.exceptions.PolarsError as error:
            raise unreadable(", ".join(path.name for path in self.source.files), error) from error
        self._check_all_read(names)
        reasons = scan_table(self.dataset.quarantine_path).group_by(c.REASON).len().sort(c.REASON).collect()
        quarantined = tuple(Count(*row) for row in reasons.iter_rows())
        return _height(self._rows_path) + sum(count.rows for count in quarantined), quarantined

    def _check_all_read(self, names: dict[int, str]) -> None:
        """Every file's rows are good or quarantined: none was lost where the file was read."""
        bad = scan_table(self.dataset.quarantine_path).group_by("file").len().collect(engine="streaming")
        good = scan_table(self._rows_path).group_by("file").len().collect(engine="streaming")
        bad_rows, good_rows = dict(bad.iter_rows()), dict(good.iter_rows())
        for number, path in enumerate(self.source.files):
            check_all_read(path, good_rows.get(number, 0) + bad_rows.get(names[number], 0))

    def _cut(self, height: int) -> list[Path]:
        """One file a range of users."""
        self.step("cutting into ranges of users")
        folder = self.scratch / "parts"
        folder.mkdir()
        bounds = user_bounds(scan_table(self._rows_path), height, self.rows_per_part)
        parts = write_parts(self._rows_path, folder, bounds)
        self._rows_path.unlink()
        return parts

    def _drop_duplicates(self, parts: Sequence[Path], dropped_rows: DroppedRows, repeats: Repeats) -> None:
        """Leave one row a (user, item) in every part, and none that a rule has taken."""
        self.step("dropping duplicates")
        for part in parts:
            rows = read_table(part)
            dropped_rows.add(rows)
            standing = rows.lazy().filter(pl.col(DROPPED_BY).is_null())
            if self.source.given_test:
                standing = cleaning.mark_given(standing, len(self.source.logs))
            before = standing.collect()
            marked = cleaning.drop_duplicates(before.lazy(), self.rules.keep).collect()
            repeats.add(part, before, marked)
            _thin(part, marked, dropped_rows)

    def _take_core(self, parts: Sequence[Path], dropped_rows: DroppedRows) -> int:
        """Thin every part; returns how many rounds it took."""
        if not self.rules.has_core:
            return 0
        self.step("taking the k-core")
        core = cleaning.k_core([scan_table(part) for part in parts], self.rules.min_user, self.rules.min_item)
        for number, part in enumerate(parts):
            _thin(part, core.mark_losses(read_table(part).lazy(), number).collect(), dropped_rows)
        return core.rounds

    def _write_interactions(self, parts: Sequence[Path]) -> Kept:
        """Sort every part and put them one after the other."""
        self.step("sorting and writing")
        users, items = 0, Counts([c.ITEM])
        for part in parts:
            rows = cleaning.number_positions(read_table(part).lazy()).collect()
            users += rows[c.USER].n_unique()
            items.count(rows)
            _rewrite(part, rows)
        whole = scan_table(list(parts))
        whole.select(c.INTERACTION_COLUMNS).sink_parquet(self.dataset.interactions_path)
        INTERACTIONS.check(self.dataset.interactions())
        if self.source.given_test:
            given = whole.filter("given").select(c.USER, c.ITEM)
            GIVEN_TEST.check(given)
            given.sink_parquet(self.dataset.given_test_path)
        return _describe(self.dataset, users, items.total().height)

    def _write_fields(self, fields: Fields) -> None:
        check_fields(fields.users, self.dataset.users_path, USER_OPTION)
        check_fields(fields.items, self.dataset.items_path, ITEM_OPTION)
        if fields != Fields():
            fields.write(self.dataset.fields_path)

    def _write_metadata(self, source: Path | None, id_column: str, target: Path) -> int | None:
        if source is None:
            return None
        self.step(f"copying {source.name}")
        return write_metadata(source, self.source.mapping, id_column, target)

    def _unreadable_numbers(self) -> tuple[Count, ...]:
        declared = (
            (self.source.fields.users, self.dataset.users_path),
            (self.source.fields.items, self.dataset.items_path),
        )
        found = [unreadable_numbers(fields, table).items() for fields, table in declared]
        return tuple(Count(*pair) for pairs in found for pair in pairs)

    def _described(self, source: Path | None, id_column: str, table: Path) -> int | None:
        return None if source is None else check_described(self.dataset, table, id_column, source.name)


def _check_rules(rules: CleaningRules, found: set[str]) -> None:
    needs = {
        "--min-rating": (rules.min_rating is not None, c.WEIGHT),
        "--event-weight": (bool(rules.event_weights), c.EVENT_TYPE),
        "--since or --until": (bool(rules.since or rules.until), c.TIMESTAMP),
    }
    for option, (wanted, column) in needs.items():
        if wanted and column not in found:
            raise ConfigError(f"{option} needs a column {column!r}. Say which one it is: --map {column}=COLUMN.")


def _check_standing(rows_in: int, taken: Sequence[Count]) -> None:
    if rows_in == 0:
        raise EmptyDataError("The log is empty: it has columns but no rows.")
    if sum(count.rows for count in taken) == rows_in:
        account = ", ".join(f"{count.rows:,} to {count.name!r}" for count in taken)
        raise EmptyDataError(
            f"None of the {rows_in:,} rows is left. Lost: {account}. Relax these rules or map other columns."
        )


def _thin(part: Path, marked: pl.DataFrame, dropped_rows: DroppedRows) -> None:
    """Count what is marked as lost and leave the rest in the part."""
    dropped_rows.add(marked)
    _rewrite(part, marked.filter(pl.col(DROPPED_BY).is_null()))


def _rewrite(part: Path, rows: pl.DataFrame) -> None:
    """Replace the file, which may still be mapped into memory, instead of writing into it."""
    new = part.with_suffix(".new")
    rows.write_parquet(new, compression="lz4")
    new.replace(part)


def _describe(dataset: DatasetDir, users: int, items: int) -> Kept:
    time = pl.col(c.TIMESTAMP)
    unordered = pl.col(c.POSITION).null_count()
    facts = dataset.interactions().select(
        time.min().alias("first"), time.max().alias("last"), time.null_count().alias("untimed"), unordered
    )
    first, last, without_timestamp, without_position = facts.collect(engine="streaming").row(0)
    interactions, given = _height(dataset.interactions_path), dataset.given_test_path
    return Kept(
        interactions=interactions,
        users=users,
        items=items,
        density=interactions / (users * items),
        given_test=_height(given) if given.exists() else 0,
        first=first,
        last=last,
        without_timestamp=without_timestamp,
        without_position=without_position,
        users_against_time=users_against_time(dataset) if first else 0,
    )


def _height(path: Path) -> int:
    return int(scan_table(path).select(pl.len()).collect().item())
