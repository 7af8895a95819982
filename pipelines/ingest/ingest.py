"""Ingest: raw logs in, one dataset directory out; in memory are counts a user and an item, and one part of the rows.

1. Every log is read in blocks: rows that keep the contract become columns of numbers, ids too; the others go to
   quarantine.parquet.
2. The rows are cut into parts, each a range of users; where they are many, parts lie on disk. (Deduplicating or sorting
   the whole at once would hold the whole in memory.) Duplicates are dropped part by part.
3. The k-core iterates on counts over the parts.
4. Each part is numbered and sorted, and its numbers are written as the ids that they stand for. Parts ascend by user,
   so one after the other they are sorted as a whole. So are the events of pairs that occur more than once, where there
   are any.

All of it happens in a hidden directory beside the dataset, which takes its place in one rename at the end. What step 1
accepted is kept in it, so that more logs can be added without reading these again (append.py).
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple

import polars as pl

from pipelines.dataset.directory import WRITTEN, DatasetDir
from pipelines.ingest import cleaning, cleaning_compiled, notes
from pipelines.ingest.accepted import ACCEPTED, Accepted, RowsWriter, write_kept
from pipelines.ingest.beside import Beside, side_by_side
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.coded_parquet import Fragment
from pipelines.ingest.dislikes import Dislikes
from pipelines.ingest.dropped_rows import DroppedRows
from pipelines.ingest.erasure import Erasure, erased_rows
from pipelines.ingest.file_hashes import FileHashes
from pipelines.ingest.file_records import file_records
from pipelines.ingest.file_times import odd_times
from pipelines.ingest.id_codes import IdCodes
from pipelines.ingest.kept_rows import Ids, KeptFacts, TableWriter, fragment_of
from pipelines.ingest.log_rows import OtherUnitError, Quarantine, ReadLogs, read_logs
from pipelines.ingest.log_sources import Source
from pipelines.ingest.part_cleaning import DistinctParts, take_core
from pipelines.ingest.part_folders import name_of
from pipelines.ingest.repeats import Repeats
from pipelines.ingest.settings import Settings
from pipelines.ingest.source_metadata import MetadataRows, SourceMetadata
from pipelines.ingest.summary import Count, IngestSummary
from pipelines.ingest.table_schemas import GIVEN_TEST, INTERACTIONS
from pipelines.ingest.times import Unit
from pipelines.ingest.user_partitions import Part, RowStore, whole, with_optional
from pipelines.ingest.user_rules import UserFacts
from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.data.erased_users import ErasedUsers
from recsys_vae.errors import ConfigError, DataError, EmptyDataError
from recsys_vae.native.tables import release_memory
from recsys_vae.outputs import check_output

ROWS_PER_PART = 1_000_000
FLUSHING = "flushing to disk"
"""The last step."""
Step = Callable[[str], None]


def ingest(
    source: Source,
    target: DatasetDir,
    rules: CleaningRules | None = None,
    *,
    overwrite: bool = False,
    appendable: bool = True,
    rows_per_part: int = ROWS_PER_PART,
    step: Step = lambda _: None,
    hashes: FileHashes | None = None,
    begin: Callable[..., "Run"] | None = None,
) -> IngestSummary:
    """Clean the logs of `source` into `target`, which appears whole or not at all.

    Args:
        appendable: whether what was accepted of the logs is kept, so that more can be appended.
        rows_per_part: about how many rows are sorted at a time; four times as many are held.
        step: told what begins, in a few words.
        hashes: in which logs may have been begun; ended here.
        begin: makes the run, of what `Run` takes; `Run` itself when None, which does all here.

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
    erased = _who_stays_away(target, appendable and not source.given_test)
    source.said.check([*source.files, *filter(None, (source.users, source.items))])
    with atomic_directory(target.path, WRITTEN) as folder:
        rules = rules or CleaningRules()
        scratch = folder / "scratch"
        begin = begin or Run
        run = begin(source, rules, DatasetDir(folder), scratch, rows_per_part, step, appendable, erased, hashes=hashes)
        summary = run.summary(target.name)
        rmtree(run.scratch)
        summary.write(run.dataset.summary_path)
        step(FLUSHING)
    return summary


class Made(NamedTuple):
    """What was counted while tables were made: rows kept, those of the test part, passes of the k-core, users."""

    kept: KeptFacts
    given: int
    rounds: int
    facts: UserFacts


@dataclass(frozen=True)
class Run:
    """One ingest under way, in a directory of its own."""

    source: Source
    rules: CleaningRules
    dataset: DatasetDir
    scratch: Path
    rows_per_part: int
    step: Step
    appendable: bool = True
    erased: ErasedUsers = field(default_factory=ErasedUsers)
    counts_only: bool = False
    """Whether `make_tables` counts, and writes nothing."""
    hashes: FileHashes | None = None
    """Of files that were begun before; ended with the reading."""

    def summary(self, name: str) -> IngestSummary:
        """Write every table of the dataset and count."""
        self.scratch.mkdir()
        quarantine = Quarantine(self.scratch / "quarantine")
        metadata = self.metadata.write(quarantine)
        with self.hashes or FileHashes() as hashes, Beside("recsys-keep") as keeping:
            read, store, rows = self.read_logs(quarantine, keeping, hashes)
            quarantine.write(self.dataset.quarantine_path)
            quarantined = quarantine.take_counts()
            if rows is not None:
                settings = Settings.of(self.source, self.rules)
                accepted = Accepted.begin(self.dataset.path / ACCEPTED, settings, metadata.quarantined)
                keeping.call(
                    lambda: accepted.add(read, rows, file_records(self.source.files, hashes, read), quarantined)
                )
                if self.erased.moments:
                    keeping.wait()
                    metadata = self.erase(accepted, metadata, self.erased)
                    read, store, quarantined = accepted.read_again(), self.again(accepted), accepted.state.quarantined
            summary = self.derive(name, read, store, quarantined, metadata)
            keeping.wait()
        return summary

    def erase(self, accepted: Accepted, metadata: MetadataRows, erased: ErasedUsers) -> MetadataRows:
        """Take out users who were erased, before tables are made; returns the metadata that are left."""
        gone = Erasure(self.dataset, accepted, erased).run()
        users = None if metadata.users is None else metadata.users - gone
        return MetadataRows(users, metadata.items, accepted.state.metadata_quarantined)

    def again(self, accepted: Accepted) -> RowStore:
        """Accepted rows, to make tables of."""
        store = RowStore(self.scratch / "accepted", self.rows_per_part)
        for rows in accepted.in_order():
            store.add(rows)
        return store

    def derive(
        self, name: str, read: ReadLogs, store: RowStore, quarantined: tuple[Count, ...], metadata: MetadataRows
    ) -> IngestSummary:
        """Write the tables of what has been read: everything but metadata and quarantine."""
        users, items = side_by_side(IdCodes.settle, (read.users, read.items))
        ids = Ids(*users, *items, read.events.texts())
        dropped_rows = DroppedRows(ids.users, ids.items, read.lost.placed(ids.user_places, ids.item_places))
        taken = (*quarantined, *erased_rows(self.dataset))
        warnings = notes.on_kinds(self.rules, ids.events, self.dataset.quarantine_path)
        _check_standing(read.rows_in, (*taken, *dropped_rows.totals()), warnings)
        made = self.make_tables(store, ids, dropped_rows)
        _check_standing(read.rows_in, (*taken, *dropped_rows.totals()), warnings)
        kept, facts = made.kept.kept(made.given), made.facts
        if (accepted := self.dataset.path / ACCEPTED).is_dir():
            write_kept(accepted, made.kept.item_rows[ids.item_places])
        users_described, items_described = self.metadata.described()
        unreadable = self.metadata.unreadable_numbers()
        summary = IngestSummary(
            dataset=name,
            sources=tuple(map(name_of, self.source.files)),
            rules=self.rules,
            rows_in=read.rows_in,
            quarantined=quarantined,
            lost=(*erased_rows(self.dataset), *dropped_rows.totals()),
            kept=kept,
            core_rounds=made.rounds,
            user_rows=metadata.users,
            item_rows=metadata.items,
            users_described=users_described,
            items_described=items_described,
            unreadable_numbers=unreadable,
            lines=read.lines,
            lines_apart=read.lines_apart,
            metadata_quarantined=metadata.quarantined,
            taken_for=tuple(read.taken_for),
            times=tuple(one.file_times() for one in read.times),
            notes=(
                *odd_times(read.times),
                *notes.on_order(kept),
                *notes.on_ids(read),
                *facts.notes(),
                *notes.on_metadata(kept, users_described, items_described, unreadable),
            ),
            duplicates=facts.duplicates(),
            warnings=warnings,
        )
        return reconciled(summary)

    def make_tables(self, store: RowStore, ids: Ids, dropped_rows: DroppedRows) -> "Made":
        """Write interactions, dislikes, repeats and losses of the rows of a store, or count them alone."""
        self.step("cutting into ranges of users")
        parts = store.cut(ids.user_places, ids.item_places)
        facts, repeats = UserFacts(ids), Repeats(self.scratch / "repeats")
        dislikes = Dislikes(self.scratch / "dislikes", self.rules.keep)
        self.step("dropping duplicates")
        distinct = DistinctParts(self.source, self.rules, ids, repeats, dislikes)
        distinct.drop_duplicates(parts, dropped_rows, facts)
        rounds = 0
        if self.rules.has_core:
            self.step("taking the k-core")
            rounds = take_core(parts, ids, (self.rules.min_user, self.rules.min_item), dropped_rows)
        with Beside("recsys-losses") as writing:
            if self.counts_only:
                kept, given = _counted(parts, ids), 0
            else:
                writing.call(dropped_rows.write, self.dataset.losses_path)
                kept, given = self._write_interactions(parts, ids, repeats, dislikes)
                repeats.write(self.dataset.repeats_path, ids, parts)
                if self.rules.has_dislikes:
                    dislikes.write(self.dataset.dislikes_path, ids, parts)
                writing.wait()
            kept.dislikes = dislikes.rows
        return Made(kept, given, rounds, facts)

    @property
    def metadata(self) -> SourceMetadata:
        """What comes with the logs."""
        return SourceMetadata(self.source, self.dataset, self.step)

    def read_logs(
        self, quarantine: Quarantine, keeping: Beside, hashes: FileHashes
    ) -> tuple[ReadLogs, RowStore, RowsWriter | None]:
        """What was read, and the rows that keep the contract: for this ingest, and for those that append to it."""
        if self.appendable:
            hashes.begin(self.source.files)
        self.step("reading the logs, checking the contract")
        units: dict[Path, Unit] = {}
        while True:
            folder = self.scratch / f"rows{len(units)}"
            read, kept = ReadLogs(), self._rows_writer()
            elsewhere = None if kept is None else kept.files
            store = RowStore(folder, self.rows_per_part, with_file=bool(self.source.given_test), elsewhere=elsewhere)
            try:
                for file, rows in read_logs(self.source, self.rules, read, quarantine, units):
                    keeping.call(_keep, rows, file, store, kept)
                keeping.wait()
                if kept is not None:
                    kept.flush()
            except OtherUnitError as other:
                keeping.wait()
                units[other.path] = other.unit
                quarantine.clear()
                rmtree(folder)
                continue
            if read.rows_in == 0:
                raise EmptyDataError("The log is empty: it has columns but no rows.")
            if store.is_on_disk:
                release_memory()  # what held the blocks; of fewer rows, later steps take it
            return read, store, kept

    def _rows_writer(self) -> RowsWriter | None:
        """What keeps accepted rows. Nothing is appended to a published test part: there it is not needed."""
        if not self.appendable or self.source.given_test:
            return None
        folder = self.dataset.path / ACCEPTED
        rmtree(folder, ignore_errors=True)  # of a reading that was given up
        return RowsWriter(folder)

    def _write_interactions(
        self, parts: Sequence[Part], ids: Ids, repeats: Repeats, dislikes: Dislikes
    ) -> tuple[KeptFacts, int]:
        """Sort every part and write them one after the other; of the repeats those stay whose pair is written, or
        disliked.
        """  # fmt: skip
        self.step("sorting and writing")
        n_items, several = len(ids.items), len(parts) > 1

        def finish(number: int) -> tuple[pl.DataFrame, Fragment | None, KeptFacts]:
            part, facts = parts[number], KeptFacts(n_items)
            rows = numbered(part.take())
            facts.add(rows)
            repeats.thin(number, rows, dislikes.pairs(number))
            texts, path = ids.of(*part.users).texts(), self.scratch / f"rows-{number}"
            return rows, fragment_of(path, INTERACTIONS, rows, texts) if several else None, facts

        with ExitStack() as stack:
            table = stack.enter_context(TableWriter(self.dataset.interactions_path, INTERACTIONS))
            given = self.source.given_test
            test = stack.enter_context(TableWriter(self.dataset.given_test_path, GIVEN_TEST)) if given else None
            kept = KeptFacts(n_items)
            for part, (rows, fragment, facts) in zip(parts, side_by_side(finish, range(len(parts))), strict=True):
                kept.join(facts, part.users[0])
                texts = ids.of(*part.users).texts()
                if fragment is None:
                    table.write(rows, texts)
                else:
                    table.append(fragment, rows.height)
                    fragment.path.unlink()
                if test is not None:
                    test.write(rows.filter("given"), texts)
        return kept, test.rows if test is not None else 0


def _who_stays_away(target: DatasetDir, keeps_rows: bool) -> ErasedUsers:
    """Who was erased from the dataset that is replaced; the rows that they had are counted anew.

    Raises:
        ConfigError: nothing would keep them away.
    """
    erased = replace(ErasedUsers.read(target.path), rows=0)
    if erased.moments and not keeps_rows:
        raise ConfigError(
            f"{len(erased.moments):,} users were erased from dataset {target.name!r}, and they can be left out neither "
            "with --no-appendable nor of a published test part. Ingest without these; or remove the dataset first, "
            "knowing that whoever is in the logs comes back."
        )
    return erased


def _check_standing(rows_in: int, taken: Sequence[Count], warnings: Sequence[str]) -> None:
    if sum(count.rows for count in taken) == rows_in:
        account = ", ".join(f"{count.rows:,} to {count.name!r}" for count in taken)
        said = f"None of the {rows_in:,} rows is left. Lost: {account}. Relax these rules or map other columns."
        raise EmptyDataError(" ".join((said, *warnings)))


def _keep(rows: pl.DataFrame, file: int, store: RowStore, kept: RowsWriter | None) -> None:
    store.add(rows)
    if kept is not None:
        kept.add(rows, file)


def _counted(parts: Sequence[Part], ids: Ids) -> KeptFacts:
    kept = KeptFacts(len(ids.items))
    for part in parts:
        facts = KeptFacts(len(ids.items))
        facts.add(numbered(part.take()))
        kept.join(facts, part.users[0])
    return kept


def numbered(left: pl.DataFrame) -> pl.DataFrame:
    """Rows of a part, sorted, each user's numbered from 0."""
    rows = cleaning_compiled.number_positions(left)
    return cleaning.number_positions(whole(left).lazy()).collect() if rows is None else with_optional(rows)


def reconciled(summary: IngestSummary) -> IngestSummary:
    """The summary, once it is known that every row and every line is in it.

    Raises:
        DataError: the account does not add up.
    """
    taken = sum(count.rows for count in summary.quarantined + summary.lost)
    if summary.rows_in != summary.kept.interactions + taken:
        raise DataError(
            f"{summary.rows_in:,} rows were read, and {summary.kept.interactions + taken:,} are accounted for: nothing "
            "is taken. This is a fault of ours: please report it with the log."
        )
    return summary
