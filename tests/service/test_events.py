"""The contract of the event store, over SQLite and over PostgreSQL where a driver and a server are at hand."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from recsys_vae.errors import ConfigError, UnavailableError
from service.events import Event, EventStore, UserHistory

POSTGRES = os.environ.get("RECSYS_TEST_POSTGRES", "postgresql+psycopg://127.0.0.1:5432/test")


@dataclass(frozen=True)
class Place:
    """Where a store of this test's own lies."""

    url: str

    def open(self) -> EventStore:
        return EventStore(self.url)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(f"sqlite:///{tmp_path / 'deeper' / 'events.db'}")
    else:
        yield from own_schema()


def own_schema() -> Iterator[Place]:
    if find_spec(make_url(POSTGRES).drivername.partition("+")[2] or "psycopg") is None:
        absent("no PostgreSQL driver is installed")
    name = f"recsys_test_{uuid4().hex[:8]}"
    engine = create_engine(POSTGRES, connect_args={"connect_timeout": 3})
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
    except OperationalError:
        absent("no PostgreSQL server answers")
    own = make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={name}"})
    yield Place(own.render_as_string(hide_password=False))
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


def absent(reason: str) -> NoReturn:
    """A user's run goes on without PostgreSQL; continuous integration has one."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI needs one")
    pytest.skip(reason)


@pytest.fixture
def store(place: Place) -> Iterator[EventStore]:
    store = place.open()
    yield store
    store.close()


def click(identity: str, user_id: str = "ann", item_id: str = "tea", weight: float = 1.0) -> Event:
    return Event(identity, user_id, item_id, "click", weight, 1_700_000_000_000_000)


def test_a_user_never_seen_has_an_empty_history(store: EventStore) -> None:
    assert store.history("ann") == UserHistory()


def test_history_sums_weights_an_item_least_recent_first(store: EventStore) -> None:
    events = [click("1", item_id="tea"), click("2", item_id="jam"), click("3", item_id="tea", weight=2.5)]
    store.append([[*events, click("4", user_id="bob")]], "shop")
    history = store.history("ann")
    assert (history.item_ids, history.weights) == (("jam", "tea"), (1.0, 3.5))
    assert history.sequence == store.history("ann").sequence > 0


def test_the_same_event_is_taken_once(store: EventStore) -> None:
    assert store.append([[click("1"), click("1"), click("2")]], "shop") == 2
    assert store.append([[click("2"), click("3")], [click("1")]], "shop") == 1
    assert store.count() == 3


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
    assert set(store.history("ann").item_ids) == {"milk", "bread"}


def test_a_replacement_that_fails_changes_nothing(store: EventStore) -> None:
    store.append([[click("1")]], "shop")

    def torn() -> Iterator[list[Event]]:
        yield [click("2", item_id="jam")]
        raise RuntimeError("the file ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        store.replace(torn(), "shop")
    assert store.history("ann").item_ids == ("tea",)


def test_events_outlive_the_store_object(place: Place) -> None:
    first = place.open()
    first.append([[click("1"), Event("2", "ann", "jam", None, 0.5, None)]], "shop")
    first.close()
    second = place.open()
    assert second.history("ann").weights == (1.0, 0.5)
    second.close()


def test_nothing_and_empty_batches_are_taken_well(store: EventStore) -> None:
    assert store.append([], "shop") == store.append([[]], "shop") == 0


def test_ids_of_any_script_come_back_as_they_were(store: EventStore) -> None:
    odd = ["Ünï", "日本", "a'b\"c", "%_;--", " "]
    store.append([[click(item_id, item_id=item_id) for item_id in odd]], "shop")
    assert list(store.history("ann").item_ids) == odd


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
        ("mysql://a/b", "SQLite or PostgreSQL"),
        ("sqlite+nodriver:///x", "not a database URL"),
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
