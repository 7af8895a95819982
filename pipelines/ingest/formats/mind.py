"""MIND: news, and what was clicked of what was shown. Source: F. Wu et al., "MIND", ACL 2020; msnews.github.io.

A line of behaviors.tsv is one visit: number, user, time as `11/15/2019 10:22:32 AM`, the news read before, and the news
shown, `N1-1` where clicked and `N2-0` where not. A click is an event. The history has no times and is the same in all
lines of a user, so it makes no rows.
"""

import polars as pl

from pipelines.ingest.formats.format import Format, Role
from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.readers import Kind, Layout, Made, Rejected
from recsys_vae.data.columns import EVENT_TYPE, ITEM, TIMESTAMP, USER

TIME_FORMAT = "%m/%d/%Y %I:%M:%S %p"
NEWS = (ITEM, "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")
VISIT = r"\d+\t[^\t]+\t\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d:\d\d [AP]M\t(?:N\d+ ?)*\t(?:N\d+(?:-[01])? ?)*"
FIELDS = ("visit", USER, TIMESTAMP, "history", ITEM)


class Clicks:
    """A row a click; a visit without any is a line and no row."""

    columns = (USER, ITEM, EVENT_TYPE, TIMESTAMP)

    def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
        """Rows of some lines."""
        n_fields = lines.str.count_matches("\t") + 1
        is_visit = n_fields == len(FIELDS)
        wrong = pl.DataFrame({"number": numbers, "line": lines}).filter(~is_visit)
        rejected = tuple(Rejected(n, line, f"not the {len(FIELDS)} fields of a visit") for n, line in wrong.rows())
        fields = lines.filter(is_visit).str.split_exact("\t", len(FIELDS) - 1).struct.rename_fields(list(FIELDS))
        visits = fields.struct.unnest().with_columns(numbers.filter(is_visit).alias("line"))
        shown = pl.col(ITEM).str.split(" ")
        clicked = shown.list.eval(pl.element().filter(pl.element().str.ends_with("-1")).str.strip_suffix("-1"))
        moment = pl.col(TIMESTAMP).str.to_datetime(TIME_FORMAT, strict=False, time_unit="us")
        # A time that is none stays as it is, to be quarantined with its reason.
        time = pl.coalesce(moment.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), TIMESTAMP)
        rows = visits.with_columns(clicked.alias(ITEM), time, pl.lit("click").alias(EVENT_TYPE))
        rows = rows.filter(pl.col(ITEM).list.len() > 0).explode(ITEM)
        return Made(
            rows.select(self.columns), rows["line"], rejected, structure=visits.height - rows["line"].n_unique()
        )


def _is_news(peek: Peek) -> bool:
    return peek.matches(r"N\d+(?:\t[^\t]*){7}")


FORMATS = (
    Format(
        "mind",
        "MIND, behaviors.tsv: the clicks",
        lambda peek: peek.matches(VISIT),
        Layout(Kind.LINES, make_transformer=Clicks),
    ),
    Format(
        "mind-items",
        "MIND, news.tsv",
        _is_news,
        Layout(separator="\t", quote=None, header=False, columns=NEWS),
        Role.ITEMS,
    ),
)
