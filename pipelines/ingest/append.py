"""Append: more logs for a dataset, which is then what one ingest of all its logs would have made.

Only what is new is read: logs that are in already are known by their content, and of one that has grown what has come
is read. What was accepted of the others lies in the dataset (accepted.py), and the tables are made of both.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copy2, rmtree
from tempfile import TemporaryDirectory

import polars as pl

from pipelines.dataset.directory import WRITTEN, DatasetDir
from pipelines.ingest.accepted import ACCEPTED, NOBODY, Accepted, RowsWriter, whole_numbers
from pipelines.ingest.changes import Changes, may_change
from pipelines.ingest.erasure import names_anybody
from pipelines.ingest.file_records import Arrival, FileRecord, arrivals
from pipelines.ingest.ingest import ROWS_PER_PART, Run, Step
from pipelines.ingest.log_rows import Quarantine
from pipelines.ingest.metadata_files import is_part_of
from pipelines.ingest.new_logs import NewLogs
from pipelines.ingest.settings import Settings
from pipelines.ingest.source_metadata import MetadataRows
from pipelines.ingest.summary import Count, IngestSummary
from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.data import columns as c
from recsys_vae.data.changed_tables import CHANGES, change_files
from recsys_vae.data.erased_users import ErasedUsers
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.frames import read_table, scan_table
from recsys_vae.locks import exclusive
from recsys_vae.outputs import check_output

MOST_PARTS = 32
"""Appends after which what is kept of their logs is written to few files."""


@dataclass(frozen=True)
class Appended:
    """What became of logs that were to be appended.

    Attributes:
        arrivals: the logs: new, grown, or in already.
        rows_in: rows read.
        accepted: rows that keep the contract and that no rule on single rows has taken.
        quarantined: rows that broke the contract, by reason.
        new_users: users that no log had before.
        new_items: likewise.
        summary: of the dataset, as it is now.
        beside: whether what has changed lies beside its tables.
    """

    arrivals: tuple[Arrival, ...]
    rows_in: int = 0
    accepted: int = 0
    quarantined: tuple[Count, ...] = ()
    new_users: int = 0
    new_items: int = 0
    summary: IngestSummary | None = None
    beside: bool = False

    @classmethod
    def of(cls, found: tuple[Arrival, ...], new: NewLogs) -> "Appended":
        """What was read."""
        users, items, _ = map(len, new.new_texts)
        return cls(found, new.read.rows_in, new.accepted, new.quarantined, users, items)

    def said(self) -> list[str]:
        """For people, a line each."""
        words = []
        for one in self.arrivals:
            if one.known is not None:
                words.append(f"{one.path.name}: in already, as {one.known.path}; skipped")
            elif one.grown is not None:
                words.append(f"{one.path.name}: has grown since it was read; what has come is taken")
            elif one.is_other:
                words.append(
                    f"{one.path.name}: another content than the log of this name that is in; taken as a new log"
                )
        skipped = sum(one.known is not None for one in self.arrivals)
        words.append(
            f"{len(self.arrivals) - skipped:,} logs taken, {skipped:,} skipped: {self.rows_in:,} rows, of them "
            f"{self.accepted:,} accepted and {sum(one.rows for one in self.quarantined):,} quarantined; "
            f"{self.new_users:,} new users, {self.new_items:,} new items"
        )
        if self.beside:
            words.append(
                "what has changed lies beside the tables, in changes/, and is read with them; `recsys fold` makes one "
                "of both for other readers"
            )
        return words


def append(
    logs: Sequence[Path],
    target: DatasetDir,
    *,
    given: Settings | None = None,
    options: Sequence[str] = (),
    dry_run: bool = False,
    fold: bool = False,
    rows_per_part: int = ROWS_PER_PART,
    step: Step = lambda _: None,
) -> Appended:
    """Add logs to a dataset, which is replaced whole or not at all; its splits and studies stay.

    Args:
        given: settings that are given once more, and metadata files to take the place of those before.
        options: names of the settings that were given; they may not contradict those of the dataset.
        dry_run: whether the logs are read, and nothing is written.
        fold: whether all tables are written anew, also where what has changed of a large one could lie beside it.
        rows_per_part: as of `ingest`.
        step: told what begins, in a few words.

    Raises:
        ConfigError: nothing can be appended to the dataset, or a setting contradicts it.
        DataError: a log that was read before has changed otherwise than by growing; and as `ingest` raises.
        BusyError: another process works on the dataset.
    """
    target = DatasetDir(check_output(target.path, WRITTEN))
    with exclusive(target.path):
        remove_partials(target.path)
        accepted = _open(target)
        if given is not None:
            accepted.state.settings.check_same(given, options)
        step("looking for what is new")
        found = tuple(arrivals(logs, accepted.state.files))
        _check(found)
        metadata = () if given is None else tuple(filter(None, (given.users, given.items)))
        new = [one for one in found if one.is_new]
        if dry_run:
            with TemporaryDirectory() as folder:
                return Appended.of(found, NewLogs.of(accepted, new, target, Path(folder)))
        if not (new or metadata or (fold and target.changes())):
            return Appended(found, summary=IngestSummary.read(target.summary_path))
        with atomic_directory(target.path, WRITTEN) as folder:
            scratch = folder / "scratch"
            scratch.mkdir()
            step("reading the new logs, checking the contract")
            came = NewLogs.of(accepted, new, target, scratch)
            appending = _Appending(
                target, DatasetDir(folder), accepted, came, given or Settings(), rows_per_part, step, fold
            )
            summary = appending.run()
            rmtree(scratch)
            summary.write(DatasetDir(folder).summary_path)
        return replace(Appended.of(found, came), summary=summary, beside=bool(target.changes()))


def _open(target: DatasetDir) -> Accepted:
    folder = target.path / ACCEPTED
    if not target.interactions_path.is_file():
        raise ConfigError(f"There is no dataset {target.name!r} at {target.path} yet. Ingest once without --append.")
    if not folder.is_dir():
        raise ConfigError(
            f"Nothing can be appended to dataset {target.name!r}: it has a published test part, was ingested with "
            "--no-appendable, or before that was possible. Ingest all logs anew, with --overwrite."
        )
    return Accepted.open(folder)


def _check(found: Sequence[Arrival]) -> None:
    for one in found:
        if one.is_changed:
            raise DataError(
                f"{one.path} was written to while it was read, so nobody knows what has come since. Ingest all logs "
                "anew, with --overwrite."
            )
        if one.grown is not None and not one.grown[1].can_grow:
            raise DataError(
                f"{one.path} begins like the log of this name that was read before, and is no text of which more could "
                "be read alone. Append what has come as a file of its own, or ingest all logs anew, with --overwrite."
            )


@dataclass(frozen=True)
class _Appending:
    """An append under way, in a directory of its own."""

    before: DatasetDir
    dataset: DatasetDir
    accepted: Accepted
    new: NewLogs
    given: Settings
    rows_per_part: int
    step: Step
    fold: bool = False

    def run(self) -> IngestSummary:
        """Write the dataset; returns what was counted."""
        earlier = IngestSummary.read(self.before.summary_path)
        erased = ErasedUsers.read(self.before.path)
        meets = names_anybody(erased, self.new.read.users.texts(), self.new.quarantine_table)
        beside = not (self.fold or self.given.users or self.given.items or meets) and self._may_change(earlier)
        link(self.before.path, self.dataset.path, self._left_out(beside))
        metadata, bad = self._write_metadata(earlier)
        self._write_quarantine(bad)
        accepted = self._add(metadata)
        self.step("writing what has changed" if beside else "deriving the tables")
        source = accepted.state.settings.source(tuple(Path(one.path) for one in accepted.state.files))
        scratch = self.dataset.path / "scratch"
        run = Run(source, accepted.state.settings.rules, self.dataset, scratch, self.rows_per_part, self.step)
        if meets or (erased.moments and self.given.users):
            metadata = run.erase(accepted, metadata, erased)
        if beside:
            return Changes(self.accepted, accepted, self.new, run).write(earlier, accepted.state.quarantined)
        return self._derive(accepted, run, metadata)

    def _may_change(self, earlier: IngestSummary) -> bool:
        return may_change(self.before, earlier, self.accepted.state, self.new)

    def _derive(self, accepted: Accepted, run: Run, metadata: MetadataRows) -> IngestSummary:
        """Make all tables of all accepted rows."""
        if accepted.state.parts > MOST_PARTS:
            accepted.compact()
        return run.derive(
            self.before.name, accepted.read_again(), run.again(accepted), accepted.state.quarantined, metadata
        )

    def _left_out(self, beside: bool) -> set[str]:
        """Files of the dataset that are written anew, or are in these."""
        tables = ("quarantine",) if beside else ("interactions", "dislikes", "repeats", "losses", "quarantine")
        folded = () if beside else (f"{CHANGES}/{path.name}" for path in change_files(self.before.path))
        metadata = [table for table, path in (("users", self.given.users), ("items", self.given.items)) if path]
        return {*folded, *(f"{table}.parquet" for table in (*tables, *metadata)), "summary.json", "accepted/state.json",
                "accepted/kept.arrow"}  # fmt: skip

    def _write_metadata(self, earlier: IngestSummary) -> tuple[MetadataRows, pl.DataFrame]:
        """Write metadata that are given now; the others stay. Returns their rows, and those that could not be read."""
        settings = self.accepted.state.settings
        head = sum(one.rows for one in earlier.metadata_quarantined)
        bad = scan_table(self.before.quarantine_path).head(head).collect()
        counts = earlier.metadata_quarantined
        if not (self.given.users or self.given.items):
            return MetadataRows(earlier.user_rows, earlier.item_rows, counts), bad
        replaced = [one for one, now in ((settings.users, self.given.users), (settings.items, self.given.items)) if now]
        of_replaced = [any(is_part_of(file, path) for path in replaced if path) for file in bad["file"]]
        bad = bad.filter(~pl.Series(of_replaced, dtype=pl.Boolean))
        source = replace(settings.source(()), users=self.given.users, items=self.given.items)
        quarantine = Quarantine(self.dataset.path / "scratch" / "metadata-quarantine")
        run = Run(source, settings.rules, self.dataset, self.dataset.path / "scratch", self.rows_per_part, self.step)
        now = run.metadata.write(quarantine)
        quarantine.write(table := run.scratch / "metadata-quarantine.parquet")
        bad = pl.concat([bad, read_table(table)])
        users, items = now.users or earlier.user_rows, now.items or earlier.item_rows
        return MetadataRows(users, items, _counts(bad)), bad

    def _write_quarantine(self, of_metadata: pl.DataFrame) -> None:
        """Rows of metadata, then those of the logs, in the order of one ingest of all."""
        before = self.accepted.state
        old = scan_table(self.before.quarantine_path).slice(sum(one.rows for one in before.metadata_quarantined))
        for place, reason in self.new.taken_back:
            if reason:
                record = before.files[place]
                old = old.filter((pl.col("file") != record.path) | (pl.col("row") != record.records - 1))
        logs = pl.concat([old, self.new.quarantine_table.lazy()])
        if any(one.grown for one in self.new.new):
            order = {one.path: place for place, one in reversed(list(enumerate(self._records())))}
            log = pl.col("file").replace_strict(order, default=len(order), return_dtype=pl.Int64)
            logs = logs.with_columns(log.alias("place")).sort("place", maintain_order=True).drop("place")
        pl.concat([of_metadata.lazy(), logs]).collect().write_parquet(self.dataset.quarantine_path)

    def _records(self) -> list[FileRecord]:
        """Records of all logs."""
        records = list(self.accepted.state.files)
        for one, record in zip(self.new.new, self.new.records, strict=True):
            if one.grown is None:
                records.append(record)
            else:
                records[one.grown[0]] = record
        return records

    def _add(self, metadata: MetadataRows) -> Accepted:
        """Add what was read to what is kept."""
        before = self.accepted.state
        found = Accepted(self.dataset.path / ACCEPTED, before)
        segments, quarantined = list(before.segments), Counter({one.name: one.rows for one in before.quarantined})
        quarantined.update({one.name: one.rows for one in self.new.quarantined})
        for place, reason in self.new.taken_back:
            if reason:
                quarantined[reason] -= 1
            else:
                _take_back_last(segments, place)
        rows = RowsWriter(found.folder, first=len(before.sizes))
        place, places = len(before.files), []
        for one in self.new.new:
            places.append(place if one.grown is None else one.grown[0])
            place += one.grown is None
        for number, some in self.new.frames():
            rows.put(some, places[number])
        rows.flush()
        found.write_texts(self.new.new_texts)
        found.know_texts(self.accepted, self.new.new_texts)
        found.write_dropped(self.new.dropped())
        numbers = tuple(known + len(new) for known, new in zip(before.numbers, self.new.new_texts, strict=True))
        found.write(
            replace(
                before,
                settings=self._settings(),
                files=tuple(self._records()),
                segments=(*segments, *rows.segments),
                sizes=(*before.sizes, *rows.sizes),
                parts=before.parts + 1,
                numbers=numbers,  # type: ignore[arg-type]
                quarantined=tuple(Count(name, quarantined[name]) for name in sorted(quarantined) if quarantined[name]),
                metadata_quarantined=metadata.quarantined,
                columns=tuple(sorted(self.new.read.columns)),
                whole_numbers=before.whole_numbers + whole_numbers(self.new.new_texts[:2]),
            )
        )
        return found

    def _settings(self) -> Settings:
        settings = self.accepted.state.settings
        return replace(settings, users=self.given.users or settings.users, items=self.given.items or settings.items)


def _take_back_last(segments: list[tuple[int, int]], place: int) -> None:
    """Take back the last row of a log."""
    last = max(number for number, (log, rows) in enumerate(segments) if log == place and rows)
    segments[last : last + 1] = [(place, segments[last][1] - 1), (NOBODY, 1)]


def _counts(bad: pl.DataFrame) -> tuple[Count, ...]:
    counts = Counter(bad[c.REASON])
    return tuple(Count(reason, counts[reason]) for reason in sorted(counts))


def link(old: Path, new: Path, left_out: set[str]) -> None:
    """The files of a folder in another one too, without copying where the disk can; but those that are left out."""
    for path in sorted(old.rglob("*")):
        within = path.relative_to(old)
        if path.is_dir() and str(within) not in left_out:
            (new / within).mkdir(exist_ok=True)
        elif str(within) not in left_out:
            try:
                os.link(path, new / within)
            except OSError:
                copy2(path, new / within)
