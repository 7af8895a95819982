"""Items in the record of shown lists, and in the latest events, over both databases."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from service.store import item_events, shown_items
from service.store.events import Event, EventStore
from service.store.impressions import Impression, ImpressionTable
from tests.service.places import Place

DAY = 86_400_000_000
ODD = ('x", "y', ", ", "a\\b", "Ünï", "%", "'\"<b>")


@pytest.fixture
def store(place: Place) -> Iterator[EventStore]:
    with closing(place.open()) as store:
        yield store


def show(store: EventStore, *lists: tuple[str | None, str, tuple[str, ...], int]) -> None:
    shown = [Impression("r", user, variant, "v", True, items, day * DAY + 5) for user, variant, items, day in lists]
    ImpressionTable(store.database).add(shown)


def test_lists_that_held_an_item_are_counted_by_day_and_variant(store: EventStore) -> None:
    show(
        store,
        ("ann", "a", ("tea", "jam"), 3),
        ("ann", "a", ("jam", "tea"), 3),
        (None, "a", ("tea",), 3),
        ("bob", "b", ("tea",), 3),
        ("cat", "a", ("tea",), 4),
        ("dan", "a", ("teapot", "te"), 4),
    )
    found = shown_items.shown_item(store.database, "tea", 2)
    assert found.looked == (6, 3 * DAY + 5)
    assert found.days == ((3, "a", 3, 1), (3, "b", 1, 1), (4, "a", 1, 1))
    assert found.users == (("cat", 4 * DAY + 5), ("ann", 3 * DAY + 5))
    assert shown_items.shown_items(store.database)[1] == {"tea": 5, "jam": 2, "teapot": 1, "te": 1}


def test_ids_are_told_apart_whatever_they_hold(store: EventStore) -> None:
    show(store, (None, "a", ("x", "y"), 1), *((None, "a", (one,), 1) for one in ODD))
    for one in ODD:
        assert [day.lists for day in shown_items.shown_item(store.database, one, 1).days] == [1], one
    assert shown_items.shown_items(store.database)[1] == dict.fromkeys(("x", "y", *ODD), 1)


def test_only_the_latest_lists_and_events_are_looked_through(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_items, "LISTS", 2)
    monkeypatch.setattr(item_events, "EVENTS", 4)
    show(store, *((None, "a", (item,), day) for day, item in enumerate(("tea", "jam", "tea"), start=1)))
    assert shown_items.shown_item(store.database, "tea", 1).days == ((3, "a", 1, 0),)
    assert shown_items.shown_items(store.database) == ((2, 2 * DAY + 5), {"tea": 1, "jam": 1})
    times = (0, DAY, DAY + 1, 2 * DAY, None)
    events = [Event(str(n), "ann", "tea", None, 1.0, time) for n, time in enumerate(times)]
    store.append([events], "api")
    assert item_events.item_events(store.database, "tea") == (4, {1: 2, 2: 1}, 1)


def test_an_empty_store_says_nothing(store: EventStore) -> None:
    assert shown_items.shown_item(store.database, "tea", 3) == ((0, None), (), ())
    assert shown_items.shown_items(store.database) == ((0, None), {})
    assert item_events.item_events(store.database, "tea") == (0, {}, 0)
