"""Files as people have them, read whole: units and ids by column, headers, encodings, parts, what is said of files."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.cleaning import CleaningRules, Keep
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_files import ColumnMap, find_files
from pipelines.ingest.log_sources import Source
from pipelines.ingest.readers import streams
from pipelines.ingest.said import Said, parse_prefixes, split_column_option
from pipelines.ingest.summary import Count
from recsys_vae.errors import ConfigError, DataError, SchemaError

FILES = Path(__file__).parents[2] / "formats"


@pytest.fixture
def read(tmp_path):
    """Ingest files; returns the summary and the dataset's rows of the columns named."""

    def read(*paths, columns=("user_id", "item_id"), rules=None, **more):
        target = DatasetDir(tmp_path / "dataset")
        summary = ingest(Source(tuple(paths), **more), target, rules or CleaningRules(), overwrite=True)
        return summary, pl.read_parquet(target.interactions_path).select(columns).rows()

    return read


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


NOON = datetime(2023, 1, 15, 12, tzinfo=UTC)


def test_a_column_is_read_by_the_unit_of_all_its_numbers(read, tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BLOCK", 64)
    rows = ["a,1,1673784000"] * 2 + ["b,2,1673784000000"] * 30 + ["c,3,86400000"]
    log = write(tmp_path / "log.csv", "user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    summary, found = read(log, columns=("user_id", "timestamp"))
    early = datetime(1970, 1, 20, 8, 56, 24, tzinfo=UTC)
    assert found == [("a", early), ("b", NOON), ("c", datetime(1970, 1, 2, tzinfo=UTC))]
    assert summary.rows_in == 33
    assert summary.times[0].unit == "milliseconds"
    assert summary.notes == ("3 rows lie before 1990",)
    assert "log.csv: delimited, separated by 'comma', with a header; times from 1970-01-02" in summary.said()[0]


def test_times_beyond_every_calendar_are_quarantined_and_stop_nothing(read, tmp_path):
    times = ["1e21", "-63000000000", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "1673784000"]
    text = "user_id,item_id,timestamp\n" + "".join(f"u{n},i,{time}\n" for n, time in enumerate(times))
    summary, found = read(write(tmp_path / "log.csv", text), columns=("user_id", "timestamp"))
    assert found == [("u4", NOON)]
    assert {(count.name, count.rows) for count in summary.quarantined} == {
        ("timestamp is a number that counts no time of the years 1 to 9999 in seconds, the unit of its column", 2),
        ("timestamp is not a time of the years 1 to 9999", 2),
    }


def test_each_file_has_a_unit_and_a_range_of_its_own(read, tmp_path):
    seconds = write(tmp_path / "a.csv", "user_id,item_id,timestamp\na,1,1673784000\n")
    dates = write(tmp_path / "b.csv", "user_id,item_id,timestamp\nb,2,20230115\nb,3,20230115120000\n")
    none = write(tmp_path / "c.csv", "user_id,item_id\nc,2\n")
    summary, found = read(seconds, dates, none, columns=("item_id", "timestamp"))
    assert found == [("1", NOON), ("2", NOON.replace(hour=0)), ("3", NOON), ("2", None)]
    assert [time and time.unit for time in summary.times] == ["seconds", "calendar dates", None]


@pytest.mark.parametrize(("versions", "expected"), [("7", {"12", "7"}), ("1.10", {"12.0", "12", "1.10"})])
def test_ids_are_judged_with_those_of_all_files(read, tmp_path, versions, expected):
    text = write(tmp_path / "a.csv", f"user_id,item_id\na,12.0\nb,12.0\nc,{versions}\n")
    floats = tmp_path / "b.parquet"
    pl.DataFrame({"user_id": ["a", "d"], "item_id": [12.0, None]}).write_parquet(floats)
    summary, found = read(text, floats)
    assert {item for _, item in found} == expected
    assert any("12.0 is read as 12" in note for note in summary.notes) == (versions == "7")
    assert [(count.name, count.rows) for count in summary.quarantined] == [("item_id is missing", 1)]


def test_ids_of_metadata_are_read_by_the_same_rule(read, tmp_path):
    log = write(tmp_path / "log.csv", "user_id,item_id\na,12\n")
    items = write(tmp_path / "items.csv", "item_id,title\n12.0,Tea\n13.0,Pie\n")
    read(log, items=items)
    assert pl.read_parquet(tmp_path / "dataset" / "items.parquet")["item_id"].to_list() == ["12", "13"]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("item_id", pa.array([[1]]), "holds List"),
        ("item_id", pa.array([{"a": 1}]), "holds Struct"),
        ("user_id", pa.array([b"\xff\x00"]), "holds bytes that are no text"),
        ("timestamp", pa.array([1], pa.time64("us")), "holds Time, which is no moment"),
        ("timestamp", pa.array([1], pa.duration("us")), "holds Duration.*which is no moment"),
    ],
)
def test_columns_without_plain_values_are_a_clear_error(read, tmp_path, column, values, message):
    columns = {"user_id": pa.array(["a"]), "item_id": pa.array(["b"])} | {column: values}
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    with pytest.raises(SchemaError, match=f"Column '{column}' {message}.*or map another column"):
        read(tmp_path / "log.parquet")


def test_a_folder_of_parts_is_read_with_the_columns_that_its_folders_name(read, tmp_path):
    table = tmp_path / "spark.parquet"
    parts = {"event_type=view/part-0": pl.Int32, "event_type=buy%2Fnow/part-0": pl.Int64}
    for number, (name, kind) in enumerate(parts.items()):
        (table / name).parent.mkdir(parents=True)
        rows = pl.DataFrame({"user_id": [number], "item_id": [7]}, schema={"user_id": kind, "item_id": kind})
        rows.write_parquet(table / f"{name}.parquet")
    nobody = table / "event_type=__HIVE_DEFAULT_PARTITION__" / "part-0.parquet"
    nobody.parent.mkdir()
    pl.DataFrame({"user_id": [2], "item_id": [7]}).write_parquet(nobody)
    write(table / "_SUCCESS", "")
    write(table / ".part-0.parquet.crc", "x")
    summary, found = read(*find_files([str(table)]), columns=("user_id", "item_id", "event_type"))
    assert found == [("0", "7", "view"), ("1", "7", "buy/now"), ("2", "7", None)]
    assert "event_type=view/part-0.parquet" in summary.sources
    assert find_files([str(table / "*" / "*.parquet")]) == find_files([str(table)])


def test_a_folder_of_several_kinds_is_no_table(tmp_path):
    write(tmp_path / "ml" / "ratings.dat", "1::2::3::4\n")
    write(tmp_path / "ml" / "README", "x")
    with pytest.raises(DataError, match=r"files of several kinds \(README, ratings.dat\)"):
        find_files([str(tmp_path / "ml")])


def test_a_file_without_a_header_keeps_its_first_row(read, tmp_path):
    log = write(tmp_path / "log.tsv", "196\t242\tx\n186\t302\ty\n")
    with pytest.raises(ConfigError, match="seems to have no header"):
        read(log, mapping=ColumnMap((("user_id", "196"), ("item_id", "242"))))


@pytest.mark.parametrize(
    ("file", "users", "items"),
    [("ml-1m/ratings.dat", "ml-1m/users.dat", "ml-1m/movies.dat"), ("ml-100k/u.data", None, "ml-100k/u.item"),
     ("hetrec-lastfm/user_artists.dat", None, "hetrec-lastfm/artists.dat"),
     ("recbole/made.inter", "recbole/made.user", "recbole/made.item"),
     ("retailrocket/events.csv", None, "retailrocket/item_properties_part1.csv")],
)  # fmt: skip
def test_logs_of_the_field_are_read_with_their_metadata(read, tmp_path, file, users, items):
    summary, found = read(FILES / file, users=users and FILES / users, items=FILES / items)
    assert summary.rows_in == len(found) >= 2
    assert summary.item_rows == pl.read_parquet(tmp_path / "dataset" / "items.parquet").height >= 1
    assert "(--format " in summary.taken_for[0]


def test_ratings_of_nothing_and_of_dislike_are_told_apart(read):
    columns = ("user_id", "event_type", "weight")
    _, books = read(FILES / "book-crossing/BX-Book-Ratings.csv", columns=columns)
    assert books == [("276725", "implicit", 1.0), ("276726", "rating", 5.0), ("276727", "rating", 8.0)]
    summary, jokes = read(FILES / "jester/jester-data-1.csv", columns=columns)
    assert [(user, round(weight, 2)) for user, _, weight in jokes] == [("1", 8.79), ("2", 4.08)]
    assert [count.rows for count in summary.quarantined] == [1]


def test_metadata_have_a_mapping_and_an_encoding_of_their_own(read, tmp_path):
    log = write(tmp_path / "log.csv", "user_id,artistID\na,1\n")
    items = write(tmp_path / "artists.tsv", "id\tname\n1\tBjörk\n", "latin-1")
    mapping = ColumnMap((("item_id", "artistID"),))
    with pytest.raises(ConfigError, match=r"artists.tsv has no column 'item_id'.* --items-map item_id=id\."):
        read(log, items=items, mapping=mapping)
    read(log, items=items, mapping=mapping, items_map=ColumnMap((("item_id", "id"),)))
    assert pl.read_parquet(tmp_path / "dataset" / "items.parquet").rows() == [("1", "Björk")]
    with pytest.raises(ConfigError, match=r"--items-map item_id=key: artists.tsv has no column 'key'"):
        read(log, items=items, mapping=mapping, items_map=ColumnMap((("item_id", "key"),)))


def test_several_sources_have_columns_weights_and_prefixes_of_their_own(read, tmp_path):
    clicks = write(tmp_path / "clicks-1.csv", "who,sku\na,1\nb,2\n")
    buys = write(tmp_path / "buys.csv", "user_id,item_id,event_type\na,1,buy\nb,3,refund\n")
    options = ["clicks-*.csv:user_id=who", "clicks-*.csv:item_id=sku"]
    said = Said(
        maps=tuple(map(split_column_option, options)), prefixes=parse_prefixes(["clicks-*.csv:item_id=c-"])
    )  # fmt: skip
    rules = CleaningRules(event_weights=(("buy", 5.0),), file_event_weights=(("clicks-*.csv", "*", 2.0),))
    summary, found = read(clicks, buys, columns=("user_id", "item_id", "weight"), rules=rules, said=said)
    assert found == [("a", "1", 5.0), ("a", "c-1", 2.0), ("b", "c-2", 2.0)]
    assert [(count.name, count.rows) for count in summary.quarantined] == [("event_type has no weight", 1)]


def test_prefixed_ids_are_judged_without_their_prefix(read, tmp_path):
    log = write(tmp_path / "log.csv", "user_id,item_id\na,12.0\nb,12\n")
    _, found = read(log, said=Said(prefixes=parse_prefixes(["item_id=x"])))
    assert found == [("a", "x12"), ("b", "x12")]


def test_duplicates_are_counted_by_event_type_and_busy_users_named(read, tmp_path):
    rows = ["a,1,view"] * 3 + ["a,1,buy"] * 2 + ["a,2,"] + [f"bot,{n},view" for n in range(9)]
    log = write(tmp_path / "log.csv", "user_id,item_id,event_type\n" + "\n".join(rows) + "\n")
    summary, found = read(log, rules=CleaningRules(max_events_per_user=6))
    assert found == [("a", "1"), ("a", "2")]
    assert {count.name: count.rows for count in summary.lost} == {"max_events_per_user": 9, "duplicate": 4}
    assert {count.name: count.rows for count in summary.duplicates} == {"view": 3, "buy": 1}
    assert summary.notes == ("1 user has more rows than --max-events-per-user and is left out: bot (9 rows)",)


def test_returns_take_back_purchases(read, tmp_path):
    rows = ["a,1,2", "a,1,-2", "a,2,3", "a,2,-1", "a,3,1"]
    log = write(tmp_path / "log.csv", "user_id,item_id,weight\n" + "\n".join(rows) + "\n")
    summary, found = read(log, columns=("item_id", "weight"), rules=CleaningRules(returns=True, min_rating=1))
    assert sorted(found) == [("2", 2.0), ("3", 1.0)]
    assert {count.name: count.rows for count in summary.lost} == {"return": 2, "returned": 1}


def test_weights_stay_within_what_every_reader_holds(read, tmp_path):
    log = write(tmp_path / "log.csv", "user_id,item_id,weight\n" + "a,1,1e12\n" * 3 + "b,1,5e-324\n")
    summary, found = read(log, columns=("user_id", "weight"), rules=CleaningRules(keep=Keep.SUM))
    assert found == [("a", pytest.approx(1e12))]
    assert [count.rows for count in summary.quarantined] == [1]
    log = write(tmp_path / "log.csv", "user_id,item_id,weight,event_type\na,1,1e11,buy\nb,1,1,buy\n")
    summary, found = read(log, rules=CleaningRules(event_weights=(("buy", 100.0),)))
    assert found == [("b", "1")]
    assert [count.name for count in summary.quarantined] == [
        "weight times the event's is not a number from 0.000001 to 1e+12"
    ]
    with pytest.raises(ConfigError, match=r"from 0\.000001 to 1e\+12"):
        CleaningRules(event_weights=(("buy", 1e-7),))


def test_losses_of_one_id_written_in_two_ways_add_up(read, tmp_path):
    log = write(tmp_path / "log.csv", "user_id,item_id,weight\na,12.0,1\nb,12,1\nc,12,5\na,13,5\n")
    _, found = read(log, rules=CleaningRules(min_rating=4))
    assert found == [("a", "13"), ("c", "12")]
    losses = pl.read_parquet(tmp_path / "dataset" / "losses.parquet").filter(entity="item")
    assert losses.select("id", "rule", "rows").rows() == [("12", "min_rating", 2)]


def test_an_id_is_as_long_as_it_may_be_with_its_prefix(read, tmp_path):
    log = write(tmp_path / "log.csv", f"user_id,item_id\na,{'x' * 510}\na,{'x' * 511}\n")
    summary, found = read(log, said=Said(prefixes=((None, ("item_id", "p-")),)))
    assert found == [("a", "p-" + "x" * 510)]
    assert summary.quarantined == (Count("item_id is longer than 512 characters, or holds NUL", 1),)
