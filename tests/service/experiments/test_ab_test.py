"""Click-through by variant, against an example that was computed by hand."""

from collections.abc import Iterator
from contextlib import closing
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from recsys_vae.errors import EmptyDataError, UnknownNameError
from service.experiments.ab_test import Choice, Tally, count, outcomes
from service.store.events import Event, EventStore
from service.store.impressions import Impression, ImpressionTable
from tests.service.places import Place


@pytest.fixture
def store(place: Place) -> Iterator[EventStore]:
    with closing(place.open()) as store:
        yield store


def tally(shown: list[int], clicked: list[int]) -> Tally:
    return Tally(np.array(shown, float), np.array(clicked, float))


def lists(variant: str, user_id: str | None, *request_ids: str, is_dealt: bool = True, at: int = 0) -> list[Impression]:
    return [Impression(name, user_id, variant, "v", is_dealt, ("x", "y"), at) for name in request_ids]


def follow(store: EventStore, user_id: str, request_id: str, item_id: str = "x", event_type: str = "click") -> None:
    identity = f"{user_id} {request_id} {item_id} {event_type}"
    store.take([Event(identity, user_id, item_id, event_type, 1.0, None, request_id)], "api")


# Variant a: three users with 4, 2, 2 lists of which 1, 1, 0 were clicked. R = 2/8 = 0.25. Residuals Y - R N are
# 0, 0.5, -0.5; their squares add up to 0.5; Var = 3/2 * 0.5 / 64 = 0.01171875, its root 0.108253.
# Variant b: two users with 1, 3 lists, of which 1, 2 were clicked. R = 3/4. Residuals 0.25, -0.25;
# Var = 2/1 * 0.125 / 16 = 0.015625, its root 0.125.
A, B = tally([4, 2, 2], [1, 1, 0]), tally([1, 3], [1, 2])


def test_rates_and_intervals_are_those_computed_by_hand() -> None:
    assert (A.rate, A.variance) == (0.25, pytest.approx(0.01171875))
    assert (B.rate, B.variance) == (0.75, pytest.approx(0.015625))
    first, second = outcomes({"b": B, "a": A}, "a")
    assert (first.name, first.users, first.lists, first.clicked, first.difference) == ("a", 3, 8, 2, None)
    assert first.rate.interval == pytest.approx((0.25 - 1.96 * 0.108253, 0.25 + 1.96 * 0.108253), abs=1e-4)
    assert second.rate.interval == pytest.approx((0.75 - 1.96 * 0.125, 0.75 + 1.96 * 0.125), abs=1e-4)
    assert second.difference is not None
    half = 1.96 * sqrt(0.01171875 + 0.015625)
    assert second.difference.value == 0.5
    assert second.difference.interval == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)
    assert first.is_thin


def test_where_every_user_has_one_list_it_is_the_usual_binomial_variance() -> None:
    one_each = tally([1] * 50, [1] * 20 + [0] * 30)
    assert one_each.variance == pytest.approx(0.4 * 0.6 / 49)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=2, max_size=30), st.integers(2, 5))
def test_repeating_every_list_of_a_user_adds_no_certainty(users: list[tuple[int, int]], times: int) -> None:
    shown, clicked = [n for n, _ in users], [min(n, y) for n, y in users]
    once = tally(shown, clicked)
    again = tally([n * times for n in shown], [y * times for y in clicked])
    assert again.variance == pytest.approx(once.variance)


def test_where_nothing_varies_or_there_is_one_user_no_interval_is_made_up() -> None:
    assert tally([5], [2]).variance == inf
    [never] = outcomes({"a": tally([3, 4], [0, 0])}, "a")
    assert (never.rate.value, never.rate.interval) == (0.0, None)


def test_a_list_is_clicked_once_by_its_user_on_one_of_its_items(store: EventStore) -> None:
    table = ImpressionTable(store.database)
    table.add(
        [
            *lists("a", "ann", "r1", "r2", "r3", "r3"),  # r3 was asked for twice under one id
            *lists("a", "bob", "r1"),  # many requests in one have one id
            *lists("b", "cid", "r4"),
            *lists("b", None, "r5"),
            *lists("b", "dee", "r6", is_dealt=False),
        ]
    )
    for user_id, request_id, item_id in [
        ("ann", "r1", "x"), ("ann", "r1", "y"),  # one list, clicked
        ("ann", "r2", "z"),  # an item that was not in the list
        ("bob", "r9", "x"),  # an answer that is not on record
        ("ann", "r4", "x"),  # somebody else's list
        ("eve", "r5", "y"),  # a list for nobody in particular
        ("dee", "r6", "x"),  # a variant that was chosen
    ]:  # fmt: skip
        follow(store, user_id, request_id, item_id)
    found, in_several = count(store.database, Choice())
    assert in_several == 0
    assert {name: sorted(zip(one.shown, one.clicked, strict=True)) for name, one in found.items()} == {
        "a": [(1, 0), (3, 1)],
        "b": [(1, 0), (1, 1)],
    }


def test_a_click_that_fits_lists_of_several_variants_counts_for_none(store: EventStore) -> None:
    table = ImpressionTable(store.database)
    table.add(
        [*lists("a", None, "r1", "r2"), *lists("b", None, "r1"), *lists("a", "ann", "r3"), *lists("b", "ann", "r3")]
    )
    table.add([Impression("r1", None, "b", "v", True, ("z",), 0)])
    for user_id, request_id, item_id in [("eve", "r1", "x"), ("eve", "r2", "x"), ("ann", "r3", "y")]:
        follow(store, user_id, request_id, item_id)
    found, in_several = count(store.database, Choice())
    assert in_several == 2
    assert (found["a"].clicked.sum(), found["b"].clicked.sum()) == (1, 0)
    follow(store, "eve", "r1", "z")  # of one list only
    found, _ = count(store.database, Choice())
    assert (found["a"].clicked.sum(), found["b"].clicked.sum()) == (1, 1)


def test_moments_and_types_narrow_what_counts(store: EventStore) -> None:
    ImpressionTable(store.database).add([*lists("a", "ann", "r1", at=10), *lists("b", "ann", "r2", at=20)])
    follow(store, "ann", "r1", event_type="view")
    follow(store, "ann", "r2", event_type="buy")
    _, in_several = count(store.database, Choice())
    assert in_several == 1
    assert list(count(store.database, Choice(since=11))[0]) == ["b"]
    assert list(count(store.database, Choice(until=20))[0]) == ["a"]
    bought = count(store.database, Choice(event_type="buy"))[0]
    assert (bought["a"].clicked.sum(), bought["b"].clicked.sum()) == (0, 1)


def uplift(url: str, *flags: str):
    import typer

    from service.cli.ab_test import uplift as command

    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, ["--store", url, *flags])


def test_the_command_prints_the_example_computed_by_hand(store: EventStore, place: Place) -> None:
    table = ImpressionTable(store.database)
    table.add([*lists("a", "u1", "1", "2", "3", "4"), *lists("a", "u2", "5", "6"), *lists("a", "u3", "7", "8")])
    table.add([*lists("b", "u4", "9"), *lists("b", "u5", "10", "11", "12")])
    for user_id, request_id in (("u1", "1"), ("u2", "5"), ("u4", "9"), ("u5", "10"), ("u5", "11")):
        follow(store, user_id, request_id)
    told = uplift(place.url).stdout.splitlines()
    assert told[1].split() == ["a", "3", "8", "2", "25.00", "%", "3.78", "to", "46.22"]
    assert told[2].split()[:9] == ["b", "2", "4", "3", "75.00", "%", "50.50", "to", "99.50"]
    assert told[2].split()[9:] == ["+50.00", "points", "+17.59", "to", "+82.41"]
    assert "do not rely" in told[3]
    assert uplift(place.url, "--against", "b").stdout.splitlines()[1].startswith("b")


def test_the_command_says_why_there_is_nothing_to_compare(store: EventStore, place: Place) -> None:
    assert isinstance(uplift(place.url).exception, EmptyDataError)
    ImpressionTable(store.database).add(lists("a", "ann", "r1"))
    assert isinstance(uplift(place.url, "--against", "c").exception, UnknownNameError)
