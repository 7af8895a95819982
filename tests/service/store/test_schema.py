"""The migrations, over both databases."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from threading import Barrier

import polars as pl
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from recsys_vae.errors import ConfigError
from service.jobs.history_import import Untimed, to_events
from service.store import schema
from service.store.actions import ActionLog
from service.store.deployments import DeploymentTable
from service.store.events import Event, Fate
from service.store.impressions import ImpressionTable
from service.store.item_records import ItemChange
from service.store.items import ItemFate, ItemStore
from service.store.tables import EVENTS, METADATA, USERS
from tests.prepared import waiting
from tests.service.new_stores import CopiedStores
from tests.service.places import Place, count_events, place_of

KEY = {"sqlite": "INTEGER PRIMARY KEY", "postgresql": "BIGSERIAL PRIMARY KEY"}
BINARY = {"sqlite": "BLOB", "postgresql": "BYTEA"}


@pytest.fixture(autouse=True)
def _migrated(copied_stores: CopiedStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores are migrated here, and not copied."""
    monkeypatch.setattr(command, "upgrade", copied_stores.upgrade)


def make_store_of_before_migrations(place: Place) -> None:
    """As `create_all` made it then, with one event."""
    with closing(place.open()) as store:
        engine = create_engine(place.url)
        store.database._make_folder()
    with engine.begin() as connection:
        kind = engine.dialect.name
        connection.execute(
            text(
                f"CREATE TABLE events (sequence {KEY[kind]}, identity {BINARY[kind]} NOT NULL UNIQUE, "
                "source VARCHAR NOT NULL, user_id VARCHAR NOT NULL, item_id VARCHAR NOT NULL, event_type VARCHAR, "
                "weight FLOAT NOT NULL, timestamp BIGINT)"
            )
        )
        connection.execute(text("CREATE INDEX events_by_user ON events (user_id, sequence)"))
        insert = text(
            "INSERT INTO events (identity, source, user_id, item_id, event_type, weight, timestamp) "
            "VALUES (:identity, 'shop', 'ann', 'tea', 'click', 2.5, 7)"
        )
        connection.execute(insert, {"identity": b"x" * 16})
    engine.dispose()


def check_schema(place: Place) -> None:
    engine = create_engine(place.url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_heads() == (schema.HEAD,)
        assert "alembic_version" not in inspect(connection).get_table_names()
    engine.dispose()


def test_the_head_is_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "service.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_migrations_lead_to_the_tables_as_they_are_declared(place: Place) -> None:
    with closing(place.open()) as store:
        store.check()
    check_schema(place)


@pytest.mark.parametrize("kind", KEY)
def test_the_stores_of_other_tests_are_as_migrations_make_them(
    kind: str, copied_stores: CopiedStores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "upgrade", copied_stores)
    for folder in ("first", "copy"):
        with place_of(kind, tmp_path / folder) as place, closing(place.open()) as store:
            store.check()
            check_schema(place)


def test_a_store_of_before_migrations_is_adopted_with_all_that_it_holds(place: Place) -> None:
    make_store_of_before_migrations(place)
    with closing(place.open()) as store:
        assert count_events(store) == 1
        history = store.history("ann")
        assert (tuple(history.history), tuple(history.history.values())) == (("tea",), (2.5,))
        assert history.version == store.version("ann") > 0
        store.take([Event("1", "ann", "jam", None, 1.0, None, "r")], "api")
        record = store.record("ann", 10)
        assert [(event.item_id, event.timestamp) for event in record.events] == [("jam", None), ("tea", 7)]
    check_schema(place)


def test_a_store_of_the_migration_before_keeps_its_events_and_users(place: Place) -> None:
    with closing(place.open()) as store:
        store.take([Event("1", "ann", "jam", None, 1.0, None, "r")], "api")
        version = store.version("ann")
        with store.database.writing() as connection:  # back to v2, which had neither of these
            for name in ("deployments", "exposures", "erasures"):
                connection.execute(text(f"DROP TABLE {name}"))
            connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = 'v2'"))
    with closing(place.open()) as store:
        assert DeploymentTable(store.database).active() is None
        assert ImpressionTable(store.database).count("ann") == 0
        assert (store.version("ann"), tuple(store.history("ann").history)) == (version, ("jam",))
    check_schema(place)


def make_store_of_v3(place: Place, rows: list[tuple], erased: list[str]) -> None:
    """With events of (source, identity, user, item, kind, time), erasures, and a row a user."""
    with closing(place.open()) as store, store.database.writing() as connection:
        connection.execute(text("DROP TABLE replicas"))
        connection.execute(text("DROP TABLE erasures"))
        kind = BINARY[connection.dialect.name]
        connection.execute(
            text(f"CREATE TABLE erasures (user_digest {kind} NOT NULL PRIMARY KEY, erased_at BIGINT NOT NULL)")
        )
        for number, (source, identity, *told) in enumerate(rows, start=1):
            known = blake2b(f"{source}\x1f{identity}".encode(), digest_size=16).digest()
            connection.execute(EVENTS.insert().values((number, known, source, *told[:3], 1.0, told[3], None)))
        for user_id in {told[2] for told in rows}:
            connection.execute(USERS.insert().values(user_id=user_id, version=5))
        for number, user_id in enumerate(erased):
            digest = blake2b(user_id.encode(), digest_size=16).digest()
            connection.execute(text("INSERT INTO erasures VALUES (:d, :at)"), {"d": digest, "at": 100 - number})
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = 'v3'"))


def test_a_store_of_v3_knows_events_of_datasets_by_content_and_keeps_what_two_brought_once(place: Place) -> None:
    week_1 = [
        ("dataset:w1", "a", "ann", "tea", "click", 7),
        ("dataset:w1", "b", "ann", "jam", None, None),
        ("dataset:w1", "c", "ann", "jam", None, None),
        ("dataset:w1", "d", "bob", "Ünï", "", 7),
    ]
    week_2 = [("dataset:w2", *rest) for _, *rest in week_1[:3]] + [("dataset:w2", "e", "ann", "bun", None, 9)]
    sent = [("api", "mine", "ann", "tea", "click", 7)]
    make_store_of_v3(place, [*week_1, *week_2, *sent], ["gone", "bob"])
    frame = pl.DataFrame(
        {
            "user_id": ["ann"] * 4 + ["bob"],
            "item_id": ["tea", "jam", "jam", "bun", "Ünï"],
            "event_type": ["click", None, None, None, None],
            "weight": [1.0] * 5,
            "timestamp": pl.Series([7, None, None, 9, 7], dtype=pl.Datetime("us", "UTC")),
            "position": [0, 1, 5, 6, 0],
        }
    )
    with closing(place.open()) as store:
        assert store.record("ann", 9).sources == {"api": 1, "dataset:w1": 3, "dataset:w2": 1}
        assert store.record("bob", 9).n_events == 1
        assert store.version("bob") == 5 != store.version("ann") > 0
        assert store.append([to_events(frame, Untimed())], "dataset:w3") == 0
        assert store.take([Event("mine", "ann", "tea", "click", 1.0, 7)], "api") == [Fate.DUPLICATE]
        later = 200
        came_back = [Event("1", who, "egg", None, 1.0, later) for who in ("gone", "bob")]
        assert store.append([came_back], "dataset:w3") == 1  # bob had come back before
        with store.database.reading() as connection:
            assert connection.execute(text("SELECT erased_at FROM erasures ORDER BY sequence")).scalars().all() == [
                99,
                100,
            ]
    check_schema(place)


def test_a_migrated_store_is_left_as_it_is(place: Place) -> None:
    with closing(place.open()) as store:
        store.take([Event("1", "ann", "jam", None, 1.0, None)], "api")
    with closing(place.open()) as again:
        assert count_events(again) == 1
    check_schema(place)


def test_many_that_make_a_new_store_at_once_make_one(place: Place) -> None:
    start = Barrier(8)

    def take(number: int) -> None:
        with closing(place.open()) as store:
            start.wait()
            store.take([Event(str(number), "ann", str(number), None, 1.0, None)], "api")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(take, range(8)))
    with closing(place.open()) as store:
        assert count_events(store) == 8
    check_schema(place)


def test_processes_that_meet_an_old_store_at_once_migrate_it_once(place: Place) -> None:
    make_store_of_before_migrations(place)
    program = (
        "import sys; from service.store.events import Event, EventStore; store = EventStore(sys.argv[1]);"
        "print('ready', flush=True); sys.stdin.readline();"
        "store.take([Event(sys.argv[2], 'ann', sys.argv[2], None, 1.0, None)], 'api'); store.close()"
    )
    started = [
        subprocess.Popen(
            [*waiting().script(program), place.url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        for number in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    complaints = [process.communicate(timeout=60)[1] for process in started]
    assert complaints == [b""] * 3
    with closing(place.open()) as store:
        assert count_events(store) == 4
    check_schema(place)


def test_a_store_of_a_newer_version_is_refused(place: Place) -> None:
    with closing(place.open()) as store:
        store.check()
    engine = create_engine(place.url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = 'v999'"))
    engine.dispose()
    with closing(place.open()) as store, pytest.raises(ConfigError, match=r"newer version.*v999"):
        store.check()


@pytest.mark.parametrize("version", ["v4", "v5_live_tests"])
def test_a_store_of_before_changes_of_items_takes_them(place: Place, version: str) -> None:
    with closing(place.open()) as store:
        store.take([Event("1", "ann", "jam", None, 1.0, None, "r")], "api")
        with store.database.writing() as connection:
            for name in ("items", "item_fields", "item_clock", *(["live_tests"] if version == "v4" else [])):
                connection.execute(text(f"DROP TABLE {name}"))
            if version == "v4":
                connection.execute(text("ALTER TABLE exposures DROP COLUMN teams"))
            connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = :v"), {"v": version})
    with closing(place.open()) as store:
        assert tuple(store.history("ann").history) == ("jam",)
        [outcome] = ItemStore(store.database).take([ItemChange("jam", "merge", {"price": 2})])
        assert (outcome.fate, outcome.sequence) == (ItemFate.ACCEPTED, 1)
    check_schema(place)


def test_a_store_of_before_actions_notes_them(place: Place) -> None:
    with closing(place.open()) as store:
        store.take([Event("1", "ann", "jam", None, 1.0, None, "r")], "api")
        with store.database.writing() as connection:
            connection.execute(text("DROP TABLE actions"))
            connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = 'v6'"))
    with closing(place.open()) as store:
        ActionLog(store.database).note("ops", "reload", "deployment", {}, "r")
        assert [one.actor for one in ActionLog(store.database).latest(2)] == ["ops"]
    check_schema(place)
