"""Log sources: of each log how it is read, by its looks and by what is said of it, and its rows under that reading."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from pipelines.dataset.fields import Fields
from pipelines.ingest.early_logs import EarlyLog, is_as_begun
from pipelines.ingest.early_reading import EarlyReading
from pipelines.ingest.formats.format import as_found
from pipelines.ingest.formats.recognition import Recognised, look_at
from pipelines.ingest.log_files import ColumnMap
from pipelines.ingest.part_folders import partition_of
from pipelines.ingest.readers import Block, Layout, LogReader, open_log
from pipelines.ingest.said import Said


@dataclass(frozen=True)
class Source:
    """What is ingested.

    Attributes:
        logs: log files; their order breaks ties between rows of one user.
        mapping: which of their columns is which.
        given_test: files of a published test part. Their rows are interactions like any other, and are listed besides.
        users: metadata file of users.
        items: metadata file of items.
        users_map: which column of `users` holds the id, if it is not the one of the logs.
        items_map: likewise.
        fields: which of the metadata's columns models may use.
        layouts: how files are laid out, where their looks do not say it.
        said: what is said of files beside that.
        early: what has been begun with before anything was known of the files.
    """

    logs: tuple[Path, ...]
    mapping: ColumnMap = field(default_factory=ColumnMap)
    given_test: tuple[Path, ...] = ()
    users: Path | None = None
    items: Path | None = None
    users_map: ColumnMap = field(default_factory=ColumnMap)
    items_map: ColumnMap = field(default_factory=ColumnMap)
    fields: Fields = field(default_factory=Fields)
    layouts: Mapping[Path, Layout] = field(default_factory=dict)
    said: Said = field(default_factory=Said)
    early: EarlyReading | None = field(default=None, compare=False)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that hold interactions; a row's `file` is a place in here."""
        return self.logs + self.given_test

    def log(self, path: Path) -> "LogSource":
        """How one of the logs is read.

        Raises:
            ConfigError: it has no header and its columns are not named.
            DataError: it cannot be opened, or is no log.
            EmptyDataError: it is empty.
        """
        said = self.mapping.updated(self.said.mapping_of(path))
        partition = partition_of(path)
        names = [theirs for _, theirs in said.pairs]
        layout = self.layouts.get(path)
        recognised = Recognised(layout) if layout else look_at(path, self.said.of(path), names=names)
        # What a format says of its columns holds where the user says nothing else.
        mapping = ColumnMap(recognised.mapping).updated(said.renamed(recognised.plain_name))
        return LogSource(path, recognised, mapping, partition, self.said.prefixes_of(path), self.early)


@dataclass(frozen=True)
class LogSource:
    """One log.

    Attributes:
        path: where it lies.
        recognised: how it is read.
        mapping: which of its columns is which.
        constants: columns that are the same in all rows, where the file has none of that name: the partition that it
            lies in.
        prefixes: of `user_id` and `item_id`, what is put before each id.
        early: as of the `Source`.
    """

    path: Path
    recognised: Recognised
    mapping: ColumnMap = field(default_factory=ColumnMap)
    constants: Mapping[str, str | None] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)
    early: EarlyReading | None = field(default=None, compare=False)

    def open(self) -> "SourceReader":
        """Open it, to be read once.

        Raises:
            DataError: it cannot be opened.
            EmptyDataError: it is empty.
        """
        form = self.recognised.format
        is_plain = form is None or form.rows is as_found
        wanted = self.mapping.may_read() if is_plain else None
        # Bytes and numbers for columns are for those who take them as they are.
        is_as_read = is_plain and not self.constants and (form is None or form.event_type is None)
        layout = self.recognised.layout
        if self.early is not None and (begun := self.early.take(self.path)) is not None:
            if wanted is not None and is_as_read and is_as_begun(begun, layout):
                return SourceReader(self, EarlyLog(self.path, layout, wanted, begun))
            begun.close()
        return SourceReader(self, open_log(self.path, layout, wanted, numbers=is_as_read))

    def rows(self, found: pl.DataFrame) -> pl.DataFrame:
        """The rows of a block, with the columns that the file itself does not have."""
        rows = self.recognised.rows(found)
        absent = {name: value for name, value in self.constants.items() if name not in rows.columns}
        if absent:
            rows = rows.with_columns(pl.lit(value, dtype=pl.String).alias(name) for name, value in absent.items())
        return rows


class SourceReader:
    """A log that is open: a reader of it, whose rows are as its format wants them."""

    def __init__(self, source: LogSource, reader: LogReader | EarlyLog) -> None:
        self._source, self._reader = source, reader
        self.path, self.layout, self.tally = reader.path, reader.layout, reader.tally

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns; of JSON those that were met so far."""
        found = pl.DataFrame(schema=dict.fromkeys(self._reader.columns, pl.String))
        return tuple(self._source.rows(found).columns)

    def __iter__(self) -> Iterator[Block]:
        for block in self._reader:
            yield replace(block, rows=self._source.rows(block.rows)) if block.rows.width else block
