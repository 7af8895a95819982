"""Reading the logs: rows that keep the contract, their ids as numbers, and apart from them those that break it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.ingest import cleaning
from pipelines.ingest.cleaning import DROPPED_BY, CleaningRules
from pipelines.ingest.dropped_rows import LossCounts
from pipelines.ingest.file_times import TimeCounts
from pipelines.ingest.id_codes import IdCodes
from pipelines.ingest.log_sources import LogSource, Source
from pipelines.ingest.plain_blocks import may_be_plain, plain_rows
from pipelines.ingest.readers import Block, Kind, Layout, Rejected, open_log
from pipelines.ingest.summary import Count
from pipelines.ingest.table_schemas import judged
from pipelines.ingest.times import Unit
from recsys_vae.data import columns as c
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.frames import scan_table

LINE, RAW = "line", "raw"
"""Of a row in quarantine: the number of its line in the file, from 1; and its text, where no columns could be cut."""
_QUARANTINE = {name: pl.String() for name in c.INTERACTION_COLUMNS} | {
    "file": pl.String(),
    "row": pl.UInt64(),
    c.REASON: pl.String(),
    LINE: pl.UInt64(),
    RAW: pl.String(),
}


@dataclass
class ReadLogs:
    """What has been read of all logs.

    Attributes:
        users: their ids as numbers.
        items: likewise.
        events: event types likewise.
        lost: rows that rules on single rows took, by these numbers.
        rows_in: rows and records that could not be read.
        lines: lines of the text files.
        lines_apart: of them headers, blank ones, and those that go on with a row.
        taken_for: of each file what it was taken for.
        times: of each file what its times are.
        files: of each file what was read of it.
        last_rows: of each file the place of its last row that was accepted; absent where there is none.
        columns: columns of ours that some file had.
    """

    users: IdCodes = field(default_factory=IdCodes)
    items: IdCodes = field(default_factory=IdCodes)
    events: IdCodes = field(default_factory=IdCodes)
    lost: LossCounts = field(default_factory=LossCounts)
    rows_in: int = 0
    lines: int = 0
    lines_apart: int = 0
    taken_for: list[str] = field(default_factory=list)
    times: list[TimeCounts] = field(default_factory=list)
    files: list["FileRead"] = field(default_factory=list)
    last_rows: dict[int, int] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)


class FileRead(NamedTuple):
    """What was read of one file: how it is laid out, its rows and records that could not be read, and its lines."""

    layout: Layout
    records: int
    lines: int
    lines_apart: int


class QuarantineParts(NamedTuple):
    """Files of rows for quarantine, and how many rows there are by reason."""

    files: tuple[Path, ...]
    reasons: Mapping[str, int]


class Quarantine:
    """Rows that broke the contract, written as they come."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._files: list[Path] = []
        self._settled = 0
        self._reasons: Counter[str] = Counter()

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows, as many columns of the table as they have."""
        if rows.height:
            self._reasons.update(dict(rows[c.REASON].value_counts().iter_rows()))
            self._files.append(self._folder / f"{len(self._files):06d}.parquet")
            absent = [pl.lit(None, dtype=kind).alias(name) for name, kind in _QUARANTINE.items() if name not in rows]
            rows.with_columns(absent).select(
                pl.col(name).cast(kind) for name, kind in _QUARANTINE.items()
            ).write_parquet(self._files[-1])

    def parts(self) -> "QuarantineParts":
        """What was added, for `take_over`."""
        return QuarantineParts(tuple(self._files), dict(self._reasons))

    def take_over(self, parts: "QuarantineParts") -> None:
        """Add rows that another one has written."""
        self._files.extend(parts.files)
        self._reasons.update(parts.reasons)

    def clear(self) -> None:
        """Forget what was added since the last call of `take_counts`."""
        del self._files[self._settled :]
        self._reasons.clear()

    def take_counts(self) -> tuple[Count, ...]:
        """Rows added since the last call, by reason."""
        counts = tuple(Count(reason, self._reasons[reason]) for reason in sorted(self._reasons))
        self._reasons.clear()
        self._settled = len(self._files)
        return counts

    def write(self, path: Path) -> None:
        """All of them as one table, by file and row."""
        if self._files:
            scan_table(self._files).sink_parquet(path)
        else:
            pl.DataFrame(schema=_QUARANTINE).write_parquet(path)


class OtherUnitError(Exception):
    """A file's later numbers say that it counts another unit than its first ones: it is to be read anew."""

    def __init__(self, path: Path, unit: Unit) -> None:
        super().__init__(f"{path} counts {unit}")
        self.path, self.unit = path, unit


def read_logs(
    source: Source, rules: CleaningRules, read: ReadLogs, quarantine: Quarantine, units: Mapping[Path, Unit]
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Good rows of the files, block by block, each with the number of its file: columns of `INTERACTIONS`, ids as
    numbers, and, where a block is not plain, `file`, `row` and `lost_to`.

    Args:
        units: what numbers of times count in files of which that is known.

    Raises:
        OtherUnitError: all numbers of a file say that it counts another unit than the first block of them does.
        SchemaError: a file has no column for the user or the item, or a column of it is nested.
        ConfigError: a mapped column does not exist, or a rule needs one that no file has.
        DataError: a file cannot be read.
    """
    for number, path in enumerate(source.files):
        for rows in read_log(source, number, rules, read, quarantine, units.get(path)):
            yield number, rows
    check_rules(rules, read.columns)


def read_log(
    source: Source, number: int, rules: CleaningRules, read: ReadLogs, quarantine: Quarantine, unit: Unit | None
) -> Iterator[pl.DataFrame]:
    """Good rows of one of the files, as `read_logs` gives those of all."""
    now = datetime.now(UTC)
    path = source.files[number]
    one = source.log(path)
    read.taken_for.append(str(one.recognised))
    log = _Log(one, number, rules.of_file(path), read, TimeCounts(unit), with_file=bool(source.given_test))
    for block in log.reader:
        plain = log.take_plain(block)
        if plain is not None:
            yield plain
            continue
        rows, bad = log.assess(block)
        quarantine.add(bad)
        if rows.height:
            log.times.add(rows[c.TIMESTAMP], now)
            standing = _standing(rows, read)
            if standing.height:
                read.last_rows[number] = int(standing["row"][-1])
            yield standing
    read.columns |= log.finish()
    if (other := log.times.other_unit) is not None:
        raise OtherUnitError(path, other)
    read.times.append(log.times)
    tally = log.reader.tally
    read.files.append(FileRead(one.recognised.layout, tally.records, tally.lines, tally.apart))
    read.rows_in += tally.records
    read.lines += tally.lines
    read.lines_apart += tally.apart


def _standing(rows: pl.DataFrame, read: ReadLogs) -> pl.DataFrame:
    """Rows that no rule has taken; the others are counted, and need not be kept."""
    lost = rows[DROPPED_BY]
    if not lost.count():
        return rows
    read.lost.add(rows, len(read.users), len(read.items))
    return rows.filter(lost.is_null())


def _last_stands(weights: pl.Series | None, rules: CleaningRules) -> bool:
    """Whether the last row of a plain block is none that a rule takes."""
    return weights is None or rules.min_rating is None or float(weights[-1]) >= rules.min_rating


class _Log:
    """One log that is being read."""

    def __init__(
        self,
        source: LogSource,
        number: int,
        rules: CleaningRules,
        read: ReadLogs,
        times: TimeCounts,
        *,
        with_file: bool,
    ) -> None:
        """`with_file`: whether it matters which file a row is of."""
        self._with_file = with_file
        self.reader = source.open()
        self.times = times
        self._number, self._mapping, self._rules, self._read = number, source.mapping, rules, read
        self._prefixes = source.prefixes
        self._is_json = self.reader.layout.kind in (Kind.JSON_LINES, Kind.JSON_ARRAY)
        self._names = {} if self._is_json else self._mapping.resolve(self.reader.columns, self.reader.path.name)
        self._records = self._counted = 0

    def finish(self) -> set[str]:
        """Columns of ours that the file had.

        Raises:
            SchemaError: none stands for the user or the item, in all of the file.
            ConfigError: a mapped column does not exist.
            DataError: rows were lost between the reader and here.
        """
        tally = self.reader.tally
        if self._is_json:
            self._names = self._mapping.resolve(self._keys(), self.reader.path.name)
        if self._counted != tally.records:
            raise DataError(
                f"{self.reader.path.name} holds {tally.records:,} rows, and {self._counted:,} came out: "
                "nothing is taken of it. This is a fault of ours: please report it with the file."
            )
        return set(self._names)

    def _keys(self) -> tuple[str, ...]:
        """Keys of JSON that were met: those that are read, and, where one is missing among them, some of the others."""
        met = self.reader.columns
        needed = {self._mapping.all_names()[name] for name in (c.USER, c.ITEM)} | {
            pair[1] for pair in self._mapping.pairs
        }
        if needed <= set(met):
            return met
        others = next((block.rows.columns for block in open_log(self.reader.path, self.reader.layout)), [])
        return tuple(dict.fromkeys([*met, *others]))

    def take_plain(self, block: Block) -> pl.DataFrame | None:
        """Rows of a block that is plain, those that no rule takes; None where `assess` is to be asked."""
        names = self._names_in(block)
        if block.rejected or not block.height or not may_be_plain(names, self._rules, self._prefixes):
            return None
        users, items = (self._plain_codes(block, name, known) for name, known in self._known())
        columns = [names.get(name) for name in (c.WEIGHT, c.TIMESTAMP)]
        if users is None or items is None or any(name and name not in block.rows for name in columns):
            return None
        weights, times = (block.rows[name] if name else None for name in columns)
        known = len(self._read.users), len(self._read.items)
        rows = plain_rows(users, items, weights, times, self._rules, self.times, self._read.lost, known)
        if rows is not None:
            if _last_stands(weights, self._rules):
                self._read.last_rows[self._number] = self._records + block.height - 1
            self._records += block.records
            self._counted += block.height
            if self._with_file:
                rows = rows.with_columns(pl.lit(self._number, dtype=pl.UInt32).alias("file"))
        return rows

    def assess(self, block: Block) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Good rows, and rows for quarantine."""
        places = pl.Series("row", block.places() + self._records).cast(pl.UInt64)
        self._records += block.records
        keys = pl.DataFrame([pl.repeat(self._number, len(places), dtype=pl.UInt32, eager=True).alias("file"), places])
        bad = self._rejected(block)
        if not block.height:
            self._counted += bad.height
            return pl.DataFrame(), bad
        codes = {name: self._codes(block, name, known) for name, known in self._known()}
        coded = {name: found for name, found in codes.items() if found is not None}
        found = keys.hstack(self._ours(block, apart=tuple(coded)))
        found = found.with_columns(_narrowed(found[name]) for name in _NUMERIC if name in found.columns)
        unit = self.times.look(found[c.TIMESTAMP]) if c.TIMESTAMP in found.columns else None
        table = judged(unit, returns=self._rules.returns, prefixes=self._prefixes)
        read = self._cleaned(table.read(found.lazy(), coded))
        is_bad = read[c.REASON].is_not_null()
        if is_bad.any():
            # Once more, of the few that break the contract, with words and as text.
            whole = keys.hstack(self._ours(block)).filter(is_bad)
            broken = table.divide(self._cleaned(table.assess(whole.lazy())).lazy()).bad.collect()
            lines = pl.Series(LINE, block.lines).filter(is_bad)
            bad = _merged(broken.with_columns(lines, pl.lit(str(self.reader.path)).alias("file")), bad)
            read = read.filter(~is_bad)
        self._counted += read.height + bad.height
        others = {name: known for name, known in self._known() if name not in coded}
        return read.drop(c.REASON).with_columns(
            known.encode(read[name], self._prefixes.get(name, "")).alias(name)
            for name, known in {**others, c.EVENT_TYPE: self._read.events}.items()
        ), bad

    def _known(self) -> tuple[tuple[str, IdCodes], ...]:
        return ((c.USER, self._read.users), (c.ITEM, self._read.items))

    def _codes(self, block: Block, name: str, known: IdCodes) -> pl.Series | None:
        """Ids of a block as numbers, where no text need be made of them; None where it must."""
        theirs = self._names_in(block).get(name, "")
        if name in self._prefixes:
            return None
        if theirs in block.texts:
            codes = known.encode_fields(block.texts[theirs], _is_id)
            return None if codes is None else codes.alias(name)
        if theirs in block.rows and block.rows.schema[theirs] == pl.Int64:
            return known.encode(block.rows[theirs]).alias(name)
        return None

    def _plain_codes(self, block: Block, name: str, known: IdCodes) -> np.ndarray | None:
        """The same as an array of its own; None where an id is missing, too."""
        column = block.rows.get_column(self._names_in(block).get(name, ""), default=None)
        if name not in self._prefixes and column is not None and column.dtype == pl.Int64 and not column.null_count():
            codes = known.encode_numbers(column.to_numpy())
            if codes is not None:
                return codes
        found = self._codes(block, name, known)
        return None if found is None or found.null_count() else found.to_numpy(writable=True)

    def _cleaned(self, rows: pl.LazyFrame) -> pl.DataFrame:
        return cleaning.weigh_events(cleaning.mark_losses(rows, self._rules), self._rules).collect()

    def _names_in(self, block: Block) -> dict[str, str]:
        """Which of a block's columns stand for which of ours. A row of JSON names its own, so blocks may differ, and a
        row have its rating under either name: the weight is left out where both occur.
        """  # fmt: skip
        if not self._is_json:
            return self._names
        there = {*block.rows.columns, *block.texts}
        names = {ours: theirs for ours, theirs in self._mapping.all_names().items() if theirs in there}
        names.pop(c.WEIGHT, None)
        weights = [name for name in self._mapping.weights() if name in there]
        return {**names, c.WEIGHT: weights[0]} if len(weights) == 1 else names

    def _ours(self, block: Block, apart: Sequence[str] = ()) -> list[pl.Series]:
        """The block's columns under our names, but those of `apart`."""
        names = {ours: theirs for ours, theirs in self._names_in(block).items() if ours not in apart}
        found = [self._as_written(block, theirs, ours) for ours, theirs in names.items()]
        if self._is_json:
            weights = [name for name in self._mapping.weights() if name in block.rows.columns or name in block.texts]
            if len(weights) > 1:
                both = [self._as_written(block, name, name).cast(pl.String) for name in weights]
                found.append(pl.DataFrame(both).select(pl.coalesce(weights).alias(c.WEIGHT)).to_series())
            nothing = pl.repeat(None, block.height, dtype=pl.String, eager=True)
            absent = [name for name in (c.USER, c.ITEM) if name not in names and name not in apart]
            found += [nothing.alias(name) for name in absent]
        return found

    def _as_written(self, block: Block, theirs: str, ours: str) -> pl.Series:
        """A column; ids of text files are texts, however they come: only all of them say whether 12.0 is 12."""
        column = block.texts[theirs].series() if theirs in block.texts else block.rows[theirs]
        if column.dtype != pl.Float64 or self.reader.layout.kind is Kind.PARQUET:
            return column.alias(ours)
        if self._is_json:  # 12.0 and 12 are one number there, and one text
            return column.cast(pl.String).str.strip_suffix(".0").alias(ours)
        return (column.cast(pl.String) if ours in (c.USER, c.ITEM) else column).alias(ours)

    def _rejected(self, block: Block) -> pl.DataFrame:
        """Records that could not be cut into columns."""
        first = self._records - block.records
        lines = np.asarray([one.line for one in block.rejected], np.int64)
        places = first + np.searchsorted(block.lines, lines) + np.arange(len(lines))
        return rejected_rows(self.reader.path, block.rejected, places.tolist())


def rejected_rows(path: Path, rejected: Sequence[Rejected], places: Sequence[int]) -> pl.DataFrame:
    """Rows for quarantine."""
    schema = {"file": pl.String, "row": pl.UInt64, c.REASON: pl.String, LINE: pl.UInt64, RAW: pl.String}
    rows = [(str(path), row, one.reason, one.line, one.raw) for one, row in zip(rejected, places, strict=True)]
    return pl.DataFrame(rows, schema=schema, orient="row")


_NUMERIC = (c.WEIGHT, c.TIMESTAMP, c.POSITION)


def _narrowed(column: pl.Series) -> pl.Series:
    """A text column as whole numbers where all of it is that: what is read of them is the same, and sooner."""
    if column.dtype != pl.String or (column.len() and not (column[0] or "0").isdigit()):
        return column
    numbers = column.cast(pl.Int64, strict=False)
    return numbers if numbers.null_count() == column.null_count() else column


def _is_id(texts: pl.Series) -> bool:
    """Whether texts are ids as they stand: read as such, they are the same and keep the contract."""
    frame = pl.LazyFrame({c.USER: texts, c.ITEM: texts})
    read = judged(None).read(frame).select(c.USER, c.REASON).collect()
    return read[c.REASON].null_count() == len(texts) and bool((read[c.USER] == texts).all())


def _merged(broken: pl.DataFrame, rejected: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([broken, rejected], how="diagonal_relaxed").sort("row") if rejected.height else broken


def check_rules(rules: CleaningRules, found: set[str]) -> None:
    """Raise ConfigError where a rule needs a column that no log has."""
    needs = {
        "--min-rating": (rules.min_rating is not None, c.WEIGHT),
        "--event-weight": (bool(rules.weighed), c.EVENT_TYPE),
        "--dislike": (bool(rules.dislikes), c.EVENT_TYPE),
        "--dislike-below": (rules.dislike_below is not None, c.WEIGHT),
        "--since or --until": (bool(rules.since or rules.until), c.TIMESTAMP),
    }
    for option, (wanted, column) in needs.items():
        if wanted and column not in found:
            raise ConfigError(f"{option} needs a column {column!r}. Say which one it is: --map {column}=COLUMN.")
