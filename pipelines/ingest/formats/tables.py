"""Tables of no known format: which separator they have, and whether their first line names the columns."""

import csv
import re
from collections.abc import Collection, Sequence

from pipelines.ingest.formats.peek import Peek
from recsys_vae.data.columns import INTERACTION_COLUMNS

SEPARATORS = (",", "\t", ";", "|", "::")
"""Those that are tried, the likelier first."""
BY_ENDING = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_VALUE = re.compile(
    r"\s*(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|\d{4}-\d\d-\d\d.*|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}.*)\s*"
)
"""Numbers and times, which no header has."""


def find_separator(peek: Peek) -> str:
    """The separator that cuts the first line, and the most lines into as many fields; that of the ending in doubt."""
    usual = next((mark for ending, mark in BY_ENDING.items() if peek.name.endswith(ending)), ",")
    order = (usual, *(mark for mark in SEPARATORS if mark != usual))
    return max(order, key=lambda mark: _fit(peek.lines, mark))


def quote_of(separator: str) -> str | None:
    """The quote mark of tables with such a separator: tabs and longer ones need none."""
    return None if separator == "\t" or len(separator) > 1 else '"'


def fields_of(line: str, separator: str) -> list[str]:
    """The fields of one line."""
    if quote_of(separator) is None:
        return line.split(separator)
    return next(csv.reader([line], delimiter=separator), [])


def has_header(peek: Peek, separator: str, names: Collection[str] = ()) -> bool:
    """Whether the first line names the columns.

    It does where one of its fields is a name of ours or one that the user says, unless the user says a number; it does
    not where a field is a number, a time, or a value that stands again in its column below.

    Args:
        names: that columns of the file are said to have, beside ours.
    """
    first, *rest = [fields_of(line, separator) for line in peek.lines] or [[]]
    named = {field.strip() for field in first}
    if named.intersection((*INTERACTION_COLUMNS, "rating")):
        return True
    said = named.intersection(names)
    if said and not any(map(_VALUE.fullmatch, said)):
        return True
    if any(map(_VALUE.fullmatch, first)):
        return False
    return not any(_stands_again(field, place, rest) for place, field in enumerate(first))


def _stands_again(field: str, place: int, rows: Sequence[Sequence[str]]) -> bool:
    return bool(field) and any(len(row) > place and row[place] == field for row in rows)


def _fit(lines: Sequence[str], separator: str) -> tuple[int, int]:
    """How many lines are cut as the first one is, and into how many fields; nothing where it is not cut."""
    widths = [len(fields_of(line, separator)) for line in lines] or [1]
    return (widths.count(widths[0]), widths[0]) if widths[0] > 1 else (0, 0)
