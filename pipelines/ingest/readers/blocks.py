"""Block: some lines of a file as rows, and an account of every line that it stands for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

from recsys_vae.errors import DataError

if TYPE_CHECKING:
    from recsys_vae.native.tables import TextCodes

RAW_CHARACTERS = 500
"""At most so much of a line is kept or shown."""


@dataclass(frozen=True)
class Rejected:
    """A line, or a record of several, of which no row could be made.

    Attributes:
        line: number in the file of its first line, from 1.
        raw: its text, cut after `RAW_CHARACTERS`; bytes that are no text stand as `\\xNN`.
        reason: why, in words.
        lines: how many lines it takes.
    """

    line: int
    raw: str
    reason: str
    lines: int = 1


@dataclass(frozen=True)
class Made:
    """What a transformer made of lines.

    Attributes:
        rows: text columns.
        lines: of each row the number of the line that it was made of; several rows may be of one line.
        rejected: lines that could not be read.
        structure: number of lines that are read and make no row: headings, users without items.
    """

    rows: pl.DataFrame
    lines: pl.Series
    rejected: tuple[Rejected, ...] = ()
    structure: int = 0


class FieldColumn(Protocol):
    """A column of text that stands in the bytes of a block."""

    def series(self) -> pl.Series:
        """As text; empty ones are null."""

    def codes(self, known: "TextCodes") -> np.ndarray:
        """As numbers of its texts, uint32; `TextCodes.EMPTY` for empty ones."""


@dataclass(frozen=True)
class Block:
    """Some lines of a file, read.

    Attributes:
        rows: columns of text, as found (an empty text is null); of Parquet in their own types. Columns may differ from
            block to block where every row names its own, as in JSON: one that is not here is null in all its rows.
            Where the log was opened for numbers, a column whose every text is the usual way to write a number comes as
            Int64 or Float64: as text it is the same again.
        lines: of each row the number of its first line in the file, from 1, int64, ascending; of Parquet the row's
            number.
        rejected: what could not be read, ascending.
        taken: lines that the block stands for, counted where the file was cut, without the parser.
        structure: of them headers and other lines that are no row.
        blank: of them blank.
        continued: of them lines that go on with a row that begins above, and lines of which several rows were made,
            counted below zero.
        texts: where the log was opened for numbers, columns that are not among `rows` and come as bytes; `whole` has
            them all.
    """

    rows: pl.DataFrame
    lines: np.ndarray
    rejected: tuple[Rejected, ...] = ()
    taken: int = 0
    structure: int = 0
    blank: int = 0
    continued: int = 0
    texts: Mapping[str, FieldColumn] = field(default_factory=dict)

    def whole(self) -> pl.DataFrame:
        """All columns."""
        texts = [column.series().alias(name) for name, column in self.texts.items()]
        return pl.DataFrame([*self.rows.get_columns(), *texts])

    @property
    def height(self) -> int:
        """Number of rows."""
        return len(self.lines)

    @property
    def records(self) -> int:
        """Rows and rejected records."""
        return self.height + len(self.rejected)

    def places(self) -> np.ndarray:
        """Of each row its place among all records of the block, from 0, int64."""
        before = np.searchsorted([one.line for one in self.rejected], self.lines) if self.rejected else 0
        return np.arange(self.height, dtype=np.int64) + before

    def check(self, name: str) -> "Block":
        """The block, once it is known that every line is accounted for.

        Raises:
            DataError: the account does not add up: a line was lost, or made up.
        """
        found = self.height + self.structure + self.blank + self.continued
        found += sum(one.lines for one in self.rejected)
        if found != self.taken or (self.rows.width and self.rows.height != self.height):
            raise DataError(
                f"{name}: of {self.taken:,} lines {found:,} are accounted for, and {self.height:,} of them were to "
                f"be rows where {self.rows.height:,} were read: nothing is taken of the file. This is a fault of the "
                "reader: please report it with the file."
            )
        return self


def plain_raw(line: bytes) -> str:
    """The text of a line for people, cut; bytes that are no text stand as `\\xNN`."""
    text = line[: 4 * RAW_CHARACTERS].decode("utf-8", "backslashreplace")[:RAW_CHARACTERS]
    return text.rstrip("\r\n").replace("\0", "\\0")


@dataclass
class Tally:
    """Counts over the blocks of a file."""

    lines: int = 0
    rows: int = 0
    rejected: int = 0
    structure: int = 0
    blank: int = 0
    continued: int = 0
    columns: dict[str, None] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """Rows, and records that could not be read."""
        return self.rows + self.rejected

    @property
    def apart(self) -> int:
        """Lines that are no record of their own: headers, blank ones, and those that go on with a row."""
        return self.structure + self.blank + self.continued

    def add(self, block: Block) -> None:
        """Add a block that has been checked."""
        self.lines += block.taken
        self.rows += block.height
        self.rejected += len(block.rejected)
        self.structure += block.structure
        self.blank += block.blank
        self.continued += block.continued
        self.columns |= dict.fromkeys([*block.rows.columns, *block.texts])
