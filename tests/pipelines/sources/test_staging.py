"""Logs from elsewhere: what comes out is what lies there, and what cannot be had is named."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import create_engine, make_url, text
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.sources.staging import staged, staged_file
from recsys_vae.errors import ConfigError, DataError, RecsysError, UnavailableError
from tests.buckets import Bucket, own_bucket
from tests.service.places import own_schema

LOG = pl.DataFrame(
    {"user_id": ["a", "b", "a"], "item_id": ["x", "y", "z"], "timestamp": [1_700_000_000, 1_700_000_100, 1_700_000_200]}
)
CSV = LOG.write_csv().encode()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, recsys_home: Path) -> Iterator[Bucket]:
    with own_bucket(monkeypatch) as found:
        yield found


def test_files_globs_and_folders_of_a_bucket_are_files_here(bucket: Bucket, recsys_home: Path) -> None:
    for key in ("logs/1.csv", "logs/2.csv", "logs/readme.txt", "parts.parquet/kind=view/p.csv"):
        bucket.put(key, CSV)
    with staged([f"{bucket.address}/logs/*.csv", f"{bucket.address}/parts.parquet", "here.csv"]) as found:
        assert [Path(path).name for path in found] == ["1.csv", "2.csv", "parts.parquet", "here.csv"]
        assert Path(found[0]).read_bytes() == CSV
        assert [path.parent.name for path in Path(found[2]).rglob("*.csv")] == ["kind=view"]
    assert not list(recsys_home.iterdir())


def test_ingest_reads_a_bucket_and_its_metadata(bucket: Bucket, recsys_home: Path) -> None:
    log = bucket.put("events.csv", CSV)
    items = bucket.put("items.csv", b"item_id,title\nx,Tea\ny,Jam\nz,Bun\n")
    arguments = ["ingest", log, "--items", items, "--to", "shop"]
    done = CliRunner().invoke(build(), arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    dataset = recsys_home / "datasets" / "shop"
    assert pl.read_parquet(dataset / "interactions.parquet").height == 3
    assert pl.read_parquet(dataset / "items.parquet")["title"].to_list() == ["Tea", "Jam", "Bun"]
    assert "testing-secret" not in (dataset / "summary.json").read_text()


def test_a_delta_table_is_its_newest_version(bucket: Bucket, tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    here, there = str(tmp_path / "lake"), f"{bucket.address}/lake"
    for place, options in ((here, None), (there, {"AWS_ALLOW_HTTP": "true"})):
        for mode in ("append", "append", "overwrite", "append"):
            deltalake.write_deltalake(place, LOG.to_arrow(), mode=mode, storage_options=options)
    with staged([here, there]) as found:
        assert [pl.read_parquet(path).height for path in found] == [6, 6]
        assert pl.read_parquet(found[1]).columns == LOG.columns


def test_an_iceberg_table_is_its_newest_version_without_what_was_deleted(tmp_path: Path, recsys_home: Path) -> None:
    sql = pytest.importorskip("pyiceberg.catalog.sql")
    (tmp_path / "lake").mkdir()
    catalog = sql.SqlCatalog("c", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/lake")
    try:
        catalog.create_namespace("shop")
        table = catalog.create_table("shop.events", schema=LOG.to_arrow().schema)
        table.append(LOG.to_arrow())
        table.append(LOG.to_arrow())
        table.delete("item_id = 'x'")
    finally:
        catalog.engine.dispose()
    with staged([table.location().removeprefix("file://")]) as found:
        assert sorted(pl.read_parquet(found[0])["item_id"]) == ["y", "y", "z", "z"]


def test_a_query_is_a_log_with_its_types(recsys_home: Path) -> None:
    with own_schema() as place:
        engine = create_engine(place.url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE sales (who text, what uuid, price numeric(8,2), at timestamptz)"))
            connection.execute(text("INSERT INTO sales VALUES ('a', gen_random_uuid(), 1.25, '2026-01-02 03:04+00')"))
        engine.dispose()
        address = make_url(place.url).set(query={}).render_as_string(hide_password=False)
        query = (
            f"SELECT who AS user_id, what::text AS item_id, price AS weight, at AS timestamp FROM {place.schema}.sales"
        )
        arguments = ["ingest", address, "--query", query, "--to", "sales"]
        done = CliRunner().invoke(build(), arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    [row] = pl.read_parquet(recsys_home / "datasets" / "sales" / "interactions.parquet").rows(named=True)
    assert (row["user_id"], row["weight"], row["timestamp"].isoformat()) == ("a", 1.25, "2026-01-02T03:04:00+00:00")


def test_sqlite_is_asked_too(tmp_path: Path, recsys_home: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE e (user_id TEXT, item_id TEXT)"))
        connection.execute(text("INSERT INTO e VALUES ('a', 'x'), ('b', 'y')"))
    engine.dispose()
    with staged([f"sqlite:///{tmp_path}/shop.db"], "SELECT * FROM e") as found:
        assert pl.read_parquet(found[0]).rows() == [("a", "x"), ("b", "y")]


@pytest.mark.parametrize(
    ("log", "query", "kind", "message"),
    [
        ("foo://x/y.csv", None, ConfigError, "foo:// is no kind of address"),
        ("postgresql://127.0.0.1/test", None, ConfigError, "--query says what to read"),
        ("log.csv", "SELECT 1", ConfigError, "--query is for a database"),
        (
            "postgresql://me:hidden-word@127.0.0.1:9/test",
            "SELECT 1",
            UnavailableError,
            r"postgresql://127\.0\.0\.1:9/t",
        ),
        ("sqlite:///nowhere.db", "SELECT 1", DataError, "There is no database at nowhere"),
        ("s3://me:hidden-word@shop/x.csv", None, ConfigError, "holds a user or a password"),
        ("s3://shop", None, ConfigError, "names no file"),
    ],
)
def test_what_cannot_be_read_is_named_without_secrets(
    recsys_home: Path, log: str, query: str | None, kind: type[RecsysError], message: str
) -> None:
    with pytest.raises(kind, match=message) as raised, staged([log], query):
        pass
    assert "hidden-word" not in str(raised.value)


def test_nothing_in_a_bucket_is_named(bucket: Bucket) -> None:
    for address in (f"{bucket.address}/none/*.csv", f"{bucket.address}/none.csv", "s3://no-such-bucket/x.csv"):
        with pytest.raises(DataError, match="There is nothing at"), staged([address]):
            pass


def test_a_refused_query_is_the_users(recsys_home: Path) -> None:
    with own_schema() as place:
        address = make_url(place.url).set(query={}).render_as_string(hide_password=False)
        with pytest.raises(ConfigError, match="refuses the query"), staged([address], "SELEC 1"):
            pass


def test_one_table_is_one_file(bucket: Bucket) -> None:
    for key in ("a.csv", "b.csv"):
        bucket.put(key, CSV)
    with pytest.raises(DataError, match="names 2 files"), staged_file(f"{bucket.address}/*.csv"):
        pass
