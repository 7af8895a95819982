"""Old events and lists leave the store, over both databases; and who was erased is found in datasets."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys_vae.data.erased_users import ErasedUsers
from recsys_vae.errors import ConfigError
from service import timestamps
from service.jobs.erased_users import WRITTEN, find_erased, write_list
from service.jobs.retention import Cleaned, clean_events
from service.store.events import Event, EventStore
from service.store.impressions import Impression, ImpressionTable
from tests.service.places import Place, count_events

DAY = 86_400_000_000


@pytest.fixture
def store(place: Place) -> Iterator[EventStore]:
    with closing(place.open()) as store:
        yield store


def event(user_id: str, item_id: str, days_ago: float | None) -> Event:
    time = None if days_ago is None else timestamps.now() - int(days_ago * DAY)
    return Event(f"{user_id} {item_id}", user_id, item_id, None, 1.0, time)


def shown(user_id: str | None, days_ago: float) -> Impression:
    return Impression("r", user_id, "a", "v1", True, ("tea",), timestamps.now() - int(days_ago * DAY), 10**6)


def before(days: float) -> int:
    return timestamps.now() - int(days * DAY)


def fill(store: EventStore) -> None:
    rows = [event("ann", f"i{n}", n) for n in range(10)]
    store.append([[*rows, event("bob", "tea", 9), event("cat", "tea", 1), event("dan", "tea", None)]], "api")
    ImpressionTable(store.database).add([shown("ann", 9), shown(None, 7), shown("bob", 1)])


@pytest.mark.parametrize("batch", [2, 100])
def test_what_is_older_than_its_limit_goes_and_nothing_else(store: EventStore, batch: int) -> None:
    fill(store)
    versions = {user: store.version(user) for user in ("ann", "bob", "cat", "dan")}
    counted: list[int] = []
    done = clean_events(
        store.database, events_before=before(4.5), impressions_before=before(5), batch=batch, say=counted.append
    )
    assert done == Cleaned(6, 2, 2)
    assert sum(counted) == 8
    assert list(store.history("ann").history) == ["i4", "i3", "i2", "i1", "i0"]
    assert (count_events(store), list(store.history("dan").history)) == (7, ["tea"])
    assert store.version("ann") not in (0, versions["ann"])
    assert store.version("bob") == 0, "of whom nothing is held"
    assert [store.version(user) for user in ("cat", "dan")] == [versions["cat"], versions["dan"]]
    lists = ImpressionTable(store.database)
    assert (lists.count("ann"), lists.count("bob")) == (0, 1)


def test_a_dry_run_counts_and_removes_nothing(store: EventStore) -> None:
    fill(store)
    assert clean_events(store.database, events_before=before(4.5), impressions_before=None, dry_run=True) == Cleaned(
        6, 0
    )
    assert count_events(store) == 13


def dataset(folder: Path, rows: list[tuple[str, datetime | None]], losses: tuple[str, ...] = ()) -> Path:
    folder.mkdir()
    schema = {"user_id": pl.String, "timestamp": pl.Datetime("us")}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / "interactions.parquet")
    lost = [{"entity": "user", "id": user, "rule": "min_user", "rows": 1} for user in losses]
    schema = {"entity": pl.String, "id": pl.String, "rule": pl.String, "rows": pl.Int64}
    pl.DataFrame(lost, schema=schema).write_parquet(folder / "losses.parquet")
    return folder


LONG_AGO, FAR = datetime(2020, 1, 1), datetime(2100, 1, 1)


def test_whoever_was_erased_and_is_still_held_is_found(store: EventStore, tmp_path: Path) -> None:
    store.take([event(user, "tea", 1) for user in ("ann", "bob", "cat", "eve")], "api")
    for user in ("ann", "cat", "eve", "fay", "gus"):
        store.erase(user)
    rows = [("ann", LONG_AGO), ("ann", FAR), ("bob", LONG_AGO), ("cat", FAR), ("eve", None)]
    folder = dataset(tmp_path / "shop", rows, losses=("fay",))
    found = find_erased(store.database, str(folder))
    assert (found.users, set(found.erased)) == (5, {"ann", "eve", "fay"}), "cat has come back since"
    ErasedUsers().joined({"ann": found.erased["ann"]}).write(folder)
    assert set(find_erased(store.database, str(folder)).erased) == {"eve", "fay"}
    store.erase("ann")
    assert set(find_erased(store.database, str(folder)).erased) == {"ann", "eve", "fay"}


def test_one_table_may_be_asked_about_and_lists_replace_lists_only(store: EventStore, tmp_path: Path) -> None:
    store.erase("ann")
    pl.DataFrame({"user_id": ["ann", "bob"]}).write_parquet(tmp_path / "lists.parquet")
    found = find_erased(store.database, str(tmp_path / "lists.parquet"))
    assert set(found.erased) == {"ann"}
    path = tmp_path / "erased.csv"
    write_list(found.erased, path)
    write_list(found.erased, path)
    moment = datetime.fromisoformat(pl.read_csv(path)["erased_at"][0])
    assert timestamps.to_microseconds(moment) == found.erased["ann"]
    assert moment <= datetime.now(UTC)
    path.write_text("my own notes\n")
    with pytest.raises(ConfigError, match="erased-users"):
        write_list(found.erased, path)
    assert not WRITTEN.is_directory
