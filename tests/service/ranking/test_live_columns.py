from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import FieldError
from service.ranking import live_columns
from service.ranking.filters import And, Condition, Eq, Filters, In, Not, Or, Range
from service.ranking.live_columns import Column, Columns, Snapshot

TABLE = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "genre": ["x", "y", None, "x"],
        "year": [1990, 2000, 2010, None],
        "tags": [["u", "v"], [], None, ["v"]],
        "day": [date(2020, 1, 1), None, date(2021, 1, 1), date(2022, 1, 1)],
    }
).with_columns(pl.Series("byte", [1, 2, 3, None], dtype=pl.Int8), pl.Series("codes", [[1], [2], [], None]))
ROWS = np.arange(4)


def fits(filters: Filters, condition: Condition) -> str:
    return "".join(np.array(["a", "b", "c", "d"])[filters.mask(condition)])


def test_a_changed_row_holds_what_it_was_given_and_else_what_the_bundle_says() -> None:
    columns = Columns(TABLE)
    assert columns.put(1, {"genre": "z", "price": 9.5, "tags": ("p",), "day": "2023-01-01"}) == []
    assert columns.values(ROWS, ["genre", "price", "tags", "no"]) == [
        ["x", "z", None, "x"], [None, 9.5, None, None], [["u", "v"], ("p",), None, ["v"]], [None] * 4,
    ]  # fmt: skip
    columns.put(1, {"genre": None})
    assert columns.values(ROWS, ["genre", "price", "tags"])[0] == ["x", None, None, "x"]
    assert columns.values(ROWS, ["price", "tags"]) == [[None] * 4, [["u", "v"], [], None, ["v"]]]


def test_values_that_do_not_fit_are_named_and_left_out() -> None:
    columns = Columns(TABLE)
    assert columns.put(0, {"genre": 1, "year": "old", "day": "soon", "codes": (1.5,), "tags": "p|q"}) == [
        "genre", "year", "day", "codes",
    ]  # fmt: skip
    assert columns.values(np.array([0]), ["genre", "year", "tags"]) == [["x"], [1990], ["p|q"]]
    assert columns.misfit("year", "old") == "column 'year' holds Int64, which 'old' does not fit"
    assert columns.misfit("nothing", "old") is None


@pytest.mark.parametrize(("name", "value"), [("year", 2000.5), ("byte", 300), ("byte", -1e9)])
def test_a_column_of_whole_numbers_takes_any_number(name: str, value: float) -> None:
    filters = Filters(TABLE)
    before = filters.mask(Range(name, 0))
    filters.metadata.put(1, {name: value})
    assert fits(filters, Eq(name, value)) == "b"
    assert fits(filters, Range(name, 0)) == ("ac" if value < 0 else "abc")
    assert before.tolist() == [True, True, True, False]


def test_a_mask_that_was_handed_out_stays_as_it_was_and_the_next_knows_the_change() -> None:
    filters = Filters(TABLE)
    first, other = filters.mask(Eq("genre", "x")), filters.mask(Eq("year", 1990))
    filters.metadata.put(1, {"genre": "x"})
    second = filters.mask(Eq("genre", "x"))
    assert (first.tolist(), second.tolist()) == ([True, False, False, True], [True, True, False, True])
    assert filters.mask(Eq("year", 1990)) is other  # of another column


def test_masks_among_others_are_the_same_object_until_either_changes() -> None:
    filters = Filters(TABLE)
    shown = np.array([True, False, True, True])
    first = filters.mask_among(In("genre", ("x", "y")), shown)
    assert filters.mask_among(In("genre", ("x", "y")), shown) is first
    assert first.tolist() == [True, False, False, True]
    assert filters.mask_among(In("genre", ("x", "y")), ~shown).tolist() == [False, True, False, False]


def test_a_new_column_can_be_asked_for_and_grows_with_the_table() -> None:
    filters = Filters(TABLE.clear())
    with pytest.raises(FieldError, match="no column 'price'"):
        filters.mask(Eq("price", 1))
    for row in range(3):
        filters.metadata.grow(row + 1)
        filters.metadata.put(row, {"price": row})
        assert filters.mask(Range("price", 1)).tolist() == [False, True, True][: row + 1]


values = st.fixed_dictionaries(
    {},
    optional={
        "genre": st.none() | st.sampled_from("xyz"),
        "year": st.none() | st.sampled_from([1990, 2000, 1995.5]),
        "price": st.none() | st.integers(0, 3),
        "tags": st.none() | st.lists(st.sampled_from("uvw")).map(tuple),
    },
)
conditions = st.sampled_from(
    [
        Eq("genre", "x"), Not(Eq("genre", "x")), Range("year", 1992), Eq("tags", "v"), Range("price", 1, 2),
        And((Eq("genre", "x"), Range("price", 1))), Or((In("tags", ("u", "w")), Eq("year", 1990))),
    ]
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), values, conditions), max_size=12))
def test_whatever_is_changed_masks_are_those_of_a_table_that_was_so_from_the_start(steps: list) -> None:
    before = live_columns.MOST_PENDING, live_columns.LONGEST_LOG
    live_columns.MOST_PENDING, live_columns.LONGEST_LOG = 1, 3  # type: ignore[misc]  # rows are merged, logs are cut
    try:
        filters = Filters(TABLE)
        filters.metadata.have({"price": 0})
        rows = TABLE.with_columns(pl.lit(None, pl.Float64).alias("price"), pl.col("year").cast(pl.Float64)).to_dicts()
        bundle = [dict(row) for row in rows]
        for row, changed, condition in steps:
            filters.metadata.put(row, changed)
            rows[row] = bundle[row] | {name: list(v) if isinstance(v, tuple) else v for name, v in changed.items()}
            schema = TABLE.schema | {"price": pl.Float64(), "year": pl.Float64()}
            expected = Filters(pl.DataFrame(rows, schema=schema)).mask(condition)
            assert filters.mask(condition).tolist() == expected.tolist()
    finally:
        live_columns.MOST_PENDING, live_columns.LONGEST_LOG = before  # type: ignore[misc]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["genre", "year", "tags", "price"])), max_size=12))
def test_a_snapshot_shows_columns_as_they_were(changes: list[tuple[int, str]]) -> None:
    values = {"genre": ("p", None, "q"), "year": (1, None, 2), "tags": (("p",), None, ()), "price": (1.5, None, 3)}
    columns = Columns(TABLE)
    columns.put(2, {"price": 9.5})
    names = ["genre", "year", "tags", "price"]
    seen = []
    for number, (row, name) in enumerate(changes):
        snapshot, frozen = Snapshot(columns, names), [columns[name].frozen() for name in names]
        cells = [columns[name].gather(ROWS).to_list() for name in names]
        seen.append((snapshot, snapshot.values(ROWS), frozen, cells))
        columns.put(row, {name: values[name][number % 3]})
        for earlier, found, columns_then, cells_then in seen:
            assert earlier.values(ROWS) == found
            assert [column.gather(ROWS).to_list() for column in columns_then] == cells_then


def test_a_frozen_column_outlives_merges_growth_and_wider_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_columns, "MOST_PENDING", 1)
    columns = Columns(TABLE)
    columns.put(0, {"year": 1})
    column = columns["year"]
    frozen = column.frozen()
    assert column.frozen() is frozen
    for row, year in ((1, 2), (2, 3.5), (3, 4)):
        columns.put(row, {"year": year})
        assert column.frozen() is not frozen
        assert len(column.stale) == 4
    columns.grow(6)
    assert frozen.gather(ROWS).to_list() == [1, 2000, 2010, None]
    assert column.frozen().gather(np.arange(6)).to_list() == [1, 2, 3.5, 4, None, None]


@pytest.mark.parametrize("values", [["a"], ["a", "b"], ["c"]])
def test_a_frozen_column_says_which_rows_hold_one_of_some_values(values: list[str]) -> None:
    plain, lists = Column(pl.Series(["a", "b", None, "c"])), Column(pl.Series([["a", "x"], [], None, ["b", "c"]]))
    plain.put(1, "a")
    plain.put(3, None)
    lists.put(2, ("c", "a"))
    assert plain.frozen().holds(values).tolist() == [cell in values for cell in ("a", "a", None, None)]
    cells = (["a", "x"], [], ["c", "a"], ["b", "c"])
    assert lists.frozen().holds(values).tolist() == [not set(values).isdisjoint(cell) for cell in cells]
