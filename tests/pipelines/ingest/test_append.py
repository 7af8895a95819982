"""Appended logs: the dataset is what one ingest of all of them makes."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.histories import read_histories
from pipelines.dataset.splits import dataset_fingerprint
from pipelines.ingest import changes
from pipelines.ingest.append import append
from pipelines.ingest.cleaning import CleaningRules, Keep
from pipelines.ingest.explain import Entity, explain
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from pipelines.ingest.settings import Settings
from pipelines.ingest.summary import Count, IngestSummary
from pipelines.public_datasets import catalog
from recsys_vae.data import changed_tables
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import BusyError, ConfigError, DataError
from recsys_vae.locks import lock_path
from service.jobs.history_import import DatasetEvents

HEADER = "user_id,item_id,event_type,weight,timestamp\n"
TABLES = ("interactions", "dislikes", "repeats", "losses", "quarantine", "users", "items")


def log(folder: Path, name: str, *rows: str, header: str = HEADER) -> Path:
    path = folder / name
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return path


def losses(dataset: DatasetDir) -> pl.DataFrame:
    files = [dataset.losses_path, *changed_tables.change_files(dataset.path, "losses")]
    tables = [pl.read_parquet(path).with_columns(pl.col("rows").cast(pl.Int64)) for path in files]
    rows = pl.concat(tables).group_by("entity", "id", "rule").agg(pl.col("rows").sum())
    return rows.filter(pl.col("rows") != 0).sort("entity", "id", "rule")


def assert_equal(one: DatasetDir, other: DatasetDir) -> None:
    """Equal as they are read; and, where no changes lie beside the tables, file by file."""
    assert one.interactions().collect().equals(other.interactions().collect())
    for read in (DatasetDir.repeats, DatasetDir.dislikes):
        tables = [read(folder) for folder in (one, other)]
        assert (tables[0] is None) == (tables[1] is None)
        if tables[0] is not None:
            assert tables[0].collect().equals(tables[1].collect())
    assert losses(one).equals(losses(other))
    for table in ("quarantine", "users", "items") if one.changes() else TABLES:
        mine, theirs = (folder.path / f"{table}.parquet" for folder in (one, other))
        assert mine.is_file() == theirs.is_file(), table
        if mine.is_file():
            assert pl.read_parquet(mine).equals(pl.read_parquet(theirs)), table
            assert pl.read_parquet_schema(mine) == pl.read_parquet_schema(theirs), table
    counted = [replace(IngestSummary.read(folder.summary_path), dataset="") for folder in (one, other)]
    assert counted[0] == counted[1]
    assert dataset_fingerprint(one) == dataset_fingerprint(other)


def check(folder: Path, logs: Sequence[Path], rules: CleaningRules, **source) -> DatasetDir:
    """Ingest the first log, append the others one by one, and compare with one ingest of all."""
    appended, whole = DatasetDir(folder / "appended"), DatasetDir(folder / "whole")
    ingest(Source((logs[0],), **source), appended, rules)
    for path in logs[1:]:
        append([path], appended)
    ingest(Source(tuple(logs), **source), whole, rules)
    assert_equal(appended, whole)
    return appended


@st.composite
def cases(draw):
    user = st.sampled_from(["1", "2", "10", "é", "x y", "2.0", "7.5", ""])
    item = st.sampled_from(["a", "b", "3", "30", "3.0", ""])
    kind = st.sampled_from(["view", "buy", "", "odd", "hide"])
    weight = st.sampled_from(["1", "2", "5", "", "-1", "five", "2.5"])
    times = st.sampled_from(["1600000000", "1600000100", "1700000000", "", "soon", "1600000050"])
    row = st.tuples(user, item, kind, weight, times).map(",".join)
    logs = draw(st.lists(st.lists(row, max_size=12), min_size=2, max_size=4))
    dislikes = draw(st.sampled_from([(), ("hide",)]))
    rules = CleaningRules(
        dislikes=dislikes,
        dislike_below=draw(st.sampled_from([None, 2.0])) if dislikes else None,
        min_rating=draw(st.sampled_from([None, 2.0])),
        event_weights=draw(st.sampled_from([(), (("view", 1.0), ("buy", 3.0), ("*", 0.5))])),
        keep=draw(st.sampled_from(Keep)),
        max_events_per_user=draw(st.sampled_from([None, 4])),
        returns=not dislikes and draw(st.booleans()),
        min_user=draw(st.integers(1, 2)),
        min_item=draw(st.integers(1, 2)),
    )
    return logs, rules


@pytest.mark.parametrize("beside", [False, True])
@given(case=cases())
@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_appended_the_dataset_is_that_of_one_ingest(beside, case):
    appended_and_ingested_at_once(*case, beside=beside)


@pytest.mark.slow
@pytest.mark.parametrize("beside", [False, True])
@given(case=cases())
@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_else_is_appended_the_dataset_is_that_of_one_ingest(beside, case):
    appended_and_ingested_at_once(*case, beside=beside)


def appended_and_ingested_at_once(rows, rules, *, beside):
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # what takes longest, and is about crashes
        if beside:
            patch.setattr(changes, "LARGE", 0)
            patch.setattr(changes, "SHARE", 100)
        folder = Path(name)
        # Rows that stand whatever else is there, so that no ingest is left without any.
        stands = [f"{user},{item},view,2,1500000000" for user in ("s", "t") for item in ("u", "v")]
        logs = [log(folder, f"{n}.csv", *(stands if n == 0 else []), *some, f"r,u,view,2,{n}")
                for n, some in enumerate(rows)]  # fmt: skip
        check(folder, logs, rules)


def test_changes_lie_beside_large_tables_until_they_are_folded(tmp_path, monkeypatch):
    monkeypatch.setattr(changes, "LARGE", 0)
    monkeypatch.setattr(changes, "SHARE", 1)
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\nx,X\ny,Y\nz,Z\n")
    logs = [
        log(tmp_path, "1.csv", "b,x,v,1,100000000", "b,y,v,1,100000100", "a,x,v,1,100000050", "e,x,v,1,", "e,x,v,2,"),
        log(tmp_path, "2.csv", "b,x,v,1,100000200", "c,z,v,1,100000300", "d,q,v,.5,100000300"),
        log(tmp_path, "3.csv", "c,z,buy,1,100000400", "b,w,v,1,100000300", ",w,v,1,"),
    ]
    target = check(tmp_path, logs, CleaningRules(min_rating=1), items=items)
    assert [path.name for path in target.changes() if "interactions" in path.name] == [
        "interactions-0.parquet", "interactions-1.parquet",
    ]  # fmt: skip
    assert pl.read_parquet(target.interactions_path)["user_id"].to_list() == ["a", "b", "b", "e"]
    found = explain(target, Entity.USER, "b")
    assert (found.kept, found.lost) == (3, (Count("the same user and item again (--keep last)", 1),))
    assert explain(target, Entity.USER, "d").lost[0].rows == 1
    chunks = list(read_histories(target, IdMap(pl.Series(["w", "x", "y", "z"])), size=2))
    assert [user for chunk in chunks for user in chunk.users] == ["a", "b", "c", "e"]
    events = DatasetEvents.open(str(target.path))
    read = [event for batch in events.batches() for event in batch]
    assert (len(read), events.n_rows) == (9, 9)  # repeats are events, too
    whole = DatasetDir(tmp_path / "whole")
    append([], target, fold=True)
    assert target.changes() == []
    assert_equal(target, whole)


def test_after_many_appends_few_files_are_left(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.ingest.append.MOST_PARTS", 3)
    logs = [log(tmp_path, f"{n}.csv", f"u{n},x,v,1,{n}00000000", f"u{n % 2},y,v,.5,") for n in range(1, 7)]
    target = check(tmp_path, logs, CleaningRules(min_rating=1))
    files = sorted(path.name for path in (target.path / "accepted").glob("*-*.arrow"))
    assert [name for name in files if name.startswith("rows")] == ["rows-0.arrow", "rows-1.arrow", "rows-2.arrow"]
    assert len(files) == 5 * 3


@pytest.mark.slow
@pytest.mark.parametrize("rules", [CleaningRules(), CleaningRules(min_rating=4, min_user=5, min_item=5)])
@pytest.mark.parametrize("beside", [False, True])
def test_movielens_1m_day_by_day(tmp_path, monkeypatch, rules, beside):
    if beside:
        monkeypatch.setattr(changes, "LARGE", 0)
    folder = catalog.locate(catalog.find_dataset("movielens-1m"))
    if folder is None:
        pytest.skip("MovieLens 1M is not here")
    ratings = pl.read_parquet(folder / "ratings.parquet").sort("timestamp", maintain_order=True)
    day = ratings["timestamp"] // 86_400
    days = day.unique().sort()[-8:].to_list()
    logs = []
    for number, frame in enumerate([ratings.filter(day <= days[0]), *(ratings.filter(day == one) for one in days[1:])]):
        logs.append(tmp_path / f"{number}.parquet")
        frame.write_parquet(logs[-1])
    check(tmp_path, logs, rules, mapping=catalog.MOVIELENS_COLUMNS)


def test_positions_events_and_files_of_other_columns(tmp_path):
    logs = [
        log(tmp_path, "1.csv", "a,x,3", "a,y,1", "b,x,0", "b,x,2", header="user_id,item_id,position\n"),
        log(tmp_path, "2.csv", "a,z,2020-01-01", "c,x,2020-01-02", header="user_id,item_id,timestamp\n"),
        log(tmp_path, "3.csv", "b,y,buy", "b,y,buy", header="user_id,item_id,event_type\n"),
    ]
    check(tmp_path, logs, CleaningRules())


def test_a_rule_finds_its_column_in_earlier_logs(tmp_path):
    logs = [
        log(tmp_path, "1.csv", "a,x,3", "b,x,1", header="user_id,item_id,weight\n"),
        log(tmp_path, "2.csv", "c,x", header="user_id,item_id\n"),
    ]
    check(tmp_path, logs, CleaningRules(min_rating=2))


def test_a_log_that_is_in_is_skipped_under_any_name(tmp_path):
    first, second = log(tmp_path, "1.csv", "a,x,,1,"), log(tmp_path, "2.csv", "b,x,,1,")
    target = DatasetDir(tmp_path / "dataset")
    ingest(Source((first,)), target)
    append([second], target)
    before = {path: path.stat().st_ino for path in target.path.rglob("*")}
    copy = tmp_path / "copy.csv"
    copy.write_bytes(first.read_bytes())
    os.utime(second, (1, 1))
    found = append([copy, second], target)
    assert [one.known.path for one in found.arrivals if one.known] == [str(first), str(second)]
    assert found.rows_in == 0
    assert {path: path.stat().st_ino for path in target.path.rglob("*")} == before


@pytest.mark.parametrize(
    ("cut", "rest"),
    [
        ("c,y,view", ",2,1600000000\nd,x,view,1,\n"),
        ("c,y,view,2,16000", "00000\nd,x,view,1,\n"),
        ("c,y,view,2,1600000000", "\nd,x,view,1,\n"),
        ("c,y,view,2,1600000000\n", "d,x,view,1,\n"),
        ("c,y,view,2,1600000000", "\n"),
    ],
)
def test_a_log_that_grows_is_read_on_and_its_cut_line_taken_when_it_is_whole(tmp_path, cut, rest):
    growing = tmp_path / "today.csv"
    growing.write_text(HEADER + "a,x,view,1,1600000000\n,x,view,1,\n" + cut)
    other = log(tmp_path, "other.csv", "a,x,view,1,1600000000", "b,,view,1,", "c,y,view,3,1600000000")
    appended, whole = DatasetDir(tmp_path / "appended"), DatasetDir(tmp_path / "whole")
    ingest(Source((growing,)), appended)
    append([other], appended)
    with growing.open("a") as file:
        file.write(rest)
    append([growing], appended)
    ingest(Source((growing, other)), whole)
    assert_equal(appended, whole)


def test_a_header_that_was_cut_and_json_that_grows(tmp_path):
    first = log(tmp_path, "first.csv", "a,x,view,1,")
    empty, lines = tmp_path / "empty.csv", tmp_path / "events.ndjson"
    empty.write_text(HEADER.rstrip())
    lines.write_text('{"user_id": "q", "item_id": "x"}\n{"user_id": "r", "it')
    appended, whole = DatasetDir(tmp_path / "appended"), DatasetDir(tmp_path / "whole")
    ingest(Source((first, empty, lines)), appended)
    assert IngestSummary.read(appended.summary_path).quarantined[0].rows == 1
    with empty.open("a") as file:
        file.write("\nb,x,view,2,\n")
    with lines.open("a") as file:
        file.write('em_id": "y", "rating": 3}\n')
    append([empty, lines], appended)
    ingest(Source((first, empty, lines)), whole)
    assert_equal(appended, whole)


def test_metadata_are_kept_or_take_the_place_of_those_before(tmp_path):
    first, second = log(tmp_path, "1.csv", "a,x,,1,"), log(tmp_path, "2.csv", "b,y,,1,")
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text("item_id,title\nx,X\nbroken,1,2,3\n")
    new.write_text("item_id,title\nx,X\ny,Y\n")
    appended, whole = DatasetDir(tmp_path / "appended"), DatasetDir(tmp_path / "whole")
    ingest(Source((first,), items=old), appended)
    append([second], appended)
    ingest(Source((first, second), items=old), whole)
    assert_equal(appended, whole)
    append([], appended, given=Settings(items=new))
    ingest(Source((first, second), items=new), whole, overwrite=True)
    assert_equal(appended, whole)


def test_settings_are_kept_and_may_not_be_contradicted(tmp_path):
    first, second = log(tmp_path, "1.csv", "a,x,,1,"), log(tmp_path, "2.csv", "b,y,,1,")
    target = DatasetDir(tmp_path / "dataset")
    ingest(Source((first,)), target, CleaningRules(min_rating=1.0))
    with pytest.raises(ConfigError, match=r"--min-rating contradicts .* ingested with 1\.0, and 2\.0 is given"):
        append([second], target, given=Settings(CleaningRules(min_rating=2.0)), options=["--min-rating"])
    found = append([second], target, given=Settings(CleaningRules(min_rating=1)), options=["--min-rating"])
    assert found.new_users == 1


def test_a_dry_run_reads_and_writes_nothing(tmp_path):
    first, second = log(tmp_path, "1.csv", "a,x,,1,"), log(tmp_path, "2.csv", "b,x,,1,", "a,x,,1,", ",x,,1,")
    target = DatasetDir(tmp_path / "dataset")
    ingest(Source((first,)), target)
    before = {path: path.stat().st_mtime_ns for path in target.path.rglob("*")}
    found = append([first, second], target, dry_run=True)
    assert (found.rows_in, found.accepted, found.new_users, found.new_items) == (3, 2, 1, 0)
    assert {path: path.stat().st_mtime_ns for path in target.path.rglob("*")} == before
    assert found.said() == [
        f"1.csv: in already, as {first}; skipped",
        "1 logs taken, 1 skipped: 3 rows, of them 2 accepted and 1 quarantined; 1 new users, 0 new items",
    ]


def test_an_append_that_fails_leaves_the_dataset_whole(tmp_path):
    first, second = log(tmp_path, "1.csv", "a,x,,1,"), log(tmp_path, "2.csv", "b,x,,1,")
    target, whole = DatasetDir(tmp_path / "appended"), DatasetDir(tmp_path / "whole")
    ingest(Source((first,)), target)
    ingest(Source((first,)), whole)

    def stop(step: str) -> None:
        if step.startswith("sorting"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        append([second], target, step=stop)
    assert_equal(target, whole)
    assert not list(tmp_path.glob(".*"))
    append([second], target)
    ingest(Source((first, second)), whole, overwrite=True)
    assert_equal(target, whole)


def test_splits_and_studies_stay(tmp_path):
    first, second = log(tmp_path, "1.csv", "a,x,,1,"), log(tmp_path, "2.csv", "b,x,,1,")
    target = DatasetDir(tmp_path / "dataset")
    ingest(Source((first,)), target)
    (target.path / "studies" / "one").mkdir(parents=True)
    (target.path / "studies" / "one" / "best.toml").write_text("a = 1")
    append([second], target)
    assert (target.path / "studies" / "one" / "best.toml").read_text() == "a = 1"


def test_what_cannot_be_appended_to_is_said(tmp_path):
    first, second = log(tmp_path, "1.csv", "a,x,,1,"), log(tmp_path, "2.csv", "b,x,,1,")
    target = DatasetDir(tmp_path / "dataset")
    with pytest.raises(ConfigError, match="Ingest once without --append"):
        append([second], target)
    ingest(Source((first,)), target, appendable=False)
    with pytest.raises(ConfigError, match="--no-appendable"):
        append([second], target)
    ingest(Source((first,)), target, overwrite=True)
    with lock_path(target.path).open("w") as held:
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BusyError):
            append([second], target)


def test_a_packed_log_that_grows_is_refused_and_one_of_other_content_is_new(tmp_path):
    import gzip

    packed, plain = tmp_path / "1.csv.gz", log(tmp_path, "1.csv", "a,x,,1,")
    packed.write_bytes(gzip.compress((HEADER + "c,x,,1,\n").encode()))
    target = DatasetDir(tmp_path / "dataset")
    ingest(Source((plain, packed)), target)
    with packed.open("ab") as file:
        file.write(gzip.compress(b"d,x,,1,\n"))
    with pytest.raises(DataError, match="no text of which more could be read alone"):
        append([packed], target)
    log(tmp_path, "1.csv", "z,x,,1,")
    found = append([plain], target)
    assert found.arrivals[0].is_other
    assert "another content" in found.said()[0]
    assert pl.read_parquet(target.interactions_path)["user_id"].to_list() == ["a", "c", "z"]


def test_the_state_says_what_the_logs_were(tmp_path):
    first = log(tmp_path, "1.csv", "a,x,,1,")
    target = DatasetDir(tmp_path / "dataset")
    ingest(Source((first,)), target)
    state = json.loads((target.path / "accepted" / "state.json").read_text())
    assert (state["files"][0]["path"], state["files"][0]["size"]) == (str(first), first.stat().st_size)
