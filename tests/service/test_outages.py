"""The store down and back, while the service goes on."""

import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from threading import Thread

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import make_url

from service.app import create_app
from service.settings import Settings
from tests.service.places import KINDS, Place, own_schema
from tests.service.test_routes import check_problem, codes, item_ids


class Proxy:
    """A way to a server that can be shut and opened again."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._thread = Thread(target=self._serve, args=(self._listener,))
        self._thread.start()

    def shut(self) -> None:
        """Cut all connections and take no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def open(self) -> None:
        """Take connections again, at the same address."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._pairs = []
        self._thread = Thread(target=self._serve, args=(self._listener,))
        self._thread.start()

    def _serve(self, listener: socket.socket) -> None:
        pumps = []
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                pair = (near, socket.create_connection(self._server))
                self._pairs.append(pair)
                pumps.append(Thread(target=_pump, args=pair))
                pumps[-1].start()
        for pump in pumps:
            pump.join()


def _pump(near: socket.socket, far: socket.socket) -> None:
    with near, far, DefaultSelector() as selector, suppress(OSError):
        selector.register(near, EVENT_READ, far)
        selector.register(far, EVENT_READ, near)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data:
                    return
                key.data.sendall(data)


@dataclass(frozen=True)
class Outage:
    """A store, and ways to take it down and bring it back."""

    place: Place
    begin: Callable[[], None]
    end: Callable[[], None]


@contextmanager
def behind_a_proxy() -> Iterator[Outage]:
    with own_schema() as direct:
        url = make_url(direct.url)
        proxy = Proxy(url.host or "127.0.0.1", url.port or 5432)
        try:
            place = Place(url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False))
            yield Outage(place, proxy.shut, proxy.open)
        finally:
            proxy.shut()


@contextmanager
def locked_file(folder: Path) -> Iterator[Outage]:
    """Somebody writes to the file, and does not end."""
    path = folder / "events.db"
    holders: list[sqlite3.Connection] = []

    def lock() -> None:
        holders.append(sqlite3.connect(path, isolation_level=None))
        holders[-1].execute("BEGIN IMMEDIATE")

    yield Outage(Place(f"sqlite:///{path}?timeout=0.2"), lock, lambda: holders.pop().close())
    for holder in holders:
        holder.close()


@pytest.fixture(params=KINDS)
def outage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outage]:
    with locked_file(tmp_path) if request.param == "sqlite" else behind_a_proxy() as outage:
        yield outage


def send(client: TestClient, item_id: str):
    row = {"user_id": "ann", "item_id": item_id, "event_id": f"ann {item_id}"}
    return client.post("/v1/events", json={"events": [row]})


def check_while_down(client: TestClient, *, is_read: bool = False) -> None:
    inline = client.post("/v1/recommendations", json={"history": ["a"], "k": 3}).json()
    assert (inline["tier"], codes(inline)) == ("history", [] if is_read else ["items_unavailable"])
    refused = send(client, "d")
    check_problem(refused, 503, "unavailable")
    assert refused.headers["retry-after"] == "1"


def test_a_store_that_is_down_refuses_events_and_is_used_again_once_it_is_back(
    outage: Outage, bundle_path: Path
) -> None:
    with TestClient(create_app(Settings(bundle=bundle_path, store=outage.place.url))) as client:
        for item_id in "ab":
            assert send(client, item_id).json()["accepted"] == 1
        for count, item_id in ((3, "c"), (4, "d")):
            outage.begin()
            check_while_down(client, is_read=outage.place.url.startswith("sqlite"))
            outage.end()
            assert send(client, item_id).json()["accepted"] == 1
            found = client.get("/v1/users/ann/recommendations?k=8").json()
            assert (found["tier"], len(item_ids(found))) == ("history", 8 - count)
    with closing(outage.place.open()) as store:
        assert tuple(store.history("ann").history) == ("a", "b", "c", "d")


def test_a_server_that_is_down_costs_users_their_stored_history_only(bundle_path: Path) -> None:
    with behind_a_proxy() as outage, TestClient(
        create_app(Settings(bundle=bundle_path, store=outage.place.url))
    ) as client:  # fmt: skip
        send(client, "a")
        assert codes(client.get("/v1/users/ann/recommendations?k=3").json()) == []
        outage.begin()
        alone = client.get("/v1/users/ann/recommendations?k=3").json()
        assert (alone["tier"], codes(alone)) == ("popular", ["store_unavailable", "no_history", "items_unavailable"])
        both = client.post("/v1/recommendations", json={"user_id": "ann", "history": ["b"], "k": 3}).json()
        assert (both["tier"], codes(both)) == ("history", ["store_unavailable", "items_unavailable"])
        for refused in (client.get("/v1/users/ann"), client.delete("/v1/users/ann")):
            check_problem(refused, 503, "unavailable")
        outage.end()
        assert codes(client.get("/v1/users/ann/recommendations?k=3").json()) == []


def test_a_service_that_starts_before_its_store_finds_it_later(bundle_path: Path) -> None:
    with behind_a_proxy() as outage:
        outage.begin()
        with TestClient(create_app(Settings(bundle=bundle_path, store=outage.place.url))) as client:
            check_while_down(client)
            outage.end()
            assert send(client, "a").json()["accepted"] == 1


def test_a_locked_file_still_answers_with_what_it_holds(bundle_path: Path, tmp_path: Path) -> None:
    with locked_file(tmp_path) as outage, TestClient(
        create_app(Settings(bundle=bundle_path, store=outage.place.url))
    ) as client:  # fmt: skip
        send(client, "a")
        outage.begin()
        check_while_down(client, is_read=True)
        assert codes(client.get("/v1/users/ann/recommendations?k=3").json()) == []


def test_a_damaged_file_costs_users_their_stored_history_until_it_is_put_right(
    bundle_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "events.db"
    path.write_text("no database" * 1000)
    with TestClient(create_app(Settings(bundle=bundle_path, store=f"sqlite:///{path}"))) as client:
        check_while_down(client)
        found = client.get("/v1/users/ann/recommendations?k=3").json()
        assert (found["tier"], codes(found)) == ("popular", ["store_unavailable", "no_history", "items_unavailable"])
        path.unlink()
        assert send(client, "a").json()["accepted"] == 1
        assert codes(client.get("/v1/users/ann/recommendations?k=3").json()) == []


def test_a_file_that_was_taken_away_is_made_again(bundle_path: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    with TestClient(create_app(Settings(bundle=bundle_path, store=url))) as client:
        send(client, "a")
        with closing(sqlite3.connect(tmp_path / "events.db")) as connection:
            for table in ("events", "users", "recsys_schema"):
                connection.execute(f"DROP TABLE {table}")
        assert send(client, "b").status_code == 503
        assert send(client, "b").json()["accepted"] == 1
