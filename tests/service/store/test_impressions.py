"""The record of what was shown, over both databases."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text

from service import timestamps
from service.store.events import Event, EventStore
from service.store.impressions import Impression, ImpressionTable
from tests.service.places import Place


@pytest.fixture
def store(place: Place) -> Iterator[EventStore]:
    with closing(place.open()) as store:
        yield store


@pytest.fixture
def table(store: EventStore) -> ImpressionTable:
    return ImpressionTable(store.database)


def shown(request_id: str, user_id: str | None = "ann", at: int | None = None, *items: str) -> Impression:
    return Impression(request_id, user_id, "a", "v1", True, items or ("x", "y"), timestamps.now() if at is None else at)


def test_what_was_shown_comes_back_page_by_page_newest_first(table: ImpressionTable) -> None:
    assert table.add([shown(f"r{number}", at=number) for number in range(5)] + [shown("other", "bob")]).written == 6
    assert table.add([]).written == 0
    newest = table.of_user("ann", 2)
    assert [one.request_id for one in newest] == ["r4", "r3"]
    assert [one.request_id for one in table.of_user("ann", 9, newest[-1].sequence)] == ["r2", "r1", "r0"]
    one = newest[0]
    assert (one.variant, one.model_version, one.is_dealt, one.items, one.answered_at) == (
        "a",
        "v1",
        True,
        ("x", "y"),
        4,
    )
    assert (table.count("ann"), table.count("nobody")) == (5, 0)


def test_an_erased_user_is_in_no_exposure_not_even_one_that_waited(store: EventStore, table: ImpressionTable) -> None:
    before = shown("waits")
    table.add([shown("r1"), shown("r2", "bob")])
    assert store.erase("ann") == (0, 1)
    assert table.add([before, shown("r3", "bob")]) == (1, 1)
    assert (table.count("ann"), table.count("bob")) == (0, 2)
    assert table.add([shown("again")._replace(last_erasure=1)]).written == 1
    assert table.count("ann") == 1
    with store.database.reading() as connection:
        for name in store_tables(store):
            rows = connection.execute(text(f"SELECT * FROM {name}")).all()
            assert name == "exposures" or "ann" not in str(rows)


def store_tables(store: EventStore) -> list[str]:
    from service.store.tables import METADATA

    return list(METADATA.tables)


def test_a_list_for_nobody_belongs_to_the_user_whose_events_follow_it(
    store: EventStore, table: ImpressionTable
) -> None:
    table.add([shown("r1", None), shown("r2", None), shown("r1", "bob")])
    store.take([Event("1", "ann", "x", None, 1.0, None, "r1")], "api")
    assert [one.request_id for one in table.of_user("ann", 9)] == ["r1"]
    assert store.erase("ann") == (1, 1)
    assert table.count("bob") == 1
    with store.database.reading() as connection:
        left = connection.execute(text("SELECT request_id, user_id FROM exposures ORDER BY sequence")).all()
    assert [tuple(row) for row in left] == [("r2", None), ("r1", "bob")]


def test_what_waits_is_told_from_what_is_new_by_order_and_not_by_clocks(
    store: EventStore, table: ImpressionTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = 3_600_000_000
    known = table.add([]).last_erasure
    late = shown("waits", at=timestamps.now() + hour)._replace(last_erasure=known)
    monkeypatch.setattr(timestamps, "now", lambda: 0)  # the clock of whoever erases is behind
    store.erase("ann")
    monkeypatch.undo()
    assert table.add([late] * 3) == (0, 1)
    early = shown("new", at=timestamps.now() - hour)._replace(last_erasure=1)
    assert table.add([early]).written == 1


def test_a_user_erased_again_is_erased_from_then_on_and_others_are_not(
    store: EventStore, table: ImpressionTable
) -> None:
    store.erase("ann")
    between = shown("between")._replace(last_erasure=1)
    store.erase("bob")
    store.erase("ann")
    assert table.add([between, between._replace(user_id="cid")]) == (1, 3)
