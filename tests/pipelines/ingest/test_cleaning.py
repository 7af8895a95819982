from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.ingest.cleaning import (
    CleaningRules,
    Keep,
    drop_duplicates,
    k_core,
    mark_losses,
    number_positions,
    weigh_events,
)
from pipelines.ingest.table_schemas import INTERACTIONS
from recsys_vae.data.signals import KEEPS
from recsys_vae.errors import ConfigError

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def typed(**columns) -> pl.LazyFrame:
    """Rows as the contract gives them; what is not named is null."""
    rows = len(next(iter(columns.values())))
    columns = {"user_id": ["u"] * rows, "item_id": ["i"] * rows} | columns
    keys = {"file": pl.UInt32(), "row": pl.UInt64(), "reason": pl.String(), "lost_to": pl.String()}
    schema = dict(INTERACTIONS.schema) | keys
    columns = {"file": [0] * rows, "row": list(range(rows))} | columns
    return pl.LazyFrame({name: columns.get(name, [None] * rows) for name in schema}, schema=schema)


def days(*numbers):
    return [None if n is None else DAY + timedelta(days=n) for n in numbers]


def test_the_first_rule_that_takes_a_row_is_named():
    rules = CleaningRules(min_rating=4, since=DAY, until=DAY + timedelta(days=2))
    frame = typed(weight=[3, 4, 4, 4, None, 4], timestamp=days(-1, -1, 0, 2, 0, None))
    assert mark_losses(frame, rules).collect()["lost_to"].to_list() == [
        "min_rating", "since", None, "until", "min_rating", "no_timestamp",
    ]  # fmt: skip


def test_without_rules_nothing_is_lost():
    assert mark_losses(typed(weight=[None]), CleaningRules()).collect()["lost_to"].to_list() == [None]


def test_event_weights_multiply_and_unknown_events_break_the_contract():
    rules = CleaningRules(event_weights=(("view", 1), ("buy", 3)))
    frame = weigh_events(typed(event_type=["view", "buy", "buy", "sell", None], weight=[None, None, 2, 1, 1]), rules)
    unknown = "event_type has no weight"
    assert frame.collect()["weight"].to_list()[:3] == [1, 3, 6]
    assert frame.collect()["reason"].to_list() == [None, None, None, unknown, unknown]


def test_a_missing_weight_is_one():
    assert weigh_events(typed(weight=[None, 5]), CleaningRules()).collect()["weight"].to_list() == [1, 5]


@pytest.mark.parametrize(
    ("keep", "kept"), [(Keep.LAST, [(2, 1)]), (Keep.FIRST, [(0, 3)]), (Keep.MAX, [(1, 5)]), (Keep.SUM, [(2, 9)])]
)
def test_one_row_stands_for_a_pair(keep, kept):
    frame = typed(weight=[5, 3, 1], timestamp=days(1, 0, 2), row=[1, 0, 2])
    marked = drop_duplicates(frame, keep).collect()
    assert marked.filter(pl.col("lost_to").is_null()).select("row", "weight").rows() == kept
    assert marked["lost_to"].drop_nulls().to_list() == ["duplicate", "duplicate"]


@pytest.mark.parametrize(("keep", "row"), [(Keep.LAST, 1), (Keep.FIRST, 1)])
def test_a_row_of_known_order_stands_before_one_of_unknown_order(keep, row):
    marked = drop_duplicates(typed(weight=[1, 1, 1], timestamp=days(None, 0, None)), keep).collect()
    assert marked.filter(pl.col("lost_to").is_null())["row"].to_list() == [row]


def test_equal_items_of_different_users_are_no_duplicates():
    marked = drop_duplicates(typed(user_id=["u", "v"], weight=[1, 1]), Keep.LAST).collect()
    assert marked["lost_to"].to_list() == [None, None]


def test_positions_follow_time_and_ties_follow_the_log():
    frame = typed(item_id=["a", "b", "c", "d"], timestamp=days(1, 0, 1, None))
    numbered = number_positions(frame).collect()
    assert numbered.select("item_id", "position").rows() == [("b", 0), ("a", 1), ("c", 2), ("d", None)]


def test_given_positions_rule_over_time_and_are_numbered_anew():
    frame = typed(item_id=["a", "b", "c"], position=[7, 3, None], timestamp=days(0, 1, 2))
    numbered = number_positions(frame).collect()
    assert numbered.select("item_id", "position").rows() == [("b", 0), ("a", 1), ("c", None)]


def test_rows_of_unknown_order_are_sorted_by_item():
    frame = typed(user_id=["v", "u", "u"], item_id=["a", "b", "a"])
    numbered = number_positions(frame).collect()
    assert numbered.select("user_id", "item_id", "position").rows() == [
        ("u", "a", None), ("u", "b", None), ("v", "a", None),
    ]  # fmt: skip


PAIRS = pl.LazyFrame(
    [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", "2"), ("c", "3"), ("d", "3")],
    schema=["user_id", "item_id"],
    orient="row",
).with_columns(lost_to=pl.lit(None, dtype=pl.String))


def test_a_core_takes_users_and_items_in_turn():
    # d has one item only, so item 3 has one user only, so c has one item only; a, b with 1, 2 are left.
    core = k_core([PAIRS], 2, 2)
    assert core.users[0]["user_id"].sort().to_list() == ["a", "b"]
    assert core.items["item_id"].sort().to_list() == ["1", "2"]
    lost = core.mark_losses(PAIRS, 0).collect()["lost_to"].to_list()
    assert lost == [None, None, None, None, "min_user", "min_user", "min_user"]


def test_a_row_of_a_user_who_stays_is_lost_to_its_item():
    assert k_core([PAIRS], 1, 3).mark_losses(PAIRS, 0).collect()["lost_to"].to_list() == [
        "min_item", None, "min_item", None, None, "min_item", "min_item",
    ]  # fmt: skip


def slow_core(pairs, min_user, min_item):
    while True:
        users = [u for u, _ in pairs]
        items = [i for _, i in pairs]
        left = {(u, i) for u, i in pairs if users.count(u) >= min_user and items.count(i) >= min_item}
        if left == pairs:
            return left
        pairs = left


@settings(deadline=None, max_examples=40)
@given(
    st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("123456")), min_size=1),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_a_core_is_what_the_definition_says(pairs, min_user, min_item):
    frame = pl.LazyFrame(sorted(pairs), schema=["user_id", "item_id"], orient="row").with_columns(
        lost_to=pl.lit(None, dtype=pl.String)
    )
    parts = [frame.filter(pl.col("user_id") < "c"), frame.filter(pl.col("user_id") >= "c")]
    core = k_core(parts, min_user, min_item)
    marked = pl.concat([core.mark_losses(part, number) for number, part in enumerate(parts)])
    left = marked.filter(pl.col("lost_to").is_null()).select("user_id", "item_id").collect()
    assert set(left.rows()) == slow_core(pairs, min_user, min_item)


@pytest.mark.parametrize(
    "rules",
    [
        {"min_user": 0},
        {"min_item": -1},
        {"event_weights": (("buy", 0.0),)},
        {"event_weights": (("buy", float("inf")),)},
        {"since": DAY, "until": DAY},
    ],
)
def test_rules_out_of_range_are_errors(rules):
    with pytest.raises(ConfigError):
        CleaningRules(**rules)


def test_what_stands_for_a_pair_is_told_alike_from_ingest_to_serving() -> None:
    assert tuple(Keep) == KEEPS
