"""Who was erased does not come back by what still lies elsewhere, over both databases; nor stays in SQLite's files."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from service import timestamps
from service.store.events import Event, EventStore, Fate
from service.store.user_history import UserHistory
from tests.service.places import Place

YEAR = 31_536_000_000_000
WEEK = "dataset:week-47"


@pytest.fixture
def store(place: Place) -> Iterator[EventStore]:
    with closing(place.open()) as store:
        yield store


def event(item_id: str, user_id: str = "ann", time: int | None = -YEAR) -> Event:
    """An event of some time from now; None for one of unknown time."""
    return Event(f"{user_id} {item_id}", user_id, item_id, None, 1.0, None if time is None else timestamps.now() + time)


def users(store: EventStore) -> set[str]:
    """Everybody who is named."""
    return {user_id for user_id in ("ann", "bob") if store.version(user_id)}


@pytest.mark.parametrize("takes", ["append", "replace"])
def test_no_import_brings_an_erased_user_back(store: EventStore, takes: str) -> None:
    rows = [event("tea"), event("jam", time=None), event("bun", time=YEAR), event("tea", "bob")]
    store.append([rows], WEEK)
    assert store.erase("ann").events == 3
    left_out: list[int] = []
    for source in (WEEK, "dataset:another", "shop"):
        getattr(store, takes)([rows], source, left_out.append)
    assert left_out == [3, 3, 3]
    assert (store.history("ann"), users(store)) == (UserHistory(), {"bob"})


def test_what_was_sent_before_the_erasure_is_not_taken_again(store: EventStore) -> None:
    sent = [event("tea"), event("jam", "bob")]
    store.take(sent, "api")
    store.erase("ann")
    assert store.take(sent, "api") == [Fate.ERASED, Fate.DUPLICATE]
    assert store.take(sent[:1], "api") == [Fate.ERASED]
    assert users(store) == {"bob"}


def test_a_user_who_comes_back_is_known_by_what_happened_since(store: EventStore) -> None:
    before, since = event("tea"), event("bun", time=YEAR)
    store.erase("ann")
    assert store.take([before, event("jam", time=0)], "api") == [Fate.ERASED, Fate.ACCEPTED]
    assert store.append([[before, since, event("egg", time=None)]], WEEK) == 1
    assert tuple(store.history("ann").history) == ("jam", "bun")
    store.erase("ann")
    assert store.append([[since]], WEEK) == 0
    assert users(store) == set()


def test_an_event_that_is_not_taken_does_not_make_a_user_known_again(store: EventStore) -> None:
    store.take([event("jam", "bob")], "api")
    store.erase("ann")
    borrowed = event("jam", "bob")._replace(user_id="ann", timestamp=timestamps.now())
    assert store.take([borrowed, event("tea", "bob")], "api") == [Fate.CONFLICT, Fate.ACCEPTED]
    assert users(store) == {"bob"}
    assert store.append([[event("bun", time=YEAR)]], WEEK) == 0


def test_an_import_under_way_does_not_bring_back_who_is_erased_beside_it(place: Place) -> None:
    with closing(place.open()) as one, closing(place.open()) as other:

        def batches() -> Iterator[list[Event]]:
            yield [event("tea"), event("tea", "bob")]
            other.erase("ann")
            yield [event("jam"), event("jam", "bob")]

        assert one.append(batches(), WEEK) == 3
        assert (one.history("ann"), users(one)) == (UserHistory(), {"bob"})


def test_an_event_of_several_datasets_is_one(store: EventStore) -> None:
    rows = [event("tea", time=0), event("jam", time=None)]
    assert [store.append([rows], source) for source in (WEEK, "dataset:week-48", WEEK)] == [2, 0, 0]
    assert store.record("ann", 9).sources == {WEEK: 2}


def test_a_dataset_made_of_what_was_sent_adds_nothing(store: EventStore) -> None:
    sent = event("tea")
    store.take([sent], "api")
    later = sent._replace(identity="another", timestamp=timestamps.now())
    assert store.append([[sent, later]], WEEK) == 1
    assert store.append([[sent, later]], WEEK) == 0


def files_of(place: Place) -> bytes:
    path = Path(make_url(place.url).database or "")
    return b"".join(file.read_bytes() for file in path.parent.iterdir() if file.name.startswith(path.name))


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_no_file_of_sqlite_holds_who_was_erased(place: Place) -> None:
    name = "somebody-with-a-name"
    with closing(place.open()) as store, closing(place.open()) as another:
        another.append([[event(f"i{place}", f"{name}-{place % 7}") for place in range(300)]], WEEK)
        store.take([event("tea", name)], "api")
        assert files_of(place).count(name.encode()) > 300
        for number in range(7):
            another.erase(f"{name}-{number}")
        store.erase(name)
        assert name.encode() not in files_of(place)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_log_that_somebody_reads_is_emptied_by_a_later_transaction(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Place(f"{place.url}?timeout=0.05").open()) as store:
        store.take([event("tea"), event("tea", "bob")], "api")
        with closing(sqlite3.connect(make_url(place.url).database or "", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM events").fetchall()
            with caplog.at_level(logging.WARNING):
                store.erase("ann")
            assert "still holds what was erased" in caplog.text
            assert b"ann" in files_of(place)
        store.take([event("jam", "bob")], "api")
        assert b"ann" not in files_of(place)
