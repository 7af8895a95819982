"""Dialect: how the fields of a delimited line are told apart; and the words for lines that are no rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.ingest.readers.blocks import plain_raw

NOT_TEXT = "a byte that is no text in the file's encoding"


@dataclass(frozen=True)
class Dialect:
    """How fields are told apart, once the separator is one byte.

    Attributes:
        separator: one byte.
        quote: one byte; None where no mark is one.
        names: of all columns, in order.
        wanted: places of the columns that are read, ascending.
        shown: the separator as it stands in the file, for raw text.
        numbers: whether columns may come as numbers, or as bytes.
    """

    separator: bytes
    quote: bytes | None
    names: tuple[str, ...]
    wanted: tuple[int, ...]
    shown: bytes
    numbers: bool = False


def too_many_fields(found: int, expected: int) -> str:
    """Why a line with fields that no column has is no row."""
    return f"{found} fields where there are {expected} columns"


def cut_off(found: int, expected: int) -> str:
    """Why the last line of a file is no row."""
    return f"the last line has no line end and {found} of {expected} fields: it is cut off"


def raw_text(line: bytes, dialect: Dialect) -> str:
    """A line for people, with the separator that it has in the file."""
    text = plain_raw(line[: 1 << 14])
    return (
        text if dialect.separator == dialect.shown else text.replace(dialect.separator.decode(), dialect.shown.decode())
    )


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which none occurs twice, as polars makes them."""
    found: dict[str, None] = {}
    for name in names:
        number, unique = 0, name
        while unique in found:
            unique, number = f"{name}_duplicated_{number}", number + 1
        found[unique] = None
    return tuple(found)
