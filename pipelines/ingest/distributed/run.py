"""One ingest under way on a cluster: what `Run` does itself is done by calls, and this process puts it together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pipelines.cluster.connection import Cluster
from pipelines.cluster.work import call_all, share
from pipelines.ingest.accepted import ACCEPTED
from pipelines.ingest.beside import Beside
from pipelines.ingest.distributed.accepted_rows import write_accepted
from pipelines.ingest.distributed.core import CoreLeft, PartRows, take_core
from pipelines.ingest.distributed.files_read import ReadFile, Reading
from pipelines.ingest.distributed.joined_reading import Numbers, joined_reading, read_files
from pipelines.ingest.distributed.parts import DistinctPart, IdFiles, PartCleaning, PartTables, Written
from pipelines.ingest.distributed.shuffle import cut
from pipelines.ingest.dropped_rows import DroppedRows
from pipelines.ingest.file_hashes import FileHashes
from pipelines.ingest.ingest import Made, Run
from pipelines.ingest.kept_rows import Ids, KeptFacts, TableWriter
from pipelines.ingest.log_rows import Quarantine, ReadLogs, check_rules
from pipelines.ingest.table_schemas import GIVEN_TEST, INTERACTIONS, Table
from pipelines.ingest.user_partitions import RowStore, whole
from pipelines.ingest.user_rules import UserFacts
from recsys_vae.data import columns as c
from recsys_vae.errors import EmptyDataError


class RowsOnCluster(NamedTuple):
    """In the place of a `RowStore`: rows in files, with the numbers that ids have in each."""

    files: Sequence[ReadFile]
    numbers: Sequence[Numbers]


class WrittenPart(NamedTuple):
    """A part whose tables are written, and its first user."""

    first: int
    tables: PartTables


@dataclass(frozen=True, kw_only=True)
class ClusterRun(Run):
    """One ingest under way, whose work goes to a cluster."""

    cluster: Cluster

    def read_logs(self, quarantine: Quarantine, keeping: Beside, hashes: FileHashes) -> tuple[ReadLogs, Any, Any]:
        """What was read, and the rows that keep the contract."""
        self.step(f"reading the logs on {len(self.cluster.nodes)} nodes, checking the contract")
        is_kept = self.appendable and not self.source.given_test
        folder = self.scratch / "read"
        reading = Reading(self.source, self.rules, folder.absolute(), self.rows_per_part, is_kept, Path.cwd())
        files = read_files(self.cluster, reading)
        read, numbers = joined_reading(files, quarantine, self.scratch / "numbers")
        check_rules(self.rules, read.columns)
        if read.rows_in == 0:
            raise EmptyDataError("The log is empty: it has columns but no rows.")
        for one in files:
            if one.hashed is not None:
                hashes.give(self.source.files[one.number], one.hashed)
        rows = None
        if is_kept:
            self.step("keeping what was accepted")
            folder = self.dataset.path / ACCEPTED
            rows = write_accepted(self.cluster, files, numbers, self.scratch / "kept", folder)
        return read, RowsOnCluster(files, numbers), rows

    def make_tables(self, store: Any, ids: Ids, dropped_rows: DroppedRows) -> Made:
        """Write interactions, dislikes, repeats and losses of the rows."""
        if isinstance(store, RowStore):  # of rows that were read again, without users who were erased
            return super().make_tables(store, ids, dropped_rows)
        self.step("cutting into ranges of users")
        with_file = bool(self.source.given_test)
        parts = cut(
            self.cluster, store.files, store.numbers, ids, self.rows_per_part, self.scratch / "cut", with_file=with_file
        )
        cleaning = PartCleaning(
            self.source, self.rules, IdFiles.write(ids, self.scratch / "ids"), self.scratch / "parts"
        )
        facts, kept = UserFacts(ids), KeptFacts(len(ids.items))
        self.step("dropping duplicates")
        distinct = []
        for part, dropped in call_all(self.cluster, cleaning.distinct, ((one, parts) for one in range(parts.parts))):
            distinct.append(part)
            dropped_rows.join(dropped.lost, part.rows.users[0])
            facts.join(dropped.facts)
        core = self._core([part.rows for part in distinct], len(ids.items))
        self.step("sorting and writing")
        finished = []
        left = share(core)
        calls = ((part, left) for part in distinct)
        for part, (written, lost, more) in zip(distinct, call_all(self.cluster, cleaning.finish, calls), strict=True):
            finished.append(WrittenPart(part.rows.users[0], written))
            dropped_rows.join(lost, part.rows.users[0])
            kept.join(more, part.rows.users[0])
        dropped_rows.write(self.dataset.losses_path)
        given = self._write_tables(finished, ids)
        kept.dislikes = self._write_dislikes(distinct, ids)
        return Made(kept, given, 0 if core is None else core.rounds, facts)

    def _core(self, parts: Sequence[PartRows], n_items: int) -> CoreLeft | None:
        if not self.rules.has_core:
            return None
        self.step("taking the k-core")
        return take_core(parts, self.rules.min_user, self.rules.min_item, n_items, self.scratch / "core")

    def _write_tables(self, parts: Sequence[WrittenPart], ids: Ids) -> int:
        """Put the parts' tables together; how many rows are of the test part."""
        _write_table(self.dataset.interactions_path, INTERACTIONS, [(one.first, one.tables.rows) for one in parts], ids)
        repeats = [(one.first, one.tables.repeats) for one in parts]
        if any(written is not None for _, written in repeats):
            _write_table(self.dataset.repeats_path, INTERACTIONS, repeats, ids)
        if not self.source.given_test:
            return 0
        return _write_table(
            self.dataset.given_test_path, GIVEN_TEST, [(one.first, one.tables.given) for one in parts], ids
        )

    def _write_dislikes(self, parts: Sequence[DistinctPart], ids: Ids) -> int:
        """Write what is disliked, where anything can be; how many pairs."""
        if not self.rules.has_dislikes:
            return 0
        with TableWriter(self.dataset.dislikes_path, INTERACTIONS) as table:
            for one in parts:
                if one.dislikes is not None:
                    rows = pl.scan_ipc(one.dislikes, glob=False).collect()
                    table.write(whole(_of_all(rows, one.rows.users[0])), ids.texts())
        return table.rows


def _write_table(path: Path, table: Table, parts: Sequence[tuple[int, Written | None]], ids: Ids) -> int:
    """Write a table of the rows of parts, each with its first user; how many there are."""
    with TableWriter(path, table) as writer:
        for first, part in parts:
            if part is None:
                continue
            if part.fragment is not None:
                writer.append(part.fragment, part.rows)
            elif part.path is not None:
                writer.write(_of_all(pl.scan_ipc(part.path, glob=False).collect(), first), ids.texts())
    return writer.rows


def _of_all(rows: pl.DataFrame, first: int) -> pl.DataFrame:
    """Rows of a part, users counted among all."""
    return rows.with_columns(pl.col(c.USER) + pl.lit(first, dtype=pl.UInt32))
