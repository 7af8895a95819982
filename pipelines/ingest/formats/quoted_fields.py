"""Quoted fields of Book-Crossing: semicolons, a backslash before a quote mark, NULL for nothing, separators inside."""

import re

import polars as pl

from pipelines.ingest.readers import Made, Rejected

_FIELD = re.compile(r'"((?:[^"\\]|\\.|"(?!;|$))*)"(?:;|$)|([^";]*)(?:;|$)')
NULL = "NULL"


class QuotedFields:
    """Rows of lines like `"1";"a; \\"b\\"";NULL`; the first line names the columns."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self._begun = False

    def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
        """Rows of some lines."""
        rows, places, rejected = [], [], []
        header = 0 if self._begun or lines.is_empty() else 1
        self._begun = self._begun or header == 1
        for line, number in zip(lines[header:], numbers[header:], strict=True):
            fields = _fields(line)
            if len(fields) == len(self.columns):
                rows.append(fields)
                places.append(number)
            else:
                reason = f"{len(fields)} fields, where the header names {len(self.columns)}"
                rejected.append(Rejected(number, line, reason))
        table = pl.DataFrame(rows, schema=dict.fromkeys(self.columns, pl.String), orient="row")
        return Made(table, pl.Series(places, dtype=pl.UInt64), tuple(rejected), structure=header)


def _fields(line: str) -> list[str | None]:
    found: list[str | None] = []
    at = 0
    while at <= len(line):
        match = _FIELD.match(line, at)
        if match is None:
            return []
        quoted, plain = match.groups()
        found.append(quoted.replace('\\"', '"') if quoted is not None else (plain if plain not in ("", NULL) else None))
        if match.end() == len(line) and not line.endswith(";", at):
            break
        at = match.end()
    return found
