"""One log, read by one call: its rows as pieces of files, with ids numbered as they are met in it, and all counts."""

from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import polars as pl

from pipelines.ingest.accepted import dropped_table
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.file_hashes import FileHashes, HashedFile
from pipelines.ingest.file_times import TimeState
from pipelines.ingest.id_codes import IdCodes, Met
from pipelines.ingest.log_rows import FileRead, OtherUnitError, Quarantine, QuarantineParts, ReadLogs, read_log
from pipelines.ingest.log_sources import Source
from pipelines.ingest.times import Unit
from recsys_vae.data import columns as c
from recsys_vae.errors import ConfigError


class AllMet(NamedTuple):
    """What decides how ids of a file are numbered: what was met of users and of items before it."""

    users: Met = Met()
    items: Met = Met()

    def plus(self, other: "AllMet") -> "AllMet":
        """What was met in either."""
        pairs = ((ours, theirs) for ours, theirs in zip(self, other, strict=True))
        return AllMet(*(Met(one.texts or two.texts, one.odd or two.odd) for one, two in pairs))


class Block(NamedTuple):
    """Rows that were read at a time: how many, and their columns."""

    rows: int
    columns: tuple[str, ...]


class Piece(NamedTuple):
    """Some blocks of one log, one after the other in a file."""

    path: Path
    blocks: tuple[Block, ...]

    def frames(self) -> list[pl.DataFrame]:
        """The blocks as they were read."""
        rows, found, start = pl.scan_ipc(self.path, glob=False).collect(), [], 0
        for block in self.blocks:
            found.append(rows.slice(start, block.rows).select(block.columns))
            start += block.rows
        return found


class IdsMet(NamedTuple):
    """Ids of one kind that a file has: their file, by number; whether any has a prefix; whether numbers came first."""

    path: Path
    have_prefixes: bool
    has_numbers: bool

    def ids(self) -> pl.Series:
        """As `IdCodes.all_met` gives them."""
        return pl.scan_ipc(self.path, glob=False).collect()["id"]


@dataclass(frozen=True)
class ReadFile:
    """What was read of one log.

    Attributes:
        number: place among the logs.
        begun: what had been met before, as the call was told.
        met: and what has been met in the end.
        pieces: its rows.
        user_rows: file of rows by number of the user.
        users: ids of users.
        items: likewise.
        events: likewise.
        lost: rows that rules on single rows took, by these numbers, as `dropped_table` gives them.
        quarantine: rows that broke the contract.
        read: counts of `ReadLogs`: rows, lines, lines apart.
        taken_for: what the file was taken for.
        times: what its times are.
        unit: what numbers of times were known to count, where all of the file had to be read to know it.
        file: how it is laid out, and its own counts.
        last_row: place of the last row that was accepted; None where none was.
        columns: columns of ours that it has.
        hashed: what the file was, if that was asked for.
    """

    number: int
    begun: AllMet
    met: AllMet
    pieces: tuple[Piece, ...]
    user_rows: Path
    users: IdsMet
    items: IdsMet
    events: IdsMet
    lost: pl.DataFrame
    quarantine: QuarantineParts
    read: tuple[int, int, int]
    taken_for: str
    times: TimeState
    unit: Unit | None
    file: FileRead
    last_row: int | None
    columns: frozenset[str]
    hashed: HashedFile | None = None

    def holds_after(self, before: AllMet) -> bool:
        """Whether it would have been read alike, had so much been met before."""
        pairs = zip(self.begun, before, (self.users, self.items), strict=True)
        return all(told.odd == now.odd and (told.texts == now.texts or not ids.has_numbers) for told, now, ids in pairs)


@dataclass(frozen=True)
class Reading:
    """How logs are read, the same for all of them.

    Attributes:
        source: all logs.
        rules: what is kept.
        folder: where calls make folders of their own.
        rows_per_piece: about how many rows are held at a time.
        with_hash: whether files are to be known again.
        where: the folder that names of files are relative to.
    """

    source: Source
    rules: CleaningRules
    folder: Path
    rows_per_piece: int
    with_hash: bool
    where: Path

    def read(self, number: int, begun: AllMet) -> ReadFile:
        """Read one log.

        Raises:
            ConfigError: it is named relative to a folder that is not here.
        """
        path = self.source.files[number]
        if path.is_absolute():
            return self._read_file(path, number, begun)
        if not self.where.is_dir():
            raise ConfigError(
                f"{path} is named relative to {self.where}, which a node of the cluster does not see. Give its "
                "whole path."
            )
        with chdir(self.where):
            return self._read_file(path, number, begun)

    def _read_file(self, path: Path, number: int, begun: AllMet) -> ReadFile:
        unit = None
        folder = own_folder(self.folder)
        with FileHashes() as hashes:
            if self.with_hash:
                hashes.begin([path])
            while True:
                try:
                    return self._read(number, begun, unit, folder, hashes)
                except OtherUnitError as other:
                    unit, folder = other.unit, own_folder(self.folder)

    def _read(self, number: int, begun: AllMet, unit: Unit | None, folder: Path, hashes: FileHashes) -> ReadFile:
        read = ReadLogs(users=IdCodes(begun.users), items=IdCodes(begun.items))
        quarantine, writer = Quarantine(folder / "quarantine"), _PieceWriter(folder, self.rows_per_piece)
        for rows in read_log(self.source, number, self.rules, read, quarantine, unit):
            writer.add(rows)
        pieces = writer.end()
        np.save(folder / "user_rows.npy", writer.user_rows)
        path = self.source.files[number]
        return ReadFile(
            number=number,
            begun=begun,
            met=AllMet(read.users.met, read.items.met),
            pieces=pieces,
            user_rows=folder / "user_rows.npy",
            users=_ids_met(read.users, folder / "users.arrow"),
            items=_ids_met(read.items, folder / "items.arrow"),
            events=_ids_met(read.events, folder / "events.arrow"),
            lost=dropped_table(read.lost),
            quarantine=quarantine.parts(),
            read=(read.rows_in, read.lines, read.lines_apart),
            taken_for=read.taken_for[0],
            times=read.times[0].state(),
            unit=unit,
            file=read.files[0],
            last_row=read.last_rows.get(number),
            columns=frozenset(read.columns),
            hashed=hashes.of(path) if self.with_hash and path.is_file() else None,
        )


@dataclass
class _PieceWriter:
    """Writes blocks, several to a file, and counts the rows of users."""

    folder: Path
    rows_per_piece: int
    user_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    _held: list[pl.DataFrame] = field(default_factory=list)
    _pieces: list[Piece] = field(default_factory=list)

    def add(self, rows: pl.DataFrame) -> None:
        counts = (
            np.bincount(rows[c.USER].to_numpy(), minlength=len(self.user_rows)) if rows.height else self.user_rows[:0]
        )
        counts[: len(self.user_rows)] += self.user_rows
        self.user_rows = counts if rows.height else self.user_rows
        self._held.append(rows.drop("row", strict=False))
        if sum(one.height for one in self._held) >= self.rows_per_piece:
            self._write()

    def end(self) -> tuple[Piece, ...]:
        self._write()
        return tuple(self._pieces)

    def _write(self) -> None:
        if self._held:
            path = self.folder / f"piece-{len(self._pieces)}.arrow"
            pl.concat(self._held, how="diagonal").rechunk().write_ipc(path)
            self._pieces.append(Piece(path, tuple(Block(one.height, tuple(one.columns)) for one in self._held)))
            self._held = []


def own_folder(parent: Path) -> Path:
    """A folder that only one attempt at a call writes to."""
    folder = parent / uuid4().hex
    folder.mkdir(parents=True)
    return folder


def _ids_met(codes: IdCodes, path: Path) -> IdsMet:
    codes.all_met().to_frame("id").write_ipc(path)
    return IdsMet(path, codes.has_prefixes, codes.has_numbers)
