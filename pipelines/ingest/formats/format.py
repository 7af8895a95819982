"""Format: the description of one kind of file, as frozen values, with what reads the rest as small functions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import polars as pl

from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.readers import Layout

Recognise = Callable[[Peek], bool]


class Role(StrEnum):
    """What the rows of a file are."""

    LOG = "log"
    USERS = "users"
    ITEMS = "items"


def as_written(name: str) -> str:
    """The name of a column as the header has it."""
    return name


def as_found(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as they are."""
    return rows


@dataclass(frozen=True)
class Format:
    """One format of the field.

    Attributes:
        name: under which `--format` knows it.
        title: for people.
        recognise: whether a file looks like it.
        layout: how the file is laid out; a function of the file's looks where they say more, such as its columns.
        role: what its rows are.
        mapping: pairs (our column, theirs) where the layout's columns have names of their own.
        event_type: of every row, where the file has one kind of event.
        rows: from text columns as read to text columns as wanted, row by row.
        whole: of metadata, from all rows to one row an id.
        plain_name: what a column is called here that the header writes so; people map either.
    """

    name: str
    title: str
    recognise: Recognise
    layout: Layout | Callable[[Peek], Layout]
    role: Role = Role.LOG
    mapping: tuple[tuple[str, str], ...] = ()
    event_type: str | None = None
    rows: Callable[[pl.DataFrame], pl.DataFrame] = field(default=as_found)
    whole: Callable[[pl.DataFrame], pl.DataFrame] = field(default=as_found)
    plain_name: Callable[[str], str] = field(default=as_written)

    def layout_of(self, peek: Peek) -> Layout:
        """How a file of this format is laid out."""
        return self.layout if isinstance(self.layout, Layout) else self.layout(peek)
