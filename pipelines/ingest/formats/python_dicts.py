"""Python dictionaries, one a line, as Amazon's metadata of 2014 come: read as literals, never run."""

import ast
import json
import warnings
from typing import Any

import polars as pl

from pipelines.ingest.readers import Made, Rejected
from pipelines.ingest.readers.blocks import RAW_CHARACTERS

LONGEST = 1 << 20
"""Characters of a line that is read."""
DEEPEST = 50
"""Brackets within brackets of a line that is read; marks in texts count too. Python's parser is not meant for more."""
OPENING, CLOSING = frozenset("[({"), frozenset("])}")


class PythonDicts:
    """Rows of lines like `{'asin': '0001', 'categories': [['Books']]}`.

    Args:
        columns: that every row has, whether a line names them or not; others follow as they are met.
        sets: columns of lists, perhaps of lists, whose values become a set, `a|b`. Any other nested value is JSON.
    """

    def __init__(self, columns: tuple[str, ...], sets: tuple[str, ...] = ()) -> None:
        self.columns = columns
        self._sets = sets

    def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
        """Rows of some lines."""
        rows: list[dict[str, str | None]] = []
        places: list[int] = []
        rejected: list[Rejected] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know: they stand for themselves
            for line, number in zip(lines, numbers, strict=True):
                found = _literal(line)
                if isinstance(found, str):
                    rejected.append(Rejected(number, line[:RAW_CHARACTERS], found))
                else:
                    rows.append({key: self._text(key, value) for key, value in found.items()})
                    places.append(number)
        names = dict.fromkeys([*self.columns, *(key for row in rows for key in row)], pl.String)
        return Made(pl.DataFrame(rows, schema=names), pl.Series(places, dtype=pl.UInt64), tuple(rejected))

    def _text(self, key: str, value: Any) -> str | None:
        if key in self._sets and isinstance(value, list | tuple):
            return "|".join(dict.fromkeys(_leaves(value))) or None
        if isinstance(value, dict | list | tuple):
            return json.dumps(value, ensure_ascii=False, default=str)
        return None if value is None or value == "" else str(value)


def _literal(line: str) -> dict[str, Any] | str:
    """The dictionary, or why it is none."""
    if len(line) > LONGEST:
        return f"a line of {len(line):,} characters, more than {LONGEST:,}"
    if _depth(line) > DEEPEST:
        return f"brackets more than {DEEPEST} deep"
    try:
        found = ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        return f"no Python dictionary ({type(error).__name__})"
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        return "no Python dictionary with names for keys"
    if not _is_text(found):
        return "half of a surrogate pair, which is no character"
    return found


def _depth(line: str) -> int:
    depth = deepest = 0
    for character in line:
        if character in OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif character in CLOSING:
            depth -= 1
    return deepest


def _is_text(found: object) -> bool:
    """Whether all of it can be written down: an escape may stand for half of a character."""
    try:
        str(found).encode()
        return not any("\ud800" <= character <= "\udfff" for text in _leaves([found]) for character in text)
    except UnicodeEncodeError:
        return False


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in _leaves(one)]
    if isinstance(value, list | tuple | set | frozenset):
        return [text for one in value for text in _leaves(one)]
    return [] if value is None or value == "" else [str(value)]
