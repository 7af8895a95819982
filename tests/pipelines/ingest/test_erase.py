"""Erased users: the dataset is that of logs without them, and no log of before brings them back."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import dataset_fingerprint
from pipelines.ingest import changes
from pipelines.ingest.append import append
from pipelines.ingest.cleaning import CleaningRules, Keep
from pipelines.ingest.erase import erase
from pipelines.ingest.explain import Entity, explain
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from pipelines.ingest.summary import IngestSummary
from recsys_vae.data.erased_users import ErasedUsers, digest
from recsys_vae.errors import ConfigError, DataError, EmptyDataError

HEADER = "user_id,item_id,weight,timestamp\n"
ANN = "ann-who-leaves"
FAR = 4_000_000_000_000_000
"""After all that happened, in microseconds."""
ROWS = (
    f"{ANN},tea,5,1600000000", "bob,tea,5,1600000001", "bob,bun,5,1600000002", f"{ANN},bun,4,1600000003",
    "cat,tea,3,1600000004", "cat,bun,3,1600000005", f"{ANN},tea,2,1600000006", f"{ANN},jam,1,1600000007",
    f"{ANN},,5,1600000008", "bob,tea,5,1600000009", f'{ANN},tea,5,1600000010,"what', "dan,jam,5,1600000011",
    "dan,tea,5,1600000012", ",tea,5,1600000013",
)  # fmt: skip
MORE = (f"{ANN},tea,5,1600000020", "eve,tea,5,1600000021", "eve,bun,5,1600000022", f"{ANN},bun,soon,1600000023")
RULES = (
    CleaningRules(),
    CleaningRules(min_rating=2.0, min_user=2, min_item=2),
    CleaningRules(max_events_per_user=4),
    CleaningRules(dislike_below=4),
)


def log(folder: Path, name: str, rows: Sequence[str]) -> Path:
    path = folder / name
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


def without(rows: Sequence[str]) -> list[str]:
    return [row for row in rows if ANN not in row]


def assert_never_seen(one: DatasetDir, other: DatasetDir) -> None:
    """One is as if the logs had no row of the erased; `other` is made of such logs."""
    for table in ("interactions", "dislikes", "repeats", "users", "items"):
        paths = [folder.path / f"{table}.parquet" for folder in (one, other)]
        assert paths[0].is_file() == paths[1].is_file(), table
        if paths[0].is_file():
            assert pl.read_parquet(paths[0]).equals(pl.read_parquet(paths[1])), table
    losses = [pl.read_parquet(folder.losses_path).filter(entity="user") for folder in (one, other)]
    assert losses[0].equals(losses[1])
    mine, theirs = (IngestSummary.read(folder.summary_path) for folder in (one, other))
    assert (mine.kept, mine.quarantined, mine.user_rows) == (theirs.kept, theirs.quarantined, theirs.user_rows)
    assert [count for count in mine.lost if count.name != "erased"] == list(theirs.lost)
    erased = {count.name: count.rows for count in mine.lost}.get("erased", 0)
    assert erased == mine.rows_in - theirs.rows_in == ErasedUsers.read(one.path).rows
    assert dataset_fingerprint(one) == dataset_fingerprint(other)


def files_with(folder: Path, text: str) -> list[str]:
    """Files that hold a text, as bytes or in a column of a table."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and _has(path, text))


def _has(path: Path, text: str) -> bool:
    if text.encode() in path.read_bytes():
        return True
    read = {".parquet": pl.read_parquet, ".arrow": pl.read_ipc}.get(path.suffix)
    columns: Iterator[pl.Series] = iter(()) if read is None else read(path).iter_columns()
    return any(column.dtype == pl.String and column.str.contains(text, literal=True).any() for column in columns)


@pytest.mark.parametrize("rules", RULES)
def test_what_is_left_is_the_dataset_of_logs_without_them(tmp_path: Path, rules: CleaningRules) -> None:
    users = tmp_path / "users.csv"
    users.write_text(f"user_id,country\n{ANN},FI\nbob,DE\n")
    full, rest = DatasetDir(tmp_path / "full"), DatasetDir(tmp_path / "rest")
    ingest(Source((log(tmp_path, "a.csv", ROWS),), users=users), full, rules)
    assert "interactions.parquet" in files_with(full.path, ANN)
    users.write_text("user_id,country\nbob,DE\n")
    ingest(Source((log(tmp_path, "b.csv", without(ROWS)),), users=users), rest, rules)
    done = erase(full, {ANN: FAR})
    assert (done.users, done.present) == (1, 1)
    assert done.rows == len(ROWS) - len(without(ROWS))
    assert_never_seen(full, rest)
    assert files_with(full.path, ANN) == []
    assert explain(full, Entity.USER, ANN).rows_in == 0


@pytest.mark.parametrize("rules", RULES)
def test_no_log_brings_them_back(tmp_path: Path, rules: CleaningRules) -> None:
    full, rest = DatasetDir(tmp_path / "full"), DatasetDir(tmp_path / "rest")
    first, more = log(tmp_path, "a.csv", ROWS), log(tmp_path, "more.csv", MORE)
    ingest(Source((first,)), full, rules)
    erase(full, {ANN: FAR})
    append([first], full)
    append([first, more], full)
    logs = (log(tmp_path, "c.csv", without(ROWS)), log(tmp_path, "d.csv", without(MORE)))
    ingest(Source(logs), rest, rules)
    assert_never_seen(full, rest)
    assert files_with(full.path, ANN) == []
    ingest(Source((first, more)), full, rules, overwrite=True)
    assert_never_seen(full, rest)
    assert files_with(full.path, ANN) == []


def test_no_file_keeps_the_bytes_of_their_ids(tmp_path: Path) -> None:
    dataset = DatasetDir(tmp_path / "full")
    others = [f"{n},tea,5,{1600000000 + n}" for n in range(2000)] + ["another-long-name,tea,5,1600000000"]
    ingest(Source((log(tmp_path, "a.csv", [*others, *ROWS]),)), dataset)
    erase(dataset, {ANN: FAR})
    assert files_with(dataset.path, ANN) == []


def test_who_comes_back_is_known_by_what_happened_since(tmp_path: Path) -> None:
    dataset = DatasetDir(tmp_path / "full")
    ingest(Source((log(tmp_path, "a.csv", ROWS),)), dataset)
    erase(dataset, {ANN: 1_600_000_015_000_000})
    append([log(tmp_path, "b.csv", [f"{ANN},tea,5,1600000014", f"{ANN},bun,5,1600000016", f"{ANN},jam,5,"])], dataset)
    rows = dataset.interactions().filter(pl.col("user_id") == ANN).collect()
    assert rows["item_id"].to_list() == ["bun"]


def test_splits_that_hold_them_go(tmp_path: Path) -> None:
    dataset = DatasetDir(tmp_path / "full")
    ingest(Source((log(tmp_path, "a.csv", ROWS),)), dataset)
    for name, users in (("holds", [ANN, "bob"]), ("stays", ["bob"])):
        part = dataset.split_path(name) / "train"
        part.mkdir(parents=True)
        (dataset.split_path(name) / "split.json").write_text("{}")
        pl.DataFrame({"user_id": users}).write_ipc(part / "users.arrow")
    assert erase(dataset, {ANN: FAR}, dry_run=True).splits == ("holds",)
    assert dataset.splits() == ["holds", "stays"]
    erase(dataset, {ANN: FAR})
    assert dataset.splits() == ["stays"]
    assert not dataset.split_path("holds").exists()


def test_a_dataset_that_keeps_nothing_of_its_logs_is_thinned_table_by_table(tmp_path: Path) -> None:
    full, rest = DatasetDir(tmp_path / "full"), DatasetDir(tmp_path / "rest")
    ingest(Source((log(tmp_path, "a.csv", ROWS),)), full, appendable=False)
    erase(full, {ANN: FAR})
    ingest(Source((log(tmp_path, "b.csv", without(ROWS)),)), rest, appendable=False)
    assert_never_seen(full, rest)
    assert files_with(full.path, ANN) == []
    with pytest.raises(ConfigError, match="1 users were erased"):
        ingest(Source((log(tmp_path, "a.csv", ROWS),)), full, appendable=False, overwrite=True)


def test_ids_with_prefixes_and_as_floats_are_known(tmp_path: Path) -> None:
    from pipelines.ingest.said import Said

    dataset = DatasetDir(tmp_path / "full")
    rows = ["7.0,tea,5,1600000000", "8.0,tea,5,1600000001", "7.0,,5,1600000002"]
    said = Said(prefixes=((None, ("user_id", "shop-")),))
    ingest(Source((log(tmp_path, "a.csv", rows),), said=said), dataset)
    assert dataset.interactions().collect()["user_id"].to_list() == ["shop-7", "shop-8"]
    assert erase(dataset, {"shop-7": FAR}).rows == 2
    assert dataset.interactions().collect()["user_id"].to_list() == ["shop-8"]


def test_a_log_that_grew_is_still_taken_up(tmp_path: Path) -> None:
    dataset, path = DatasetDir(tmp_path / "full"), log(tmp_path, "a.csv", ROWS)
    ingest(Source((path,)), dataset)
    erase(dataset, {ANN: FAR})
    with path.open("a") as file:
        file.write("".join(f"{row}\n" for row in MORE))
    append([path], dataset)
    rest = DatasetDir(tmp_path / "rest")
    ingest(Source((log(tmp_path, "b.csv", without((*ROWS, *MORE))),)), rest)
    assert_never_seen(dataset, rest)


def test_nobody_left_or_a_damaged_list_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    dataset = DatasetDir(tmp_path / "full")
    ingest(Source((log(tmp_path, "a.csv", ROWS),)), dataset)
    before = dataset_fingerprint(dataset)
    with pytest.raises(EmptyDataError):
        erase(dataset, dict.fromkeys((ANN, "bob", "cat", "dan"), FAR))
    assert (dataset_fingerprint(dataset), ErasedUsers.read(dataset.path)) == (before, ErasedUsers())
    (dataset.path / "erased.json").write_text("[]")
    with pytest.raises(DataError, match="cannot be read"):
        append([log(tmp_path, "b.csv", MORE)], dataset)


def test_the_list_names_nobody(tmp_path: Path) -> None:
    erased = ErasedUsers().joined({ANN: 5}).joined({ANN: 3, "bob": 4})
    replace(erased, rows=2).write(tmp_path)
    told = json.loads((tmp_path / "erased.json").read_text())
    assert told == {"rows": 2, "users": {digest(ANN): 5, digest("bob"): 4}}
    assert ErasedUsers.read(tmp_path) == replace(erased, rows=2)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[list[str]], CleaningRules]:
    user, item = st.sampled_from([ANN, ANN, "1", "10", "é", "x y", ""]), st.sampled_from(["a", "b", "3", ""])
    weight, time = st.sampled_from(["1", "2", "5", "", "-1", "five"]), st.sampled_from(["16", "1600000000", "", "soon"])
    logs = draw(
        st.lists(st.lists(st.tuples(user, item, weight, time).map(",".join), max_size=12), min_size=2, max_size=4)
    )
    rules = CleaningRules(
        min_rating=draw(st.sampled_from([None, 2.0])),
        keep=draw(st.sampled_from(Keep)),
        max_events_per_user=draw(st.sampled_from([None, 4])),
        returns=draw(st.booleans()),
        min_user=draw(st.integers(1, 2)),
        min_item=draw(st.integers(1, 2)),
    )
    return logs, rules


@pytest.mark.parametrize("beside", [False, True])
@given(case=cases())
@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_logs_and_rules_they_are_as_if_never_seen(
    beside: bool, case: tuple[list[list[str]], CleaningRules]
) -> None:
    erased_as_if_never_seen(*case, beside=beside)


@pytest.mark.slow
@pytest.mark.parametrize("beside", [False, True])
@given(case=cases())
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_else_the_logs_hold_they_are_as_if_never_seen(
    beside: bool, case: tuple[list[list[str]], CleaningRules]
) -> None:
    erased_as_if_never_seen(*case, beside=beside)


def erased_as_if_never_seen(rows: list[list[str]], rules: CleaningRules, *, beside: bool) -> None:
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # what takes longest, and is about crashes
        if beside:
            patch.setattr(changes, "LARGE", 0)
            patch.setattr(changes, "SHARE", 100)
        folder = Path(name)
        stands = [f"{user},{item},2,1500000000" for user in ("s", "t") for item in ("u", "v")]
        whole = [[*(stands if n == 0 else []), *some, f"r,u,2,{n}"] for n, some in enumerate(rows)]
        full, rest = DatasetDir(folder / "full"), DatasetDir(folder / "rest")
        logs = [log(folder, f"{n}.csv", some) for n, some in enumerate(whole)]
        ingest(Source((logs[0],)), full, rules)
        for path in logs[1:-1]:
            append([path], full)
        erase(full, {ANN: FAR})
        append([logs[-1]], full)
        append([], full, fold=True)
        ingest(Source(tuple(log(folder, f"rest{n}.csv", without(some)) for n, some in enumerate(whole))), rest, rules)
        assert_never_seen(full, rest)
        assert files_with(full.path, ANN) == []
