"""New logs: read by themselves, then brought into the numbers of the dataset that they are appended to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import rmtree

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.accepted import KINDS, Accepted, RowsWriter, dropped_table, whole_numbers
from pipelines.ingest.beside import Beside
from pipelines.ingest.file_hashes import FileHashes
from pipelines.ingest.file_records import Arrival, FileRecord, file_records, write_tail
from pipelines.ingest.file_times import TimeCounts
from pipelines.ingest.log_rows import LINE, OtherUnitError, Quarantine, ReadLogs, read_logs
from pipelines.ingest.log_sources import LogSource, Source
from pipelines.ingest.summary import Count
from pipelines.ingest.times import Unit
from recsys_vae.data import columns as c
from recsys_vae.errors import DataError
from recsys_vae.frames import read_table, scan_table


@dataclass(frozen=True)
class _TailedSource(Source):
    """Logs of which some are the tails of others, and are read as these are."""

    tails: Mapping[Path, Path] = field(default_factory=dict)

    def log(self, path: Path) -> LogSource:
        """How a log is read."""
        original = self.tails.get(path)
        return super().log(path) if original is None else replace(super().log(original), path=path)


class NewLogs:
    """The new logs, read: rows with numbers of their own, and everything that was counted.

    Attributes:
        new: the logs.
        records: what was read of them, with what was read before of those that have grown.
        read: counts of what was read now.
        accepted: rows that were accepted.
        quarantine_table: rows that broke the contract.
        quarantined: how many, by reason.
        new_texts: users, items and events that no log had before; their numbers follow those that are there.
        taken_back: of logs whose last line is read again: place among the files, and why it was quarantined, if it was.
    """

    records: list[FileRecord]
    read: ReadLogs
    quarantine_table: pl.DataFrame
    quarantined: tuple[Count, ...]

    def __init__(self, before: Accepted, new: Sequence[Arrival], scratch: Path) -> None:
        self._state = before.state
        self.new = new
        self._earlier = [one.grown and one.grown[1] for one in new]
        self._scratch = scratch
        self._codes: list[np.ndarray] = []
        self.new_texts: list[pl.Series] = []
        self.taken_back: list[tuple[int, str]] = []

    @classmethod
    def of(cls, before: Accepted, new: Sequence[Arrival], target: DatasetDir, scratch: Path) -> "NewLogs":
        """Read the new logs.

        Args:
            scratch: a folder for what is read.

        Raises:
            DataError: a log has grown so that what came before would be read otherwise; and as `read_logs` raises.
        """
        found = cls(before, new, scratch)
        found._take_back(before, target.quarantine_path)
        with Beside("recsys-ids") as knowing:
            knowing.call(lambda: [before.texts(kind) for kind in KINDS])
            found._read()
            knowing.wait()
        found._meet(before)
        return found

    def _take_back(self, before: Accepted, quarantine: Path) -> None:
        """Find what became of the last lines that were cut off and are read again."""
        for number, record in enumerate(self._earlier):
            if record is None or not record.is_cut:
                continue
            if record.lines <= 1 and not record.records:  # a header, which is read once more with all that follows
                self._earlier[number] = replace(record, lines=0, lines_apart=0)
                continue
            place = self.new[number].grown[0]  # type: ignore[index]
            last = (pl.col("file") == record.path) & (pl.col("row") == record.records - 1)
            bad = scan_table(quarantine).filter(last).collect()
            if bad.height:
                times = record.times
            elif record.last_was_accepted:
                times = record.times.without_last(before.times_of(place))
            else:
                raise DataError(
                    f"The last line of {record.path} had no line end when it was read, and no row of it is kept. Now "
                    "that more has come it cannot be told what the line was. Ingest all logs anew, with --overwrite."
                )
            self.taken_back.append((place, bad[c.REASON][0] if bad.height else ""))
            self._earlier[number] = replace(record, records=record.records - 1, lines=record.lines - 1, times=times)

    def _read(self) -> None:
        paths, tails, units = [], {}, {}
        for number, one in enumerate(self.new):
            record = one.grown and one.grown[1]
            path = one.path if record is None else write_tail(record, self._scratch / f"tail{number}")
            if record is not None:
                tails[path] = Path(record.path)
                if record.times.unit is not None:
                    units[path] = Unit(record.times.unit)
            paths.append(path)
        plain = self._state.settings.source(tuple(paths))
        source = _TailedSource(**{name: getattr(plain, name) for name in plain.__dataclass_fields__}, tails=tails)
        quarantine = Quarantine(self._scratch / "new-quarantine")
        with FileHashes() as hashes:
            hashes.begin(files := [one.path for one in self.new])
            self.read, self._rows = self._read_by_units(source, quarantine, units)
            table = self._scratch / "new-quarantine.parquet"
            quarantine.write(table)
            self.quarantined = quarantine.take_counts()
            self.quarantine_table = self._as_of_originals(read_table(table), paths)
            self.records = file_records(files, hashes, self.read, self._earlier)
        self.accepted = sum(self._rows.sizes)
        self._check_readings()

    def _read_by_units(
        self, source: Source, quarantine: Quarantine, units: dict[Path, Unit]
    ) -> tuple[ReadLogs, RowsWriter]:
        while True:
            read = ReadLogs(columns=set(self._state.columns))
            rows = RowsWriter(self._scratch / "new-rows")
            try:
                for file, some in read_logs(source, self._state.settings.rules, read, quarantine, units):
                    rows.add(some, file)
            except OtherUnitError as other:
                units[other.path] = other.unit
                quarantine.clear()
                rmtree(self._scratch / "new-rows")
                continue
            rows.flush()
            return read, rows

    def _as_of_originals(self, bad: pl.DataFrame, paths: Sequence[Path]) -> pl.DataFrame:
        """Rows in quarantine under the names and places of the logs whose tails were read."""
        for path, record in zip(paths, self._earlier, strict=True):
            if record is None:
                continue
            header = 1 if record.has_header and record.lines else 0
            ours = pl.col("file") == str(path)
            bad = bad.with_columns(
                pl.when(ours).then(pl.lit(record.path)).otherwise("file").alias("file"),
                pl.when(ours).then(pl.col("row") + record.records).otherwise("row").alias("row"),
                pl.when(ours).then(pl.col(LINE) + record.lines - header).otherwise(LINE).alias(LINE),
            )
        return bad

    def _check_readings(self) -> None:
        """Raise DataError where a log that has grown would now be read otherwise from its beginning."""
        for number, (before, now) in enumerate(zip(self._earlier, self.records, strict=True)):
            if before is None:
                continue
            whole = TimeCounts.of(now.times)
            if self.read.taken_for[number] != before.taken_for or whole.other_unit is not None:
                raise DataError(
                    f"{now.path} has grown, and as a whole would be read otherwise than before (it was taken for "
                    f"{before.taken_for}). Ingest all logs anew, with --overwrite."
                )

    def _meet(self, before: Accepted) -> None:
        """Find the numbers that ids have in the dataset; new ones get the next."""
        texts = (self.read.users.texts(), self.read.items.texts(), self.read.events.texts())
        for kind, some, known in zip(KINDS, texts, self._state.numbers, strict=True):
            codes, new = _numbers_of(some, before.texts(kind), known)
            self._codes.append(codes)
            self.new_texts.append(new)

    @property
    def whole_numbers(self) -> int:
        """Ids that are whole numbers written as floats."""
        return whole_numbers(self.new_texts[:2])

    def frames(self) -> "list[tuple[int, pl.DataFrame]]":
        """Pairs (place among `new`, its rows in the numbers of the dataset)."""
        files = [self._scratch / "new-rows" / f"rows-{number}.arrow" for number in range(len(self._rows.sizes))]
        held = [pl.scan_ipc(file, glob=False).collect() for file in files]
        if not held:
            return []
        found, at = [], 0
        rows = self._numbered(pl.concat(held, how="diagonal"))
        for number, height in self._rows.segments:
            found.append((number, rows.slice(at, height)))
            at += height
        return found

    def _numbered(self, rows: pl.DataFrame) -> pl.DataFrame:
        names = (c.USER, c.ITEM, c.EVENT_TYPE)
        return rows.with_columns(
            pl.Series(codes, dtype=pl.UInt32).gather(rows[name]).alias(name)
            for name, codes in zip(names, self._codes, strict=True)
            if name in rows.columns
        )

    def dropped(self) -> pl.DataFrame:
        """What rules on single rows took, in the numbers of the dataset."""
        table = dropped_table(self.read.lost)
        if not table.height:
            return table
        users, items = (pl.Series(one, dtype=pl.UInt32) for one in self._codes[:2])
        is_user = table["entity"] == "user"
        code = table["code"].to_numpy()
        mapped = np.empty(len(code), np.uint32)
        for mask, codes in ((is_user.to_numpy(), users.to_numpy()), (~is_user.to_numpy(), items.to_numpy())):
            mapped[mask] = codes[code[mask]]
        return table.with_columns(pl.Series("code", mapped))


def _numbers_of(texts: pl.Series, known: pl.Series, n_known: int) -> tuple[np.ndarray, pl.Series]:
    """Of each text its number among the known ones, or the next; and the texts that have come."""
    if not len(texts):
        return np.empty(0, np.uint32), pl.Series("id", [], dtype=pl.String)
    among = pl.DataFrame({"id": known}).with_row_index("code").filter(pl.col("id").is_in(texts.implode()))
    codes = pl.DataFrame({"id": texts}).join(among, on="id", how="left", maintain_order="left")["code"]
    is_new = codes.is_null()
    numbers = codes.fill_null(0).to_numpy().astype(np.uint32)
    numbers[is_new.to_numpy()] = np.arange(n_known, n_known + int(is_new.sum()), dtype=np.uint32)
    return numbers, texts.filter(is_new).alias("id")
