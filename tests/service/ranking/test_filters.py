from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import FieldError
from service.ranking import filters
from service.ranking.filters import And, Condition, Eq, Filters, In, Not, Or, Range

TABLE = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "genre": ["x", "y", None, "x"],
        "year": [1990, 2000, 2010, None],
        "price": [0.5, None, float("nan"), 2.0],
        "tags": [["u", "v"], [], None, ["v"]],
        "new": [True, False, None, True],
        "day": [date(2020, 1, 1), None, date(2021, 1, 1), date(2022, 1, 1)],
    }
).with_columns(
    pl.Series("single", [0.1, 0.2, None, 0.3], dtype=pl.Float32),
    pl.Series("byte", [1, 2, 3, None], dtype=pl.Int8),
    pl.Series("kind", ["p", "q", None, "p"], dtype=pl.Categorical),
    pl.Series("local", [datetime(2020, 1, 1), None, datetime(2021, 1, 1), None], dtype=pl.Datetime("ns")),
    pl.Series("zoned", [datetime(2020, 1, 1, tzinfo=UTC), None, None, None], dtype=pl.Datetime("us", "UTC")),
    pl.Series("odd", [{"a": 1}] * 4),
)


def fits(condition: Condition) -> str:
    """Ids of the items that fit, as one word."""
    return "".join(np.array(["a", "b", "c", "d"])[Filters(TABLE).mask(condition)])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Eq("genre", "x"), "ad"),
        (In("genre", ("x", "y")), "abd"),
        (Not(Eq("genre", "x")), "bc"),
        (And((Eq("genre", "x"), Eq("year", 1990))), "a"),
        (Or((Eq("genre", "y"), Eq("year", 1990))), "ab"),
        (Range("year", 1995), "bc"),
        (Range("year", 1990, 2000), "ab"),
        (Range("year", 1999.5, 1e18), "bc"),
        (Eq("year", 2000.0), "b"),
        (In("year", (2000.5, 10**30)), ""),
        (Range("price", 0), "ad"),
        (Range("price", None, 10), "ad"),
        (Eq("price", 2), "d"),
        (Eq("single", 0.1), "a"),
        (Range("single", 0.1, 0.2), "ab"),
        (Eq("byte", 1000), ""),
        (Range("byte", -1000, 2), "ab"),
        (Eq("tags", "v"), "ad"),
        (In("tags", ("u", "w")), "a"),
        (Eq("new", True), "ad"),
        (Eq("new", False), "b"),
        (Range("day", "2020-06-01"), "cd"),
        (Range("local", "2020-06-01"), "c"),
        (Range("local", None, "2020-01-01T01:00:00+01:00"), "a"),
        (Eq("zoned", "2020-01-01"), "a"),
        (Eq("kind", "p"), "ad"),
        (Range("kind", "q"), "b"),
    ],
)
def test_conditions_choose_the_items_that_fit(condition: Condition, expected: str) -> None:
    assert fits(condition) == expected


leaves = st.one_of(
    st.builds(Eq, st.just("year"), st.sampled_from([1990, 2000, 2010, 5])),
    st.builds(In, st.just("genre"), st.lists(st.sampled_from("xyz"), min_size=1).map(tuple)),
    st.builds(Range, st.just("year"), st.integers(1980, 2020), st.none() | st.integers(1980, 2020)),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        *(st.builds(kind, st.lists(inner, min_size=1, max_size=3).map(tuple)) for kind in (And, Or)),
    ),
    max_leaves=8,
)


def holds(condition: Condition, row: dict) -> bool:
    match condition:
        case And(of):
            return all(holds(part, row) for part in of)
        case Or(of):
            return any(holds(part, row) for part in of)
        case Not(of):
            return not holds(of, row)
        case Eq(column, value):
            return row[column] == value
        case In(column, values):
            return row[column] in values
        case Range(column, smallest, largest):
            value = row[column]
            return value is not None and value >= smallest and (largest is None or value <= largest)


@settings(max_examples=100, deadline=None)
@given(trees)
def test_trees_of_conditions_agree_with_one_item_at_a_time(condition: Condition) -> None:
    assert fits(condition) == "".join(row["item_id"] for row in TABLE.to_dicts() if holds(condition, row))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Eq("colour", "red"), r"no column 'colour'; there are: genre \(String\), year \(Int64\)"),
        (Eq("odd", 1), "no column 'odd'"),
        (Eq("item_id", "a"), "no column 'item_id'"),
        (Eq("genre", 1), "'genre' holds String, which 1 does not fit"),
        (Eq("year", "1990"), "'year' holds Int64, which '1990' does not fit"),
        (Eq("year", True), "which True does not fit"),
        (Eq("new", 1), "'new' holds Boolean"),
        (Range("day", "yesterday"), "'day' holds Date"),
        (Range("zoned", "0001-01-01T00:00:00+14:00"), "does not fit"),
        (Range("tags", "a"), "has no order"),
        (Range("new", True), "has no order"),
        (And((Eq("genre", "x"), Not(Eq("nope", 1)))), "no column 'nope'"),
    ],
)
def test_what_does_not_fit_the_metadata_names_the_field(condition: Condition, words: str) -> None:
    with pytest.raises(FieldError, match=words) as caught:
        Filters(TABLE).mask(condition, "body.filter")
    assert caught.value.fault.field == "body.filter"


def test_a_mask_is_made_once_and_old_ones_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "CACHED_BYTES", 2 * TABLE.height)
    catalogue = Filters(TABLE)
    first = catalogue.mask(Eq("genre", "x"))
    assert catalogue.mask(Eq("genre", "x")) is first
    assert not first.flags.writeable
    catalogue.mask(Eq("genre", "y"))
    assert catalogue.mask(Eq("genre", "x")) is first
    catalogue.mask(Eq("year", 1990))
    catalogue.mask(Eq("year", 2000))
    assert catalogue.mask(Eq("genre", "x")) is not first


def test_equal_numbers_of_other_types_have_masks_of_their_own() -> None:
    catalogue = Filters(TABLE)
    assert catalogue.mask(Eq("year", 1)).sum() == 0
    with pytest.raises(FieldError):
        catalogue.mask(Eq("year", True))


def test_a_mask_grows_with_the_catalogue_whatever_the_new_items_hold() -> None:
    filters = Filters(TABLE)
    wanted, others = Not(Eq("genre", "x")), np.ones(5, dtype=np.bool_)
    assert filters.mask(wanted).tolist() == [False, True, True, False]
    filters.metadata.grow(5)  # an item that nothing is known of but that it is hidden
    assert filters.mask(wanted).tolist() == [False, True, True, False, True]
    assert filters.mask_among(wanted, others).tolist() == [False, True, True, False, True]
