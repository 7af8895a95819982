"""Netflix Prize: sections of a film each. Source: the README of the Netflix Prize, 2006.

A heading `1:` names the film of the lines under it, `CUSTOMER,RATING,DATE`. movie_titles.csv is Latin-1, and nothing
quotes the commas in its titles.
"""

import polars as pl

from pipelines.ingest.formats.format import Format, Role
from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.readers import Kind, Layout, Made, Rejected
from recsys_vae.data.columns import ITEM, TIMESTAMP, USER, WEIGHT

HEADING, RATING = r"^\s*(\d+):\s*$", r"^\s*(\d+),(\d+),(\d{4}-\d\d-\d\d)\s*$"
TITLE = r"^(\d+),(\d{4}|NULL),(.*)$"


class Sections:
    """Rows of lines under headings."""

    columns = (USER, ITEM, WEIGHT, TIMESTAMP)

    def __init__(self) -> None:
        self._film: str | None = None

    def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
        """Rows of some lines; the last heading holds for those that follow."""
        parts = lines.str.extract_groups(RATING).struct.rename_fields([USER, WEIGHT, TIMESTAMP]).struct.unnest()
        headings = lines.str.extract(HEADING)
        films = headings.fill_null(strategy="forward").fill_null(self._film or "")
        self._film = (films[-1] or None) if len(films) else self._film
        table = parts.with_columns(films.alias(ITEM), numbers.alias("number"), lines.alias("line"))
        is_row = parts[USER].is_not_null() & (films != "")
        bad = table.filter(~is_row & headings.is_null())
        rejected = tuple(Rejected(row["number"], row["line"], _why(row[ITEM])) for row in bad.iter_rows(named=True))
        good = table.filter(is_row)
        return Made(good.select(self.columns), good["number"], rejected, structure=int(headings.count()))


def _why(film: str) -> str:
    return "not of the form CUSTOMER,RATING,DATE" if film else "no heading above it names a film"


class Titles:
    """Rows of movie_titles.csv: all after the second comma is title."""

    columns = (ITEM, "year", "title")

    def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
        """Rows of some lines."""
        parts = lines.str.extract_groups(TITLE).struct.rename_fields(list(self.columns)).struct.unnest()
        is_row = parts[ITEM].is_not_null()
        bad = pl.DataFrame({"number": numbers, "line": lines}).filter(~is_row)
        rejected = tuple(Rejected(number, line, "not of the form FILM,YEAR,TITLE") for number, line in bad.iter_rows())
        year = pl.when(pl.col("year") != "NULL").then("year")
        return Made(parts.filter(is_row).with_columns(year), numbers.filter(is_row), rejected)


def _is_ratings(peek: Peek) -> bool:
    rest = peek.lines[1:]
    return Peek(peek.name, (peek.header,)).matches(r"\d+:") and (
        not rest or Peek(peek.name, rest).matches(r"\d+:|\d+,[1-5],\d{4}-\d\d-\d\d")
    )


FORMATS = (
    Format("netflix", "Netflix Prize, ratings", _is_ratings, Layout(Kind.LINES, make_transformer=Sections)),
    Format(
        "netflix-items",
        "Netflix Prize, movie_titles.csv",
        lambda peek: peek.matches(TITLE),
        Layout(Kind.LINES, encoding="latin-1", make_transformer=Titles),
        Role.ITEMS,
    ),
)
