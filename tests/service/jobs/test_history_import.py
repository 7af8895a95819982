from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys_vae.errors import DataError, SchemaError, UnknownNameError
from service.jobs import history_import
from service.jobs.history_import import DatasetEvents, Untimed, to_events
from service.store.events import Event

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_US = 1_767_268_800_000_000


def table(**columns: list[object]) -> pl.DataFrame:
    schema = {
        "user_id": pl.String,
        "item_id": pl.String,
        "event_type": pl.String,
        "weight": pl.Float32,
        "timestamp": pl.Datetime("us", "UTC"),
        "position": pl.UInt32,
    }
    n = len(columns["user_id"])
    return pl.DataFrame({name: columns.get(name, [None] * n) for name in schema}, schema=schema)


def write(folder: Path, frame: pl.DataFrame) -> Path:
    folder.mkdir(parents=True)
    frame.write_parquet(folder / "interactions.parquet")
    return folder


def identities(frame: pl.DataFrame) -> list[str]:
    return [event.identity for event in to_events(frame, Untimed())]


def test_rows_become_events_with_times_in_microseconds() -> None:
    frame = table(user_id=["u"], item_id=["i"], event_type=["buy"], weight=[2.0], timestamp=[NOON], position=[7])
    assert to_events(frame, Untimed())[0][1:] == Event("", "u", "i", "buy", 2.0, NOON_US)[1:]


def test_a_new_weight_or_place_is_the_same_event_but_another_time_is_not() -> None:
    same = table(user_id=["u"] * 2, item_id=["i"] * 2, weight=[1, 2], timestamp=[NOON] * 2, position=[0, 5])
    assert len(set(identities(same))) == 1
    later = table(user_id=["u"] * 2, item_id=["i"] * 2, weight=[1, 1], timestamp=[NOON, NOON.replace(hour=13)])
    assert len(set(identities(later))) == 2


def test_without_times_the_order_tells_events_apart_whatever_the_places_are() -> None:
    users, items = ["u", "u", "u", "v"], ["i", "j", "i", "i"]
    found = identities(table(user_id=users, item_id=items, weight=[1] * 4, position=[0, 1, 2, 0]))
    assert len(set(found)) == 4
    later = identities(table(user_id=users, item_id=items, weight=[1] * 4, position=[4, 7, 9, 3]))
    assert later == found


def test_without_times_and_places_a_user_meets_an_item_once() -> None:
    assert len(set(identities(table(user_id=["u", "u", "v"], item_id=["i"] * 3, weight=[1] * 3)))) == 2


def test_batches_cover_the_table_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_import, "BATCH_ROWS", 2)
    users = ["a", "b", "c", "d", "e"]
    folder = write(tmp_path / "tiny", table(user_id=users, item_id=["i"] * 5, weight=[1] * 5))
    dataset = DatasetEvents.open(str(folder))
    assert (dataset.name, dataset.n_rows) == ("tiny", 5)
    batches = list(dataset.batches())
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [event.user_id for batch in batches for event in batch] == users


def test_a_plain_name_lies_under_recsys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    write(tmp_path / "datasets" / "movies", table(user_id=["a"], item_id=["i"], weight=[1]))
    assert DatasetEvents.open("movies").n_rows == 1
    with pytest.raises(UnknownNameError, match="mean 'movies'"):
        DatasetEvents.open("movie")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny", table(user_id=["a"], item_id=["i"], weight=[1]).drop("weight"))
    with pytest.raises(SchemaError, match="lacks weight"):
        DatasetEvents.open(str(folder))


def test_a_truncated_table_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny", table(user_id=["a"], item_id=["i"], weight=[1]))
    path = folder / "interactions.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not readable"):
        DatasetEvents.open(str(folder))


@pytest.mark.parametrize(
    ("column", "value"),
    [("timestamp", 2**60), ("timestamp", -(2**60)), ("weight", None), ("weight", 0.0), ("weight", float("nan"))],
)
def test_times_and_weights_that_cannot_be_kept_are_refused(tmp_path: Path, column: str, value: float | None) -> None:
    frame = table(user_id=["u"], item_id=["i"], weight=[1.0])
    wrong = frame.with_columns(pl.Series(column, [value]).cast(frame.schema[column]))
    dataset = DatasetEvents.open(str(write(tmp_path / "d", wrong)))
    with pytest.raises(DataError, match=f"1 rows of .* have a {column}"):
        list(dataset.batches())


@pytest.mark.parametrize("column", ["user_id", "item_id"])
@pytest.mark.parametrize("value", ["", "a\x00b", "x" * 513])
def test_what_is_no_id_for_a_request_is_none_here(tmp_path: Path, column: str, value: str) -> None:
    frame = table(user_id=["u" * 512, "v"], item_id=["🦎" * 512, "i"], weight=[1.0, 1.0])
    good = DatasetEvents.open(str(write(tmp_path / "good", frame)))
    assert [len(batch) for batch in good.batches()] == [2]
    wrong = frame.with_columns(pl.Series(column, [value, "w"]))
    dataset = DatasetEvents.open(str(write(tmp_path / "d", wrong)))
    with pytest.raises(DataError, match=f"1 rows of .* have a {column} .* ids of 1 to 512 characters without NUL"):
        list(dataset.batches())
