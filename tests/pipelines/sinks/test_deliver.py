"""Lists where they are to go: the same rows in every form, and nobody else's file or table is replaced."""

import json
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import create_engine, make_url, text

from pipelines.recommend import LISTS
from pipelines.sinks.deliver import delivered
from pipelines.sinks.destination import Destination, parse_destination
from recsys_vae.errors import ConfigError, RecsysError, UnavailableError
from tests.buckets import own_bucket
from tests.service.places import own_schema

ROWS = pl.DataFrame(
    {
        "user_id": ["a", "a", 'b"c'],
        "rank": pl.Series([1, 2, 1], dtype=pl.Int32),
        "item_id": ["x", "y,z", "日"],
        "score": pl.Series([0.5, 0.25, 1.0], dtype=pl.Float32),
        "tier": ["history"] * 3,
        "source": ["history"] * 3,
    }
)
REPORT = {"bundle": "b-1", "dataset": "shop", "tiers": {}, "scorer": "torch"}


@pytest.fixture(autouse=True)
def at_home(recsys_home: Path) -> None:
    """Scratch files go there."""


def hand_over(to: str, table: str | None = None) -> None:
    with delivered(parse_destination(to, LISTS, table)) as path:
        ROWS.write_parquet(path)
        path.with_name(f"{path.name}.json").write_text(json.dumps(REPORT))


@pytest.mark.parametrize("name", ["lists.csv", "lists.ndjson", "lists.jsonl", "lists.parquet"])
def test_the_rows_are_the_same_in_every_form(tmp_path: Path, name: str) -> None:
    for _ in range(2):  # one's own file is replaced
        hand_over(str(tmp_path / name))
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet}.get(Path(name).suffix, pl.read_ndjson)
    assert read(tmp_path / name).cast(ROWS.schema).equals(ROWS)
    assert json.loads((tmp_path / f"{name}.json").read_text()) == REPORT


def test_somebody_elses_file_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "lists.csv").write_text("name,phone\n")
    with pytest.raises(ConfigError, match="left as it is"):
        hand_over(str(tmp_path / "lists.csv"))


def test_a_bucket_gets_lists_and_report(monkeypatch: pytest.MonkeyPatch) -> None:
    with own_bucket(monkeypatch) as bucket:
        hand_over(f"{bucket.address}/out/lists.csv")
        assert bucket.keys() == ["out/lists.csv", "out/lists.csv.json"]
        assert pl.read_csv(bucket.get("out/lists.csv")).cast(ROWS.schema).equals(ROWS)


def test_a_table_is_replaced_while_it_is_read() -> None:
    with own_schema() as place:
        schema = place.schema
        address = make_url(place.url).set(query={}).render_as_string(hide_password=False)
        engine = create_engine(place.url)
        try:
            hand_over(address, f"{schema}.lists")
            hand_over(address, f"{schema}.lists")
            with engine.connect() as connection:
                found = connection.execute(text("SELECT * FROM lists ORDER BY user_id, rank")).all()
                tables = connection.execute(
                    text("SELECT tablename FROM pg_tables WHERE schemaname = :s"), {"s": schema}
                ).all()
            assert [tuple(row) for row in found] == ROWS.rows()
            assert tables == [("lists",)]
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE customers (user_id text)"))
            with pytest.raises(ConfigError, match="customers is left as it is"):
                hand_over(address, f"{schema}.customers")
        finally:
            engine.dispose()


@pytest.mark.parametrize(
    ("to", "table", "kind", "message"),
    [
        ("lists.txt", None, ConfigError, r"lists\.txt would mislead"),
        ("https://example.com/lists.csv", None, ConfigError, "no kind of address that lists are written to"),
        ("lists.csv", "t", ConfigError, "--table is for lists that go to a database"),
        ("postgresql://h/d", 'x"; DROP TABLE y', ConfigError, "--table takes NAME"),
        ("s3://u:hidden-word@b/l.csv", None, ConfigError, "holds a user or a password"),
        ("postgresql://me:hidden-word@127.0.0.1:9/test", None, UnavailableError, "does not answer"),
    ],
)
def test_what_cannot_be_written_is_named(to: str, table: str | None, kind: type[RecsysError], message: str) -> None:
    with pytest.raises(kind, match=message) as raised:
        hand_over(to, table)
    assert "hidden-word" not in str(raised.value)


def test_a_plain_file_is_written_where_it_stands(tmp_path: Path) -> None:
    assert parse_destination(str(tmp_path / "lists"), LISTS) == Destination(str(tmp_path / "lists"))
