"""Layout: how a file is laid out, as far as a reader must know; who finds it out is no matter of the readers."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import polars as pl

from pipelines.ingest.readers.blocks import Made
from pipelines.ingest.readers.decoding import decoder
from recsys_vae.errors import ConfigError


class Kind(StrEnum):
    """What the bytes are."""

    DELIMITED = "delimited"
    """A line a row, its fields separated (CSV, TSV, `::`)."""
    JSON_LINES = "json lines"
    """A JSON object a line (NDJSON, JSONL)."""
    JSON_ARRAY = "json array"
    """One JSON array of objects."""
    PARQUET = "parquet"
    """Apache Parquet; keeps its own types."""
    LINES = "lines"
    """Lines of text of which a transformer makes rows: a user a line, svmlight, sections under a heading."""


class Compression(StrEnum):
    """How the bytes are packed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"


class LineTransformer(Protocol):
    """Makes rows of lines. It is made anew for each file, and given the lines in order, so it may remember."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that it makes."""

    def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
        """Rows of some lines.

        Args:
            lines: text without line ends; none is blank.
            numbers: of each its number in the file, from 1 (UInt64).
        """


@dataclass(frozen=True)
class Layout:
    """How a file is laid out.

    Attributes:
        kind: what the bytes are.
        separator: between fields of a delimited file: one character or more (`,`, a tab, `::`). A single blank stands
            for itself; `BLANKS` for any run of blanks and tabs.
        quote: the mark around fields that hold separators or line ends, doubled where it is meant; None: no mark
            does, all are plain characters.
        encoding: a name of a text encoding that Python's codecs know. A byte-order mark in the file rules.
        header: whether the first line that is not blank names the columns.
        columns: names of the columns of a delimited file. Without a header they are needed; with one they take its
            place.
        compression: None: told from the first bytes.
        make_transformer: of kind `lines`, what makes the transformer.

    Raises:
        ConfigError: the parts do not fit together.
    """

    kind: Kind = Kind.DELIMITED
    separator: str = ","
    quote: str | None = '"'
    encoding: str = "utf-8"
    header: bool = True
    columns: tuple[str, ...] = ()
    compression: Compression | None = None
    make_transformer: Callable[[], LineTransformer] | None = None

    def __post_init__(self) -> None:
        if self.kind is Kind.DELIMITED:
            self._check_marks()
            if not self.header and not self.columns:
                raise ConfigError("A file without a header needs the names of its columns: --columns user_id,item_id.")
        if len(set(self.columns)) < len(self.columns):
            raise ConfigError(f"A column is named twice: {', '.join(self.columns)}. Give each a name of its own.")
        if (self.kind is Kind.LINES) != (self.make_transformer is not None):
            raise ConfigError("A layout of kind 'lines' has a transformer, and no other layout has one.")
        try:
            decoder(self.encoding)
        except (LookupError, ValueError) as error:
            raise ConfigError(f"There is no encoding {self.encoding!r}. Take utf-8, latin-1, cp1252 ...") from error

    def _check_marks(self) -> None:
        if not self.separator or set(self.separator) & set('\r\n"'):
            raise ConfigError(f"{self.separator!r} cannot separate fields: give a character or more that end no line.")
        if self.quote is not None and (len(self.quote) != 1 or self.quote in self.separator + "\r\n"):
            raise ConfigError(f"{self.quote!r} cannot be a quote mark: give one character, other than the separator.")


BLANKS = "blanks"
"""As a separator: any run of blanks and tabs; there are no quotes then."""
