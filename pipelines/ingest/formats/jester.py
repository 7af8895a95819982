"""Jester: jokes rated from -10 to 10. Source: K. Goldberg et al., "Eigentaste", 2001; eigentaste.berkeley.edu/dataset.

Dataset 1 (as CSV) has a user a line: how many jokes were rated, then a rating a joke, 99 where there is none. Dataset 2
(jester_ratings.dat) has a rating a line, its fields two tabs apart. Ratings of 0 and less are no weights: they go to
quarantine, as in any other log.
"""

import polars as pl

from pipelines.ingest.formats.format import Format
from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.readers import Kind, Layout, Made, Rejected
from recsys_vae.data.columns import ITEM, USER, WEIGHT

NOT_RATED = 99.0
JOKES = (100, 150, 158)
"""How many jokes the editions have."""


class JokeRows:
    """Rows of lines `RATED,RATING,RATING,...`; users and jokes are called by their numbers from 1."""

    columns = (USER, ITEM, WEIGHT)

    def __init__(self) -> None:
        self._users = 0
        self._width = 0

    def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
        """Rows of some lines; those of another width than the first one are rejected."""
        fields = lines.str.strip_chars().str.split(",")
        widths = fields.list.len()
        self._width = self._width or (int(widths[0]) if len(widths) else 0)
        fits = widths == self._width
        wrong = pl.DataFrame({"number": numbers, "line": lines}).filter(~fits)
        rejected = tuple(
            Rejected(n, line, f"not the {self._width} fields of the first line") for n, line in wrong.rows()
        )
        users = pl.Series(range(self._users + 1, self._users + 1 + int(fits.sum())), dtype=pl.Int64)
        self._users += len(users)
        table = pl.DataFrame(
            {
                USER: users.cast(pl.String),
                WEIGHT: fields.filter(fits).list.slice(1).list.eval(pl.element().str.strip_chars()),
                "line": numbers.filter(fits),
            }
        )
        jokes = pl.int_ranges(1, pl.col(WEIGHT).list.len() + 1).cast(pl.List(pl.String)).alias(ITEM)
        # A rating that is no number stays, to be quarantined with its reason.
        is_rated = pl.col(WEIGHT).cast(pl.Float64, strict=False).ne_missing(NOT_RATED) & (pl.col(WEIGHT) != "")
        rows = table.with_columns(jokes).explode(WEIGHT, ITEM).filter(is_rated)
        empty = len(users) - rows["line"].n_unique()
        return Made(rows.select(self.columns), rows["line"], rejected, structure=empty)


def _is_rows(peek: Peek) -> bool:
    rows = peek.rows(",")
    return {len(row) - 1 for row in rows} <= set(JOKES) and all(map(_is_of_jokes, rows))


def _is_of_jokes(row: list[str]) -> bool:
    try:
        return all(-10 <= float(field) <= 10 or float(field) == NOT_RATED for field in row[1:])
    except ValueError:
        return False


FORMATS = (
    Format(
        "jester",
        "Jester dataset 1 or 3, a user a line",
        _is_rows,
        Layout(Kind.LINES, make_transformer=JokeRows),
    ),
    Format(
        "jester-ratings",
        "Jester dataset 2, jester_ratings.dat",
        lambda peek: peek.matches(r"\d+\t\t\d+\t\t-?\d*\.?\d+\s*"),
        Layout(separator="\t\t", quote=None, header=False, columns=(USER, ITEM, WEIGHT)),
    ),
)
