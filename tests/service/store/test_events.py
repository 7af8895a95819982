"""The contract of the event store, over SQLite and over PostgreSQL where a driver and a server are at hand."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import text

from recsys_vae.errors import ConfigError, UnavailableError
from service import timestamps
from service.store.bulk_insert import insert_few, touch_users
from service.store.events import Event, EventStore, Fate
from service.store.user_history import UserHistory
from tests.service.places import Place, count_events


@pytest.fixture
def store(place: Place) -> Iterator[EventStore]:
    store = place.open()
    yield store
    store.close()


def click(identity: str, user_id: str = "ann", item_id: str = "tea", weight: float = 1.0) -> Event:
    return Event(identity, user_id, item_id, "click", weight, 1_700_000_000_000_000)


def click_now(identity: str, user_id: str = "ann", item_id: str = "tea") -> Event:
    return click(identity, user_id, item_id)._replace(timestamp=timestamps.now())


def test_a_user_never_seen_has_an_empty_history(store: EventStore) -> None:
    assert store.history("ann") == UserHistory()


def test_the_last_event_with_an_item_stands_for_it_least_recent_first(store: EventStore) -> None:
    events = [click("1", item_id="tea"), click("2", item_id="jam"), click("3", item_id="tea", weight=2.5)]
    store.append([[*events, click("4", user_id="bob")]], "shop")
    history = store.history("ann")
    assert (tuple(history.history), tuple(history.history.values())) == (("jam", "tea"), (1.0, 2.5))
    assert history.sequence == store.history("ann").sequence > 0


def test_the_same_event_is_taken_once(store: EventStore) -> None:
    assert store.append([[click("1"), click("1"), click("2")]], "shop") == 2
    assert store.append([[click("2"), click("3")], [click("1")]], "shop") == 1
    assert count_events(store) == 3


def test_sources_do_not_share_identities(store: EventStore) -> None:
    assert store.append([[click("1")]], "shop") + store.append([[click("1")]], "app") == 2


def test_sequence_grows_with_a_new_event_and_not_with_an_old_one(store: EventStore) -> None:
    store.append([[click("1")]], "shop")
    first = store.history("ann").sequence
    store.append([[click("1")]], "shop")
    assert store.history("ann").sequence == first
    store.append([[click("2")]], "shop")
    assert store.history("ann").sequence > first


def test_replace_forgets_one_source_only(store: EventStore) -> None:
    store.append([[click("1"), click("2", item_id="jam")]], "shop")
    store.append([[click("1", item_id="milk")]], "app")
    assert store.replace([[click("3", item_id="bread")]], "shop") == 1
    assert set(store.history("ann").history) == {"milk", "bread"}


def test_a_replacement_that_fails_changes_nothing(store: EventStore) -> None:
    store.append([[click("1")]], "shop")

    def torn() -> Iterator[list[Event]]:
        yield [click("2", item_id="jam")]
        raise RuntimeError("the file ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        store.replace(torn(), "shop")
    assert tuple(store.history("ann").history) == ("tea",)


def test_events_outlive_the_store_object(place: Place) -> None:
    first = place.open()
    first.append([[click("1"), click("2", item_id="jam", weight=0.5)]], "shop")
    first.close()
    second = place.open()
    assert tuple(second.history("ann").history.values()) == (1.0, 0.5)
    second.close()


def test_nothing_and_empty_batches_are_taken_well(store: EventStore) -> None:
    assert store.append([], "shop") == store.append([[]], "shop") == 0


def test_ids_of_any_script_come_back_as_they_were(store: EventStore) -> None:
    odd = ["Ünï", "日本", "a'b\"c", "%_;--", " "]
    store.append([[click(item_id, item_id=item_id) for item_id in odd]], "shop")
    assert list(store.history("ann").history) == odd


def test_what_became_of_each_event_is_told_in_their_order(store: EventStore) -> None:
    assert store.take([click("1"), click("2"), click("1")], "api") == [Fate.ACCEPTED, Fate.ACCEPTED, Fate.DUPLICATE]
    assert store.take([click("3"), click("2"), click("1", user_id="bob")], "api") == [
        Fate.ACCEPTED,
        Fate.DUPLICATE,
        Fate.CONFLICT,
    ]
    assert store.take([], "api") == []
    assert count_events(store) == 3


def test_two_different_events_of_one_identity_in_one_request_conflict(store: EventStore) -> None:
    assert store.take([click("1"), click("1", item_id="jam")], "api") == [Fate.ACCEPTED, Fate.CONFLICT]
    assert tuple(store.history("ann").history) == ("tea",)


def test_the_same_event_at_another_time_is_a_duplicate(store: EventStore) -> None:
    store.take([click("1")], "api")
    assert store.take([click("1")._replace(timestamp=1, request_id="r")], "api") == [Fate.DUPLICATE]


def test_more_events_than_a_statement_holds_are_taken(store: EventStore) -> None:
    events = [click(str(i), user_id=f"u{i % 700}", item_id=f"i{i}") for i in range(5_000)]
    assert set(store.take(events, "api")) == {Fate.ACCEPTED}
    assert set(store.take(events, "api")) == {Fate.DUPLICATE}
    assert store.append([events], "shop") == 5_000


def test_a_version_changes_with_the_events_and_only_with_them(store: EventStore) -> None:
    versions = [store.version("ann")]
    assert versions == [0]
    for change in (
        lambda: store.take([click("1")], "api"),
        lambda: store.append([[click("1")]], "shop"),
        lambda: store.replace([[click("9")]], "shop"),
        lambda: store.replace([], "shop"),
        lambda: store.erase("ann"),
        lambda: store.take([click_now("1")], "api"),
    ):
        change()
        versions.append(store.version("ann"))
    assert versions[5] == 0
    assert len(set(versions)) == len(versions) - 1
    store.take([click_now("1")], "api")
    store.append([[click("8", user_id="bob")]], "shop")
    assert store.version("ann") == store.history("ann").version == versions[-1]


def test_a_second_writer_of_the_same_user_waits_so_that_no_sequence_becomes_visible_late(place: Place) -> None:
    first, second = place.open(), place.open()
    first.check()
    with ThreadPoolExecutor() as threads:
        with first.database.writing() as connection:
            touch_users(connection, ["ann"])
            waiting = threads.submit(second.take, [click("2", item_id="jam")], "api")
            insert_few(connection, [(b"1" * 16, "api", "ann", "tea", None, 1.0, None, None)])
            assert not waiting.done()
            assert first.version("ann") == second.history("ann").sequence == 0
        assert waiting.result() == [Fate.ACCEPTED]
    history = first.history("ann")
    assert tuple(history.history) == ("tea", "jam")
    assert tuple(first.history("ann", until=history.sequence - 1).history) == ("tea",)
    first.close()
    second.close()


def test_many_writers_at_once_lose_nothing_and_take_nothing_twice(place: Place) -> None:
    users = ["ann", "bob", "cid"]
    start = Barrier(6)

    def write(_: int) -> int:
        store = place.open()
        start.wait()
        fates: list[Fate] = []
        for i in range(30):
            order = users if i % 2 else users[::-1]
            fates += store.take([click(f"{user} {i}", user, f"i{i}") for user in order], "api")
        store.close()
        return fates.count(Fate.ACCEPTED)

    store = place.open()
    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(write, range(6))) == 90
    assert count_events(store) == 90
    assert [len(store.history(user).history) for user in users] == [30, 30, 30]
    store.close()


def test_a_record_counts_and_pages_newest_first(store: EventStore) -> None:
    store.append([[click("1", item_id="tea"), click("2", item_id="jam")]], "shop")
    store.take([Event("3", "ann", "tea", None, 2.0, None, "r1"), click("4", user_id="bob")], "api")
    record = store.record("ann", limit=2)
    assert (record.n_events, record.n_items, record.sources) == (3, 2, {"api": 1, "shop": 2})
    assert record.first == record.last == 1_700_000_000_000_000
    assert [(event.item_id, event.source, event.request_id) for event in record.events] == [
        ("tea", "api", "r1"),
        ("jam", "shop", None),
    ]
    rest = store.record("ann", limit=2, before=record.events[-1].sequence)
    assert [event.item_id for event in rest.events] == ["tea"]
    assert store.record("nobody", limit=2).n_events == 0


def test_an_erased_user_is_named_nowhere(store: EventStore) -> None:
    store.append([[click("1"), click("2", user_id="bob")]], "shop")
    store.take([click("1")], "api")
    last = store.history("ann").sequence
    assert [store.erase(user).events for user in ("ann", "ann", "never seen")] == [2, 0, 0]
    assert store.history("ann") == UserHistory()
    with store.database.reading() as connection:
        for table in ("events", "users"):
            assert connection.execute(text(f"SELECT DISTINCT user_id FROM {table}")).scalars().all() == ["bob"]
    store.take([click_now("1")], "api")
    assert store.history("ann").sequence > last


def test_sequences_are_not_handed_out_again(store: EventStore) -> None:
    store.take([click("1")], "api")
    last = store.history("ann").sequence
    store.erase("ann")
    store.take([click("1", user_id="bob")], "api")
    assert store.history("bob").sequence > last


def test_a_store_that_does_not_answer_is_unavailable_until_it_does(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a file where a folder should be")
    store = EventStore(f"sqlite:///{tmp_path / 'here' / 'events.db'}")
    with pytest.raises(UnavailableError, match="does not answer"):
        store.history("ann")
    (tmp_path / "here").unlink()
    assert store.append([[click("1")]], "shop") == 1
    store.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_text("no database" * 1000)
    store = EventStore(f"sqlite:///{tmp_path / 'events.db'}")
    with pytest.raises(UnavailableError, match="not a database"):
        store.check()
    store.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("events.db", "not a database URL"),
        ("postgresql://me@host:port/db", "not a database URL"),
        ("mysql://a/b", "SQLite or PostgreSQL"),
        ("sqlite+nodriver:///x", "not a database URL"),
        ("sqlite://", "forgets all events"),
        ("postgresql+asyncpg://a/b", "reached by psycopg"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_at_once(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EventStore(url)


@pytest.mark.skipif(find_spec("psycopg") is not None, reason="the driver is installed")
def test_a_missing_driver_is_named() -> None:
    with pytest.raises(ConfigError, match="pip install psycopg"):
        EventStore("postgresql+psycopg://somebody:secret@nowhere/db")


@pytest.mark.skipif(find_spec("psycopg") is None, reason="no PostgreSQL driver is installed")
def test_a_server_that_is_down_is_unavailable_and_its_password_stays_secret() -> None:
    store = EventStore("postgresql+psycopg://somebody:secret@127.0.0.1:1/db")
    with pytest.raises(UnavailableError) as caught:
        store.history("ann")
    assert "secret" not in str(caught.value)
    store.close()


def test_an_address_without_a_driver_takes_the_one_that_there_is() -> None:
    assert (
        EventStore("postgresql://somebody:secret@nowhere/db").address == "postgresql+psycopg://somebody:***@nowhere/db"
    )
