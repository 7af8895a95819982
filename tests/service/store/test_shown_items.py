"""Items in the record of shown lists, and in events, over both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import text

from service.jobs.retention import clean_events
from service.store import item_events, schema, shown_items
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
    assert found.counted == (6, 3, 5)
    assert found.days == ((3, "a", 3), (3, "b", 1), (4, "a", 1))
    assert found.users == (("cat", 4 * DAY + 5), ("ann", 3 * DAY + 5))
    assert shown_items.shown_items(store.database)[1] == {"tea": 5, "jam": 2, "teapot": 1, "te": 1}


def test_ids_are_told_apart_whatever_they_hold(store: EventStore) -> None:
    show(store, (None, "a", ("x", "y"), 1), *((None, "a", (one,), 1) for one in ODD))
    for one in ODD:
        assert [day.lists for day in shown_items.shown_item(store.database, one, 1).days] == [1], one
    assert shown_items.shown_items(store.database)[1] == dict.fromkeys(("x", "y", *ODD), 1)


def test_all_events_of_an_item_count_and_lists_of_the_latest_days(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_items, "DAYS", 2)
    monkeypatch.setattr(shown_items, "LISTS", 1)
    show(store, *((f"u{day}", "a", (item,), day) for day, item in enumerate(("tea", "jam", "tea", "tea"), start=1)))
    show(store, (None, "b", ("jam", "tea"), 4))
    assert shown_items.shown_item(store.database, "tea", 9) == ((3, 3, 5), ((3, "a", 1), (4, "a", 1), (4, "b", 1)), ())
    assert shown_items.shown_items(store.database) == ((3, 3, 5), {"tea": 3, "jam": 1})
    times = (0, DAY, DAY + 1, 2 * DAY, None)
    events = [Event(str(n), "ann", "tea", None, 1.0, time) for n, time in enumerate(times)]
    store.append([[*events, Event("jam", "ann", "jam", None, 1.0, 0)]], "api")
    assert item_events.item_events(store.database, "tea") == ({0: 1, 1: 2, 2: 1}, 1)


def test_counts_outlive_users_and_go_with_old_lists(store: EventStore) -> None:
    show(store, ("ann", "a", ("tea",), 1), ("bob", "a", ("tea",), 2))
    store.erase("ann")
    assert shown_items.shown_item(store.database, "tea", 9).days == ((1, "a", 1), (2, "a", 1))
    clean_events(store.database, events_before=None, impressions_before=2 * DAY + 1)
    found = shown_items.shown_item(store.database, "tea", 9)
    assert (found.counted, found.days) == ((1, 2, 3), ((2, "a", 1),))


def test_lists_of_before_are_counted_when_the_store_is_brought_up_to_date(place: Place) -> None:
    with closing(place.open()) as store:
        show(store, (None, "a", ("tea", *ODD), 1), ("ann", "b", ("tea",), 2))
        before = shown_items.shown_items(store.database)
        with store.database.writing() as connection:
            for statement in ("DROP TABLE shown_by_day", "DROP TABLE lists_by_day", "DROP INDEX events_by_item"):
                connection.execute(text(statement))
            connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = 'v10_logins'"))
    with closing(place.open()) as store:
        assert shown_items.shown_items(store.database) == before == ((2, 1, 3), {"tea": 2, **dict.fromkeys(ODD, 1)})
        assert shown_items.shown_item(store.database, "tea", 1).days == ((1, "a", 1), (2, "b", 1))


def test_workers_that_count_the_same_items_at_once_wait_for_each_other_and_lose_none(place: Place) -> None:
    names = [f"i{number}" for number in range(30)]

    def written(number: int) -> None:
        with closing(place.open()) as store:
            show(store, (None, "a", tuple(names[number:] + names[:number]), 1))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(written, range(12)))
    with closing(place.open()) as store:
        assert shown_items.shown_items(store.database)[1] == dict.fromkeys(names, 12)


def test_an_empty_store_says_nothing(store: EventStore) -> None:
    assert shown_items.shown_item(store.database, "tea", 3) == ((0, None, 0), (), ())
    assert shown_items.shown_items(store.database) == ((0, None, 0), {})
    assert item_events.item_events(store.database, "tea") == ({}, 0)
