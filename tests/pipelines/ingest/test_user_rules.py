import numpy as np
import polars as pl
import pytest

from pipelines.ingest.cleaning import RULES
from pipelines.ingest.kept_rows import Ids
from pipelines.ingest.user_rules import UserFacts, mark_busy_users, mark_returns

PLACES = np.arange(2, dtype=np.uint32)
IDS = Ids(pl.Series(["ann", "bot"]), PLACES, pl.Series(["x", "y"]), PLACES, pl.Series(["buy", "view"]))


def frame(*rows):
    """Rows of user, item, event type and weight, in order."""
    schema = {"user_id": pl.UInt32, "item_id": pl.UInt32, "event_type": pl.String, "weight": pl.Float32}
    table = pl.DataFrame(list(rows), schema=schema, orient="row").with_row_index("row")
    return table.with_columns(
        pl.lit(0, dtype=pl.UInt32).alias("file"),
        pl.lit(None, dtype=pl.UInt32).alias("position"),
        (pl.col("row").cast(pl.Int64) * 1_000_000).cast(pl.Datetime("us", "UTC")).alias("timestamp"),
        pl.lit(None, dtype=RULES).alias("lost_to"),
    )


def marks(marked):
    return list(marked.sort("row").select("lost_to", "weight").iter_rows())


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0, 0, None, 2.0), (0, 0, None, -2.0)], [("returned", 2), ("return", -2)]),
        ([(0, 0, None, 3.0), (0, 0, None, -1.0)], [(None, 2), ("return", -1)]),
        (  # the latest before it first, as far as it goes
            [(0, 0, None, 1.0), (0, 0, None, 2.0), (0, 0, None, -2.5), (0, 0, None, 4.0)],
            [(None, 0.5), ("returned", 2), ("return", -2.5), (None, 4)],
        ),
        ([(0, 0, None, -1.0), (0, 0, None, 1.0)], [("return", -1), (None, 1)]),  # nothing was bought before
        ([(0, 0, None, 1.0), (0, 1, None, -1.0), (1, 0, None, -1.0)], [(None, 1), ("return", -1), ("return", -1)]),
        (  # a view is no purchase where there are purchases
            [(0, 0, "buy", 1.0), (0, 0, "view", 1.0), (0, 0, "buy", -1.0)],
            [("returned", 1), (None, 1), ("return", -1)],
        ),
        ([(0, 0, "buy", 1.0), (0, 0, "refund", -1.0)], [("returned", 1), ("return", -1)]),
        ([(0, 0, None, 1.0)], [(None, 1)]),
    ],
)
def test_a_return_takes_back_the_purchase_that_it_belongs_to(rows, expected):
    assert marks(mark_returns(frame(*rows))) == expected


def test_users_with_too_many_rows_are_lost_whole_and_named():
    rows = frame(*[(1, item, None, 1.0) for item in range(3)], (0, 0, None, 1.0), (0, 0, None, 1.0))
    marked = mark_busy_users(rows, 2)
    assert [mark for mark, _ in marks(marked)] == ["max_events_per_user"] * 3 + [None] * 2
    facts = UserFacts(IDS)
    facts.count_busy(marked)
    assert facts.notes() == (
        "1 user has more rows than --max-events-per-user and is left out: bot (3 rows)",
    )  # fmt: skip
    facts = UserFacts(IDS)
    facts.count_busy(mark_busy_users(rows, 3))
    assert facts.notes() == ()


def test_duplicates_without_an_event_type_are_counted_also_where_a_part_has_none_at_all():
    ids = Ids(pl.Series(["u"]), np.zeros(1, np.uint32), pl.Series(["a"]), np.zeros(1, np.uint32), pl.Series(["view"]))
    rows = pl.DataFrame({"user_id": [0, 0, 0], "item_id": [0, 0, 0]})
    facts = UserFacts(ids)
    facts.count_duplicates(rows, rows.head(1))
    assert [(one.name, one.rows) for one in facts.duplicates()] == [("no event type", 2)]
