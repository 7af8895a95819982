"""Recognition: of which format a file is and how it is laid out, by its name, its looks, and what the user says."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from pipelines.ingest.formats import tables
from pipelines.ingest.formats.catalog import FORMATS, find_format, recognise
from pipelines.ingest.formats.encodings import LOOKED_AT, UTF_8, encoding_at, is_utf8
from pipelines.ingest.formats.format import Format, Role
from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.readers import Kind, Layout
from pipelines.ingest.readers.layout import BLANKS
from pipelines.ingest.readers.streams import first_bytes
from recsys_vae.data.columns import EVENT_TYPE
from recsys_vae.errors import ConfigError, DataError, SchemaError

PARQUET_MAGIC, ZIP_MAGIC = b"PAR1", b"PK\x03\x04"
SEPARATOR_NAMES = {"tab": "\t", "\\t": "\t", "blank": BLANKS, "blanks": BLANKS, "space": " ", "comma": ",", "pipe": "|"}


@dataclass(frozen=True)
class Says:
    """What the user says of files, instead of what they look like.

    Attributes:
        format: name of a format.
        separator: between fields, or its name.
        header: whether the first line names the columns.
        columns: names of the columns; `-` for one that has none.
        encoding: a name that Python knows.
    """

    format: str | None = None
    separator: str | None = None
    header: bool | None = None
    columns: tuple[str, ...] = ()
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.separator == "":
            raise ConfigError(
                "--separator '' names no mark: give the one between fields, or its name (tab, blank, comma, pipe), or "
                "leave the option out, and it is found by looking."
            )
        if self.format is not None:
            find_format(self.format)
            if self.is_about_tables:
                raise ConfigError(
                    f"--format {self.format} says how the file is laid out: leave out --separator, --columns and "
                    "--no-header, or --format."
                )

    @property
    def is_about_tables(self) -> bool:
        """Whether it says how a table is laid out."""
        return self.separator is not None or self.header is not None or bool(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns: those without one get one by their place."""
        return tuple(f"column {n}" if name in ("", "-") else name for n, name in enumerate(self.columns, 1))


@dataclass(frozen=True)
class Recognised:
    """How one file is read.

    Attributes:
        layout: how it is laid out.
        format: the format it is of; None for a table like any other.
    """

    layout: Layout
    format: Format | None = None

    @property
    def mapping(self) -> tuple[tuple[str, str], ...]:
        """Pairs (our column, theirs)."""
        return self.format.mapping if self.format else ()

    def plain_name(self, name: str) -> str:
        """What a column is called whose name somebody may have from the header."""
        return name if self.format is None else self.format.plain_name(name)

    def rows(self, found: pl.DataFrame) -> pl.DataFrame:
        """The rows of a block, as wanted.

        Raises:
            SchemaError: they lack columns of their format.
        """
        if self.format is None:
            return found
        rows = self._of_format(self.format.rows, found)
        event = self.format.event_type
        return rows if event is None else rows.with_columns(pl.lit(event).alias(EVENT_TYPE))

    def whole(self, found: pl.DataFrame) -> pl.DataFrame:
        """All rows of a table of metadata, as wanted; raises as `rows`."""
        return found if self.format is None else self._of_format(self.format.whole, found)

    def _of_format(self, read: Callable[[pl.DataFrame], pl.DataFrame], found: pl.DataFrame) -> pl.DataFrame:
        try:
            return read(found)
        except (pl.exceptions.ColumnNotFoundError, pl.exceptions.DuplicateError) as error:
            title = self.format.title if self.format else ""
            raise SchemaError(
                f"A file taken for {title} has not its columns. Columns found: {', '.join(found.columns)}. Name "
                "another format with --format, or say how the file is laid out (--separator, --columns)."
            ) from error

    def __str__(self) -> str:
        """For people: what the file was taken for."""
        layout = self.layout
        parts = [f"{self.format.title} (--format {self.format.name})" if self.format else str(layout.kind)]
        if layout.kind is Kind.DELIMITED and self.format is None:
            named = {mark: name for name, mark in SEPARATOR_NAMES.items() if name != "\\t"}
            parts.append(f"separated by {named.get(layout.separator, layout.separator)!r}")
            parts.append("with a header" if layout.header else f"without a header: {', '.join(layout.columns)}")
        if layout.encoding != UTF_8:
            parts.append(f"in {layout.encoding}")
        return ", ".join(parts)


def look_at(path: Path, says: Says | None = None, *, names: Collection[str] = (), role: Role = Role.LOG) -> Recognised:
    """Find out how a file is read.

    Args:
        says: what the user says of it; it rules.
        names: that its columns are said to have.
        role: what it is given as. A table of another role is read by its own format, if that is the user's wish.

    Raises:
        ConfigError: the file has no header and nobody names its columns, or it has other columns than are named.
        DataError: it cannot be opened, is an archive, or is of a format whose rows are something else.
        EmptyDataError: it is empty.
    """
    says = says or Says()
    start = first_bytes(path, 4)
    if start == PARQUET_MAGIC or path.suffix.lower() in (".parquet", ".pq"):
        return Recognised(Layout(Kind.PARQUET))
    if start == ZIP_MAGIC:
        raise DataError(f"{path.name} is a zip archive or a workbook: unpack it, or save its table as CSV.")
    peek = Peek.at(path)
    form = _format_of(path, peek, says, role)
    layout = form.layout_of(peek) if form else _table(path, peek, says, names)
    return Recognised(replace(layout, encoding=says.encoding or _encoding(path, layout.encoding)), form)


def _format_of(path: Path, peek: Peek, says: Says, role: Role) -> Format | None:
    if says.format is not None:
        return find_format(says.format)
    if says.is_about_tables:
        return None
    form = recognise(peek)
    if form is None or form.role is role:
        return form
    if role is not Role.LOG:
        return None
    of_role = [one.name for one in FORMATS.values() if one.role is role]
    raise DataError(
        f"{path.name} looks like {form.title}: give it as --{form.role}. If it is a log all the same, say of which "
        f"format: --format {', '.join(of_role)}."
    )


def _encoding(path: Path, of_format: str) -> str:
    """UTF-8 where the bytes are; else that of the format, or the one that they look like."""
    if of_format == UTF_8:
        return encoding_at(path)
    start = first_bytes(path, LOOKED_AT)
    return UTF_8 if is_utf8(start, is_whole=len(start) < LOOKED_AT) else of_format


def _json_kind(peek: Peek) -> Kind | None:
    """By the first character; where that is of no JSON, by the ending."""
    by_start = {"{": Kind.JSON_LINES, "[": Kind.JSON_ARRAY}.get(peek.header.lstrip()[:1])
    by_ending = {".json": Kind.JSON_ARRAY, ".jsonl": Kind.JSON_LINES, ".ndjson": Kind.JSON_LINES}
    return by_start or next((kind for ending, kind in by_ending.items() if peek.name.endswith(ending)), None)


def _table(path: Path, peek: Peek, says: Says, names: Collection[str]) -> Layout:
    if not says.is_about_tables and (kind := _json_kind(peek)):
        return Layout(kind)
    said = says.separator
    separator = SEPARATOR_NAMES.get(said, said) if said else tables.find_separator(peek)
    width = len(tables.fields_of(peek.header, separator)) if separator != BLANKS else len(peek.header.split())
    if says.columns and len(says.columns) != width:
        raise ConfigError(
            f"--columns names {len(says.columns)}, and the first line of {path.name} has {width}: "
            f"{peek.header[:200]!r}. Name every column, in order, with - for those that are not wanted; or give "
            "another --separator."
        )
    header = says.header
    if header is None:
        header = tables.has_header(peek, separator, names) if separator != BLANKS else not says.columns
    if not header and not says.columns:
        raise ConfigError(
            f"{path.name} seems to have no header: its first line is {peek.header[:200]!r}. Name its columns: "
            "--columns user_id,item_id,weight,timestamp (with - for those that are not wanted). If that line does "
            "name them, say so with --header."
        )
    return Layout(separator=separator, quote=tables.quote_of(separator), header=header, columns=says.names)
