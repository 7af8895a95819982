import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.ingest.cleaning import RULES, CleaningRules
from pipelines.ingest.dropped_rows import DroppedRows
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from pipelines.ingest.readers import delimited, reader
from pipelines.ingest.summary import Count, IngestSummary
from pipelines.ingest.table_schemas import DROPPED_ROWS, GIVEN_TEST, INTERACTIONS
from recsys_vae.data.features import Field
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, SchemaError

LOG = """user_id,item_id,weight,timestamp
b,1,5,1600000300
a,2,4,1600000200
a,1,5,1600000100
a,2,5,1600000400
b,3,1,1600000500
,1,5,1600000000
c,2,five,1600000000
c,1,4,
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


@pytest.fixture
def target(tmp_path: Path) -> DatasetDir:
    return DatasetDir(tmp_path / "dataset")


def test_a_log_becomes_a_dataset(log, target):
    summary = ingest(Source((log,)), target, CleaningRules(min_rating=4))
    rows = pl.read_parquet(target.interactions_path)
    assert rows.schema == INTERACTIONS.schema
    assert rows.select("user_id", "item_id", "weight", "position").rows() == [
        ("a", "1", 5.0, 0), ("a", "2", 5.0, 1), ("b", "1", 5.0, 0), ("c", "1", 4.0, None),
    ]  # fmt: skip
    assert summary.rows_in == 8
    assert summary.quarantined == (Count("user_id is missing", 1), Count("weight is not a number", 1))
    assert summary.lost == (Count("min_rating", 1), Count("duplicate", 1))
    assert (summary.kept.interactions, summary.kept.users, summary.kept.items) == (4, 3, 2)
    assert summary.kept.density == pytest.approx(4 / 6)
    assert summary.kept.first == datetime(2020, 9, 13, 12, 28, 20, tzinfo=UTC)
    assert (summary.kept.without_timestamp, summary.kept.without_position) == (1, 1)


def test_what_broke_the_contract_is_kept_with_its_place_and_reason(log, target):
    ingest(Source((log,)), target)
    quarantine = pl.read_parquet(target.quarantine_path)
    assert quarantine.select("user_id", "weight", "file", "row", "reason").rows() == [
        (None, "5", str(log), 5, "user_id is missing"),
        ("c", "five", str(log), 6, "weight is not a number"),
    ]


def test_every_loss_is_counted_for_its_user_and_its_item(log, target):
    ingest(Source((log,)), target, CleaningRules(min_rating=4, min_user=2))
    dropped_rows = pl.read_parquet(target.losses_path)
    assert dropped_rows.schema == DROPPED_ROWS.schema
    assert dropped_rows.rows() == [
        ("item", "1", "min_user", 2), ("item", "2", "duplicate", 1), ("item", "3", "min_rating", 1),
        ("user", "a", "duplicate", 1), ("user", "b", "min_rating", 1), ("user", "b", "min_user", 1),
        ("user", "c", "min_user", 1),
    ]  # fmt: skip


def test_rows_in_are_the_sum_of_what_is_kept_and_what_is_lost(log, target):
    summary = ingest(Source((log,)), target, CleaningRules(min_rating=4, min_user=2))
    taken = sum(count.rows for count in summary.quarantined + summary.lost)
    assert summary.rows_in == summary.kept.interactions + taken


@pytest.mark.parametrize("rows_per_part", [1, 2, 100])
def test_the_size_of_the_parts_changes_nothing(log, tmp_path, rows_per_part):
    whole, parts = DatasetDir(tmp_path / "whole"), DatasetDir(tmp_path / "parts")
    rules = CleaningRules(min_item=2)
    ingest(Source((log,)), whole, rules)
    ingest(Source((log,)), parts, rules, rows_per_part=rows_per_part)
    assert pl.read_parquet(whole.interactions_path).equals(pl.read_parquet(parts.interactions_path))
    assert pl.read_parquet(whole.losses_path).equals(pl.read_parquet(parts.losses_path))


def test_the_summary_on_disk_is_the_one_returned(log, target):
    summary = ingest(Source((log,)), target, CleaningRules(min_rating=4, since=datetime(2020, 1, 1, tzinfo=UTC)))
    assert IngestSummary.read(target.summary_path) == summary
    assert json.loads(target.summary_path.read_text())["rows_in"] == 8


def test_only_the_tables_of_a_dataset_are_left(log, target):
    ingest(Source((log,)), target)
    assert sorted(path.name for path in target.path.iterdir()) == [
        "accepted", "interactions.parquet", "losses.parquet", "quarantine.parquet", "repeats.parquet", "summary.json",
    ]  # fmt: skip


def test_a_published_test_part_is_among_the_interactions_and_listed(tmp_path, target):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("user_id,item_id\na,1\na,2\nb,1\n")
    test.write_text("user_id,item_id\na,3\nb,3\na,2\nz,9\n")
    summary = ingest(Source((train,), given_test=(test,)), target, CleaningRules(min_item=2))
    assert pl.read_parquet(target.interactions_path).select("user_id", "item_id").rows() == [
        ("a", "1"), ("a", "3"), ("b", "1"), ("b", "3"),
    ]  # fmt: skip
    given = pl.read_parquet(target.given_test_path)
    assert given.schema == GIVEN_TEST.schema
    assert given.rows() == [("a", "3"), ("b", "3")]
    assert summary.kept.given_test == 2


def test_metadata_of_other_ids_leave_no_dataset(log, tmp_path, target):
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\nB001,One\nB002,Two\n")
    with pytest.raises(
        DataError, match=r"items.csv describes none of the ids .* they are 1, 2, 3 .*, in the table B001"
    ):
        ingest(Source((log,), items=items), target)
    assert not target.path.exists()


def test_metadata_of_few_ids_are_noted(log, tmp_path, target):
    items, users = tmp_path / "items.csv", tmp_path / "users.csv"
    items.write_text("item_id,title\n1,One\n9,Nine\n")
    users.write_text("user_id,age\na,1\nb,2\nz,3\n")
    summary = ingest(Source((log,), items=items, users=users), target)
    assert (summary.users_described, summary.items_described) == (2, 1)
    assert summary.notes == ("the metadata describe 1 of 3 items. Are their ids those of the log?",)
    assert IngestSummary.read(target.summary_path) == summary


def test_values_that_are_not_the_numbers_they_were_declared_as_are_noted(log, tmp_path, target):
    items = tmp_path / "items.csv"
    items.write_text('item_id,price,rank,stock\n1,"1,000.50",1,3\n2,$5,2,\n3, 7.5 ,3,1e2\n')
    fields = Fields(items=(Field("price", "number"), Field("stock", "number"), Field("rank", "category")))
    summary = ingest(Source((log,), items=items, fields=fields), target)
    assert summary.unreadable_numbers == (Count("price", 2),)
    (note,) = summary.notes
    assert note.startswith("2 values of the field 'price' are no numbers")


def test_positions_that_contradict_the_times_are_noted(tmp_path, target):
    log = tmp_path / "log.csv"
    rows = ["a,1,1700000300,1", "a,2,1700000100,2", "a,3,1700000200,3", "b,1,1700000100,1", "b,2,1700000200,2"]
    log.write_text("user_id,item_id,timestamp,position\n" + "\n".join(rows) + "\n")
    summary = ingest(Source((log,)), target)
    assert target.interactions().collect()["item_id"].to_list() == ["1", "2", "3", "1", "2"]
    assert summary.kept.users_against_time == 1
    (note,) = summary.notes
    assert note.startswith("the log's column `position` orders the rows of 1 of 2 users otherwise than `timestamp`")


def test_metadata_keeps_ids_without_interactions(log, tmp_path, target):
    items = tmp_path / "items.csv"
    items.write_text("title,item_id\nOne,1\nNever,99\n")
    summary = ingest(Source((log,), items=items), target)
    assert pl.read_parquet(target.items_path).rows() == [("1", "One"), ("99", "Never")]
    assert (summary.item_rows, summary.user_rows) == (2, None)


def test_files_of_different_formats_are_one_log(tmp_path, target):
    (tmp_path / "a.csv").write_text("user_id,item_id,weight\n1,x,2\n")
    pl.DataFrame({"user_id": [1], "item_id": ["y"]}).write_parquet(tmp_path / "b.parquet")
    ingest(Source((tmp_path / "a.csv", tmp_path / "b.parquet")), target)
    assert pl.read_parquet(target.interactions_path).select("user_id", "item_id", "weight").rows() == [
        ("1", "x", 2.0), ("1", "y", 1.0),
    ]  # fmt: skip


def test_an_existing_dataset_is_replaced_only_on_demand(log, target):
    ingest(Source((log,)), target)
    with pytest.raises(ConfigError, match="--overwrite"):
        ingest(Source((log,)), target)
    ingest(Source((log,)), target, CleaningRules(min_rating=5), overwrite=True)
    assert pl.read_parquet(target.interactions_path)["weight"].unique().to_list() == [5.0]


def test_a_failed_ingest_leaves_the_old_dataset_and_nothing_else(log, target):
    ingest(Source((log,)), target)
    before = target.summary_path.read_bytes()
    with pytest.raises(EmptyDataError):
        ingest(Source((log,)), target, CleaningRules(min_rating=6), overwrite=True)
    assert target.summary_path.read_bytes() == before
    assert sorted(path.name for path in target.path.parent.iterdir()) == ["dataset", "log.csv"]


def test_losing_everything_says_which_rule_took_it(log, target):
    with pytest.raises(EmptyDataError, match=r"None of the 8 rows is left\. .*4 to 'min_user'"):
        ingest(Source((log,)), target, CleaningRules(min_rating=4, min_user=9))
    assert not target.path.exists()


def test_a_log_without_rows_is_an_error(tmp_path, target):
    (tmp_path / "log.csv").write_text("user_id,item_id\n")
    with pytest.raises(EmptyDataError, match="columns but no rows"):
        ingest(Source((tmp_path / "log.csv",)), target)


def test_a_row_that_does_not_fit_its_header_goes_to_quarantine(tmp_path, target):
    (tmp_path / "log.csv").write_text("user_id,item_id\n1,2\n1,2,3\n")
    summary = ingest(Source((tmp_path / "log.csv",)), target)
    assert (summary.rows_in, summary.quarantined) == (2, (Count("3 fields where there are 2 columns", 1),))


@pytest.mark.parametrize(
    ("rules", "column"),
    [
        (CleaningRules(min_rating=1), "weight"),
        (CleaningRules(event_weights=(("buy", 1.0),)), "event_type"),
        (CleaningRules(since=datetime(2020, 1, 1, tzinfo=UTC)), "timestamp"),
    ],
)
def test_a_rule_without_its_column_is_an_error(tmp_path, target, rules, column):
    (tmp_path / "log.csv").write_text("user_id,item_id\n1,2\n")
    with pytest.raises(ConfigError, match=f"needs a column '{column}'"):
        ingest(Source((tmp_path / "log.csv",)), target, rules)


def test_losses_add_up_over_calls(tmp_path):
    dropped_rows = DroppedRows(pl.Series(["a", "b", "c"]), pl.Series(["1"]))
    rows = pl.DataFrame({"user_id": [0, 1], "item_id": [0, 0], "lost_to": pl.Series(["duplicate", None], dtype=RULES)})
    dropped_rows.add(rows)
    dropped_rows.add(rows.with_columns(pl.lit(2).cast(pl.Int64).alias("user_id")))
    assert dropped_rows.totals() == (Count("duplicate", 2),)
    dropped_rows.write(tmp_path / "losses.parquet")
    assert pl.read_parquet(tmp_path / "losses.parquet").rows() == [
        ("item", "1", "duplicate", 2), ("user", "a", "duplicate", 1), ("user", "c", "duplicate", 1),
    ]  # fmt: skip


INCHES = 'user_id,item_id,name\n1,a,Cable\n2,b,TV 19"\n3,c,Lamp\n4,d,Mug\n5,e,TV 21"\n6,f,Cup\n'


def test_quote_marks_within_a_column_that_is_not_mapped_lose_no_row(tmp_path, target):
    (tmp_path / "log.csv").write_text(INCHES)
    (tmp_path / "items.csv").write_text(INCHES.replace("user_id,", "shelf,"))
    summary = ingest(Source((tmp_path / "log.csv",), items=tmp_path / "items.csv"), target)
    assert (summary.rows_in, summary.kept.interactions, summary.item_rows) == (6, 6, 6)
    assert pl.read_parquet(target.items_path)["name"].to_list()[1] == 'TV 19"'


@pytest.mark.parametrize("role", ["log", "items"])
def test_rows_that_the_parser_loses_are_missed(tmp_path, target, monkeypatch, role):
    for name in ("log.csv", "items.csv"):
        (tmp_path / name).write_text("user_id,item_id\n1,a\n2,b\n3,c\n")
    cut = delimited._cut
    open_log = reader._open

    def opened(path, *rest, **options):
        monkeypatch.setattr(delimited, "_cut", (lambda *a: cut(*a).head(2)) if path.name.startswith(role) else cut)
        return open_log(path, *rest, **options)

    monkeypatch.setattr(reader, "_open", opened)
    monkeypatch.setenv("RECSYS_NATIVE", "0")
    with pytest.raises(DataError, match=rf"{role}\.csv: of 3 lines 3 are accounted for, .* 2 were read"):
        ingest(Source((tmp_path / "log.csv",), items=tmp_path / "items.csv"), target)
    assert not target.path.exists()


def test_lines_that_cannot_be_read_go_to_quarantine_and_the_rest_is_read(tmp_path, target):
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_bytes(b'user_id,item_id,title\n1,a,"TV, 19"""\n2,b,x,y\n3,c,\xff\n\n4,d,"open\n5,e,"TV"\n6')
    items.write_text("item_id,title\na,One\nb,Two,2\n")
    summary = ingest(Source((log,), items=items), target)
    quarantine = pl.read_parquet(target.quarantine_path).sort("file", "row")
    assert quarantine.select("file", "row", "line", "raw", "reason").rows() == [
        (str(items), 3, 3, "b,Two,2", "items.csv: 3 fields where there are 2 columns"),
        (str(log), 1, 3, "2,b,x,y", "4 fields where there are 3 columns"),
        (str(log), 2, 4, "3,c,\\xff", "a byte that is no text in the file's encoding"),
        (str(log), 3, 6, '4,d,"open', "a quote mark opens a field and is never closed"),
        (str(log), 5, 8, "6", "the last line has no line end and 1 of 3 fields: it is cut off"),
    ]
    assert pl.read_parquet(target.interactions_path)["user_id"].to_list() == ["1", "5"]
    assert (summary.rows_in, summary.lines, summary.lines_apart) == (6, 8, 2)
    assert (summary.item_rows, len(summary.quarantined), len(summary.metadata_quarantined)) == (1, 4, 1)


def test_columns_that_begin_late_in_json_lines_are_read(tmp_path, target):
    (tmp_path / "log.ndjson").write_text(
        '{"item_id": "x"}\n' * 1200 + '{"user_id": 7, "item_id": 1.0, "rating": 4.5, "timestamp": 1600000000}\n'
    )
    summary = ingest(Source((tmp_path / "log.ndjson",)), target, CleaningRules(min_rating=4))
    assert summary.quarantined == (Count("user_id is missing", 1200),)
    assert pl.read_parquet(target.interactions_path).select("user_id", "item_id", "weight").rows() == [("7", "1", 4.5)]
    assert summary.kept.first == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)


def test_objects_without_any_column_that_is_read_are_quarantined(tmp_path, target):
    (tmp_path / "log.ndjson").write_text('{"user_id": 1, "item_id": 2}\n{"other": 1}\n{}')
    summary = ingest(Source((tmp_path / "log.ndjson",)), target)
    assert (summary.rows_in, summary.quarantined) == (3, (Count("user_id is missing", 2),))


def test_a_key_that_is_missing_in_all_of_a_json_log_lists_those_that_are_there(tmp_path, target):
    (tmp_path / "log.ndjson").write_text('{"userId": 1, "item_id": 2}\n')
    with pytest.raises(SchemaError, match=r"no column 'user_id'\. Columns found: item_id, userId\. .*user_id=userId"):
        ingest(Source((tmp_path / "log.ndjson",)), target)


def test_marks_of_globs_in_paths_are_taken_as_they_stand(tmp_path):
    folder = tmp_path / "a[1]*"
    folder.mkdir()
    (folder / "log.csv").write_text("user_id,item_id\n" + "".join(f"{n},x\n" for n in range(9)) + ",y\n1,2,3\n")
    (folder / "items.csv").write_text("item_id,title\nx,One\n")
    source = Source((folder / "log.csv",), items=folder / "items.csv")
    summary = ingest(source, DatasetDir(folder / "shop"), CleaningRules(min_item=2), rows_per_part=1)
    assert (summary.rows_in, summary.kept.interactions, len(summary.quarantined)) == (11, 9, 2)
