"""The contract of the store of items, and of what keeps up with it, over both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from service import timestamps
from service.store import item_feed, items
from service.store.database import Database
from service.store.item_feed import ItemFeed
from service.store.item_records import ItemChange, LiveItem
from service.store.items import ItemFate, ItemStore
from tests.service.places import Place


@pytest.fixture
def store(place: Place) -> Iterator[ItemStore]:
    with closing(Database(place.url)) as database:
        yield ItemStore(database)


def price(item_id: str, value: object, **extra: object) -> ItemChange:
    return ItemChange(item_id, fields={"price": value}, **extra)  # type: ignore[arg-type, dict-item]


def fates(store: ItemStore, *changes: ItemChange) -> list[tuple[str, int]]:
    return [(str(outcome.fate), outcome.sequence) for outcome in store.take(changes)]


def test_changes_are_held_one_row_an_item_and_counted_in_their_order(store: ItemStore) -> None:
    assert fates(store, price("a", 1), price("b", 1), price("a", 2)) == [("accepted", n) for n in (1, 2, 3)]
    held = store.get("a")
    assert held is not None
    assert (held.number, held.sequence, held.record.fields["price"].value) == (1, 3, 2)
    assert [item.item_id for piece in store.since(0) for item in piece] == ["b", "a"]
    assert [item.item_id for piece in store.since(2) for item in piece] == ["a"]
    assert (store.sequence(), store.get("c"), store.fields()) == (3, None, {"price": "number"})


def test_sent_again_it_changes_nothing_and_takes_no_sequence(store: ItemStore) -> None:
    change = price("a", 1, timestamp=10)
    assert fates(store, change, change) == [("accepted", 1), ("duplicate", 1)]
    assert fates(store, price("a", 2, timestamp=20), change) == [("accepted", 2), ("duplicate", 2)]
    assert store.sequence() == 2


def test_the_first_value_of_a_field_says_what_it_holds(store: ItemStore) -> None:
    mixed_up = ItemChange("b", fields={"tags": (1, "x")})
    [_, other, mixed] = store.take([price("a", 1), price("b", "cheap"), mixed_up])
    assert (other.fate, other.sequence) == (ItemFate.MISFIT, 0)
    assert (
        other.reason == "fields.price: this field holds number, as its first value did, and 'cheap' is something else"
    )
    assert "a list holds either texts or numbers" in (mixed.reason or "")
    assert store.get("b") is None


def test_there_is_an_end_to_fields_and_to_the_future(store: ItemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "MOST_FIELDS", 1)
    late = price("b", 1, timestamp=timestamps.now() + 2 * items.LATEST_AHEAD)
    [_, many, ahead] = store.take([price("a", 1), ItemChange("a", fields={"stock": 1}), late])
    assert "no more are taken" in (many.reason or "")
    assert "more than a day ahead" in (ahead.reason or "")


def test_a_change_may_ask_for_the_version_that_it_changes(store: ItemStore) -> None:
    assert fates(store, price("a", 1, expected=0), price("a", 2, expected=0)) == [("accepted", 1), ("outdated", 1)]
    assert fates(store, price("a", 2, expected=1)) == [("accepted", 2)]


def test_many_writers_at_once_leave_no_gap_and_lose_nothing(store: ItemStore) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda number: fates(store, price(f"i{number % 7}", number)), range(40)))
    assert sorted(sequence for [(_, sequence)] in found) == list(range(1, 41))
    assert store.sequence() == 40


def test_a_feed_knows_what_is_acknowledged_and_tells_each_item_once(store: ItemStore) -> None:
    with closing(ItemFeed(store)) as feed:
        assert (feed.settle(5.0), feed.sequence, len(feed)) == (True, 0, 0)
        start = feed.since((-1, 0)).position
        store.take([price("a", 1), price("b", 1), price("a", 2)])
        assert feed.settle(5.0)
        changed, position, sequence = feed.since(start)
        assert [(item.item_id, item.sequence) for item in changed] == [("b", 2), ("a", 3)]
        assert sequence == 3
        assert feed.since(position) == ([], position, 3)


def test_a_feed_says_at_once_whether_it_is_settled_where_a_file_is_asked(store: ItemStore) -> None:
    other = ItemStore(store.database)  # as another process
    with closing(ItemFeed(store)) as feed:
        assert not feed.is_settled()  # it has not been connected to
        assert feed.settle(5.0)
        assert feed.is_settled() == store.database.has_one_writer
        other.take([price("a", 1)])
        assert not feed.is_settled()
        assert feed.settle(5.0)
        assert feed.is_settled() == store.database.has_one_writer


def test_a_feed_goes_from_one_state_to_another_and_never_half_of_the_way(
    store: ItemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ItemStore(store.database)  # as another process

    def changing(sequence: int) -> list[LiveItem]:
        assert feed.since((-1, 0)) == ([], (0, 0), 0)
        found = read(sequence)
        if sequence == 0:
            other.take([price("a", 9)])  # which was read already
        return found

    with closing(ItemFeed(store)) as feed:
        other.take([price(name, 1) for name in "abcde"])
        read = feed._next
        monkeypatch.setattr(item_feed, "CHUNK", 2)
        monkeypatch.setattr(item_feed, "SINCE", item_feed.SINCE.replace(str(items.CHUNK), "2"))
        monkeypatch.setattr(feed, "_next", changing)
        assert feed.settle(5.0)
        known = feed.since((-1, 0))
        assert [(item.item_id, item.sequence) for item in known.items] == [
            ("a", 6), ("b", 2), ("c", 3), ("d", 4), ("e", 5),
        ]  # fmt: skip
        assert known.sequence == 6


def test_who_asked_before_another_one_caught_up_does_not_take_the_store_for_put_back(
    store: ItemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(ItemFeed(store)) as feed:
        store.take([price("a", 1), price("b", 1)])
        feed.settle(5.0)
        before, answers = feed.since((-1, 0)), iter([1, 2])
        monkeypatch.setattr(feed, "_clock", lambda: next(answers))
        assert feed.settle(5.0)
        assert feed.since((-1, 0)) == before
        assert before.sequence == 2


def test_what_was_taken_here_is_known_without_being_read(store: ItemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(ItemFeed(store)) as feed:
        feed.settle(5.0)
        with monkeypatch.context() as patched:
            patched.setattr(feed, "_next", lambda sequence: [])
            store.take([price("b", 1), price("a", 1), price("b", 2)])
            assert feed.settle(5.0)
        assert [(item.item_id, item.sequence) for item in feed.since((0, 0))[0]] == [("a", 2), ("b", 3)]
        other = ItemStore(store.database)  # as another process
        other.take([price("c", 1)])
        store.take([price("a", 2)])  # with a gap before it, it is read with what lies there
        assert feed.settle(5.0)
        assert [(item.item_id, item.sequence) for item in feed.since((0, 2))[0]] == [("c", 4), ("a", 5)]


def test_a_feed_begins_anew_where_the_store_was_put_back(store: ItemStore) -> None:
    with closing(ItemFeed(store)) as feed:
        store.take([price("a", 1), price("b", 1)])
        feed.settle(5.0)
        before = feed.since((-1, 0)).position
        with store.database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM items WHERE item_id = 'b'")
            connection.exec_driver_sql("UPDATE item_clock SET sequence = 1")
        feed.settle(5.0)
        assert (feed.get("b"), len(feed)) == (None, 1)
        assert [item.item_id for item in feed.since(before).items] == ["a"]
