"""SQLite's one writer at a time: many who wait share a transaction, and a wait leaves the connection as it was."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event as Signal

import pytest
from sqlalchemy import text

from recsys_vae.errors import UnavailableError
from service.store.connections import connect_lazily
from service.store.events import Event, EventStore, Fate
from tests.service.places import count_events

SOON = 20


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process writes."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_lock_that_is_not_given_up_is_waited_for_as_long_as_the_url_says(tmp_path: Path) -> None:
    with closing(EventStore(f"sqlite:///{tmp_path / 'events.db'}?timeout=0.05")) as store:
        store.check()
        with locked(tmp_path / "events.db"), pytest.raises(UnavailableError, match="locked"):
            store.erase("ann")
        with store.database.reading() as connection:
            assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 50
        store.erase("ann")


def test_what_the_settings_say_holds_for_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    with closing(EventStore(url, wait_seconds=0.05)) as store, store.database.reading() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 50
    engine = connect_lazily("postgresql://somebody@nowhere/db", wait_seconds=0.7)
    assert engine.pool._timeout == 0.7


def test_requests_that_wait_for_the_lock_share_a_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(EventStore(f"sqlite:///{tmp_path / 'events.db'}")) as store:
        store.check()
        groups: list[int] = []
        began, real = Signal(), store._take_groups

        def counted(requests: list[tuple[str, list[Event]]]) -> list[list[Fate]]:
            began.set()
            groups.append(len(requests))
            return real(requests)

        monkeypatch.setattr(store._groups, "_commit", counted)
        events = [Event(f"{number // 2}", "ann", "tea", None, 1.0, 7) for number in range(8)]
        with ThreadPoolExecutor(8) as threads, locked(tmp_path / "events.db"):
            waiting = [threads.submit(store.take, events[:1], "api")]
            assert began.wait(SOON)
            for place, one in enumerate(events[1:], start=1):
                waiting.append(threads.submit(store.take, [one], "api"))
                while len(store._groups._waiting) < place:
                    pass
        fates = [future.result() for future in waiting]
        assert fates == [[Fate.ACCEPTED], [Fate.DUPLICATE]] * 4
        assert groups == [1, 7]
        assert count_events(store) == 4
