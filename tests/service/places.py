"""Places for event stores: a file, or a schema of a PostgreSQL server, each of one test's own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, func, make_url, select, text
from sqlalchemy.exc import OperationalError

from service.store.events import EventStore
from service.store.tables import EVENTS

POSTGRES = os.environ.get("RECSYS_TEST_POSTGRES", "postgresql+psycopg://127.0.0.1:5432/test")
KINDS = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Place:
    """Where a store of this test's own lies."""

    url: str

    @property
    def schema(self) -> str:
        """Of PostgreSQL, which its options end with."""
        return str(make_url(self.url).query["options"]).rpartition("=")[2]

    def open(self) -> EventStore:
        return EventStore(self.url)


@contextmanager
def place_of(kind: str, folder: Path) -> Iterator[Place]:
    """A place of one of the kinds, gone afterwards."""
    if kind == "sqlite":
        yield Place(f"sqlite:///{folder / 'deeper' / 'events.db'}")
        return
    with own_schema() as place:
        yield place


@contextmanager
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
    # No test has the server lose its power.
    options = f"-csynchronous_commit=off -csearch_path={name}"
    own = make_url(POSTGRES).update_query_dict({"options": options})
    try:
        yield Place(own.render_as_string(hide_password=False))
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
        engine.dispose()


def absent(reason: str) -> NoReturn:
    """A user's run goes on without PostgreSQL; continuous integration has one."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI needs one")
    pytest.skip(reason)


def count_events(store: EventStore) -> int:
    """Events that a store holds."""
    with store.database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(EVENTS)).scalar_one())
