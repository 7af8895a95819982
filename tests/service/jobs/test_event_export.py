"""Events out of the store, into `recsys ingest`, and what is then learned from."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from recsys_vae.errors import EmptyDataError
from service.jobs import event_export
from service.jobs.event_export import Exported, export_events
from service.jobs.history_import import DatasetEvents
from service.store.events import Event
from service.timestamps import to_microseconds
from tests.service.places import Place

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_US = to_microseconds(NOON)
EVENTS = [
    Event("1", "bob", "tea", "click", 1.0, NOON_US + 3, "r1"),
    Event("2", "ann", "jam", "buy", 2.5, NOON_US),
    Event("3", "ann", "tea", None, 1e-6, NOON_US - 1),
    Event("4", "日本", "a'b\"c", "click", 1e6, -1),
]


def ingest(path: Path, name: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> pl.DataFrame:
    monkeypatch.setenv("RECSYS_HOME", str(home))
    finished = CliRunner().invoke(build(), ["ingest", str(path), "--to", name], catch_exceptions=False)
    assert finished.exit_code == 0, finished.output
    assert DatasetEvents.open(name).n_rows
    return pl.read_parquet(home / "datasets" / name / "interactions.parquet")


def test_events_come_back_from_ingest_as_they_were_sent(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_export, "BATCH_ROWS", 3)
    with closing(place.open()) as store:
        store.take(EVENTS, "api")
        assert export_events(store, tmp_path / "log.parquet").events == 4
    found = ingest(tmp_path / "log.parquet", "again", monkeypatch, tmp_path / "home")
    rows = found.select("user_id", "item_id", "event_type", pl.col("weight"), pl.col("timestamp").dt.epoch("us"))
    expected = pl.DataFrame([event[1:6] for event in EVENTS], schema=rows.schema, orient="row")
    assert rows.sort("user_id", "item_id").equals(expected.sort("user_id", "item_id"))
    assert found.filter(user_id="ann")["item_id"].to_list() == ["tea", "jam"]


def test_a_dataset_goes_through_the_store_and_back(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,weight,position\n" + "".join(f"u{i % 3},i{i},{i + 1},{9 - i}\n" for i in range(9)))
    before = ingest(log, "shop", monkeypatch, tmp_path / "home")
    with closing(place.open()) as store:
        store.append(DatasetEvents.open("shop").batches(), "dataset:shop")
        store.take([Event("1", "u1", "new", None, 1.0, NOON_US)], "api")
        export_events(store, tmp_path / "log.parquet")
    after = ingest(tmp_path / "log.parquet", "again", monkeypatch, tmp_path / "home")
    order = after.filter(user_id="u1").sort("position")["item_id"].to_list()
    assert order == [*before.filter(user_id="u1").sort("position")["item_id"], "new"]
    assert after.filter(pl.col("item_id") != "new").equals(before)


def test_since_and_source_choose(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    with closing(place.open()) as store:
        store.take(EVENTS, "api")
        store.append([[Event("5", "cid", "bun", None, 1.0, None)]], "dataset:shop")
        assert export_events(store, path, since=NOON.replace(tzinfo=None)).events == 2
        assert pl.read_parquet(path)["item_id"].to_list() == ["jam", "tea"]
        assert export_events(store, path, source="dataset:shop").events == 1
        assert pl.read_parquet(path).row(0) == ("cid", "bun", None, 1.0, None, 0, "dataset:shop", None)
        assert export_events(store, path).events == 5
        assert pl.read_parquet(path).filter(item_id="tea", user_id="bob")["request_id"].item() == "r1"


def test_what_came_after_an_export_is_what_the_next_one_takes(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    with closing(place.open()) as store:
        store.take(EVENTS[:2], "api")
        first = export_events(store, path, after=0)
        assert first.events == 2
        path.unlink()
        assert export_events(store, path, after=first.through) == Exported(0, first.through)
        assert not path.exists()
        store.take([Event("9", "ann", "old", None, 1.0, NOON_US - 10**12)], "api")  # late, by its own time
        assert export_events(store, path, after=first.through) == Exported(1, first.through + 1)
        assert pl.read_parquet(path)["item_id"].to_list() == ["old"]


def test_nothing_to_export_is_an_error_and_leaves_no_file(place: Place, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with closing(place.open()) as store, pytest.raises(EmptyDataError, match="nothing to write"):
        export_events(store, tmp_path / "out" / "log.parquet")
    assert not list((tmp_path / "out").iterdir())


def test_the_command_says_how_many_and_what_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(f"sqlite:///{tmp_path / 'events.db'}")
    with closing(place.open()) as store:
        store.take(EVENTS, "api")
    to = tmp_path / "log.parquet"
    arguments = ["export-events", "--to", str(to), "--since", "2026-01-01T12:00:00", "--store", place.url]
    planned = CliRunner().invoke(build(), [*arguments, "--dry-run"], catch_exceptions=False)
    assert planned.output == f"{to}: 2 events would be written.\n"
    assert not to.exists()
    finished = CliRunner().invoke(build(), arguments, catch_exceptions=False)
    assert finished.output.splitlines() == [f"{to}: 2 events. Next: recsys ingest {to} --to NAME"]
