"""Compiled cleaning beside cleaning.py's: equal rows, equal counts."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.ingest import cleaning, cleaning_compiled
from pipelines.ingest.cleaning import DROPPED_BY, Keep, Rule
from pipelines.ingest.dropped_rows import ITEM_ENTITY, USER_ENTITY, DroppedRows
from pipelines.ingest.repeats import PAIR
from pipelines.ingest.user_partitions import Part, whole
from recsys_vae.native import table_rows
from recsys_vae.native.tables import tables

pytestmark = pytest.mark.skipif(tables() is None, reason="nothing is compiled here")
USERS, ITEMS = 5, 6
ROW = st.tuples(
    st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), st.integers(-3, 3), st.sampled_from([0.5, 1.0, 2.0])
)
COLUMNS = ["user_id", "item_id", "event_type", "weight", "timestamp", "position"]


def rows_of(rows: list[tuple[int, int, int, float]], order: str) -> pl.DataFrame:
    users, items, orders, weights = zip(*rows, strict=True)
    frame = pl.DataFrame(
        {"user_id": users, "item_id": items, "weight": weights},
        schema={"user_id": pl.UInt32, "item_id": pl.UInt32, "weight": pl.Float32},
    )
    if order == "timestamp":
        return frame.with_columns(pl.Series("timestamp", orders).cast(pl.Datetime("us", "UTC")))
    if order == "position":
        return frame.with_columns(pl.Series("position", [number + 3 for number in orders], dtype=pl.UInt32))
    return frame


def part_of(rows: pl.DataFrame, users: tuple[int, int]) -> Part:
    part = Part(users=users)
    part.add(rows)
    return part


def losses() -> DroppedRows:
    return DroppedRows(pl.Series([f"u{n}" for n in range(USERS)]), pl.Series([f"i{n}" for n in range(ITEMS)]))


def assert_same(one: DroppedRows, other: DroppedRows) -> None:
    for rule in Rule:
        for entity in (USER_ENTITY, ITEM_ENTITY):
            assert one.counts(entity, rule).tolist() == other.counts(entity, rule).tolist()


@pytest.fixture(params=[0, table_rows.ROWS_FOR_TWO], ids=["two threads", "one"], scope="module")
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_rows, "ROWS_FOR_TWO", request.param)
        yield


@pytest.mark.usefixtures("threads")
@settings(deadline=None, max_examples=80)
@given(
    st.lists(ROW, min_size=1, max_size=30),
    st.sampled_from(["timestamp", "position", "none"]),
    st.sampled_from([Keep.LAST, Keep.FIRST, Keep.MAX]),
)
def test_duplicates_and_positions(rows: list[tuple[int, int, int, float]], order: str, keep: Keep) -> None:
    frame, counted, expected_losses = rows_of(rows, order), losses(), losses()
    left = cleaning_compiled.drop_duplicates(frame, keep, counted)
    assert left is not None
    assert left.is_repeated.equals(frame.select(PAIR.is_duplicated()).to_series())
    numbered = cleaning_compiled.number_positions(left.rows)
    assert numbered is not None
    marked = cleaning.drop_duplicates(whole(frame).lazy(), keep).collect()
    expected_losses.add(marked)
    expected = cleaning.number_positions(marked.lazy().filter(pl.col(DROPPED_BY).is_null())).collect()
    assert whole(numbered).select(COLUMNS).equals(expected.select(COLUMNS))
    assert_same(counted, expected_losses)


@settings(deadline=None, max_examples=100)
@given(
    st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=40),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_the_core(pairs: set[tuple[int, int]], min_user: int, min_item: int) -> None:
    schema = {"user_id": pl.UInt32, "item_id": pl.UInt32}
    parts = [
        pl.DataFrame([p for p in sorted(pairs) if (p[0] < 4) == low], schema, orient="row") for low in (True, False)
    ]
    ids = pl.Series([str(n) for n in range(8)])
    counted, expected_losses = DroppedRows(ids, ids), DroppedRows(ids, ids)
    core = cleaning_compiled.k_core([part_of(part, (0, 8)) for part in parts], min_user, min_item, 8)
    assert core is not None
    left = [one.thin(part, counted) for one, part in zip(core, parts, strict=True)]
    plain = cleaning.k_core([part.lazy() for part in parts], min_user, min_item)
    for number, part in enumerate(parts):
        null = pl.lit(None, dtype=cleaning.RULES).alias(DROPPED_BY)
        marked = plain.mark_losses(part.lazy().with_columns(null), number).collect()
        expected_losses.add(marked)
        assert left[number].equals(marked.filter(pl.col(DROPPED_BY).is_null()).select("user_id", "item_id"))
    assert_same(counted, expected_losses)
    assert {one.rounds for one in core} == {plain.rounds}


def test_other_cases_are_left_to_cleaning(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = rows_of([(0, 0, 1, 1.0), (0, 1, 2, 1.0)], "timestamp")
    assert cleaning_compiled.drop_duplicates(frame, Keep.SUM, losses()) is None
    untimed = frame.with_columns(pl.when(pl.col("item_id") == 0).then("timestamp"))
    assert cleaning_compiled.drop_duplicates(untimed, Keep.LAST, losses()) is None
    assert cleaning_compiled.number_positions(whole(frame)) is None
    monkeypatch.setenv("RECSYS_NATIVE", "0")
    assert cleaning_compiled.drop_duplicates(frame, Keep.LAST, losses()) is None
    assert cleaning_compiled.k_core([part_of(frame, (0, USERS))], 1, 1, ITEMS) is None


@pytest.mark.usefixtures("threads")
def test_long_histories_are_sorted_too() -> None:
    chance = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "user_id": np.zeros(200, np.uint32),
            "item_id": np.arange(200, dtype=np.uint32) % ITEMS,
            "weight": np.ones(200, np.float32),
            "timestamp": pl.Series(chance.integers(0, 50, 200)).cast(pl.Datetime("us", "UTC")),
        }
    )
    left = cleaning_compiled.drop_duplicates(frame, Keep.LAST, losses())
    marked = cleaning.drop_duplicates(whole(frame).lazy(), Keep.LAST).collect()
    expected = cleaning.number_positions(marked.lazy().filter(pl.col(DROPPED_BY).is_null())).collect()
    assert left is not None
    assert left.rows["item_id"].to_list() == expected["item_id"].to_list()
