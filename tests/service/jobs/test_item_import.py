from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from recsys_vae.errors import ConfigError, DataError, SchemaError
from service.jobs.item_import import ItemTable
from service.store.database import Database
from service.store.item_records import ItemChange
from service.store.items import ItemStore
from tests.service.places import Place

CSV = 'sku,price,code,tags,hidden,title\na,9.5,0123,x|y,false,Alien\nb,,0007,,true,"Bread, brown"\n'


def changes(path: Path, *, replaces: bool = False, as_of: datetime | None = None, **read: object) -> list[ItemChange]:
    table = ItemTable.read(path, **{"kinds": {}, **read})  # type: ignore[arg-type]
    found = [change for batch in table.batches(replaces=replaces, as_of=as_of) for change in batch]
    assert all(isinstance(change, ItemChange) for change in found), found
    return found  # type: ignore[return-value]


def test_a_csv_holds_numbers_codes_sets_and_flags(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(CSV)
    first, second = changes(path, id_column="sku", sets=["tags"])
    assert first.fields == {"price": 9.5, "code": "0123", "tags": ("x", "y"), "title": "Alien"}
    assert (first.item_id, first.hidden, first.operation, first.timestamp) == ("a", False, "merge", None)
    assert (second.fields, second.hidden) == ({"code": "0007", "title": "Bread, brown"}, True)


def test_what_the_store_knows_a_field_to_hold_goes_before_what_its_column_looks_like(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,code,price\na,12,1\nb,13,cheap\n")
    first, second = changes(path, kinds={"code": "text", "price": "number"})
    assert first.fields == {"code": "12", "price": 1.0}
    assert second.fields == {"code": "13", "price": "cheap"}  # which the store rejects by itself


def test_a_table_of_parquet_or_ndjson_keeps_its_types(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "item_id": [1, 2],
            "stock": [3, None],
            "tags": [["x"], []],
            "new": [True, None],
            "day": [date(2026, 1, 1), None],
        }
    )
    frame.write_parquet(tmp_path / "items.parquet")
    first, second = changes(tmp_path / "items.parquet", replaces=True, as_of=datetime(2026, 1, 1, tzinfo=UTC))
    assert (first.item_id, first.operation) == ("1", "replace")
    assert first.fields == {"stock": 3, "tags": ("x",), "new": True, "day": "2026-01-01"}
    assert second.fields == {"tags": ()}
    assert first.timestamp == 1_767_225_600_000_000
    frame.drop("day").write_ndjson(tmp_path / "items.ndjson")
    assert changes(tmp_path / "items.ndjson")[0].fields == {"stock": 3, "tags": ("x",), "new": True}


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("items.xlsx", "", ConfigError, "ends in none of .parquet"),
        ("items.csv", "sku\na\n", SchemaError, "no column 'item_id'"),
        ("items.parquet", "no table", DataError, "cannot be read"),
        ("none.csv", None, DataError, "cannot be read"),
        ("items.ndjson", '{"item_id": "a", "price": {"eur": 1}}\n', SchemaError, "'price' holds Struct"),
    ],
)
def test_what_is_no_such_table_is_told(tmp_path: Path, name: str, content: str | None, error: type, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(error, match=words):
        changes(path)


def test_the_command_loads_a_table_once_and_names_what_it_rejects(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(CSV)
    options = ["load-items", str(path), "--store", place.url, "--id", "sku"]
    planned = CliRunner().invoke(build(), [*options, "--dry-run"])
    assert "2 items, Nothing was changed (--dry-run)" in planned.output
    first, again = (CliRunner().invoke(build(), options) for _ in range(2))
    assert (first.exit_code, "2 items, 2 changed, 0 so already, 0 rejected" in first.output) == (0, True)
    assert (again.exit_code, "2 items, 0 changed, 2 so already, 0 rejected" in again.output) == (0, True)
    path.write_text("sku,price\na,8\nb,cheap\n")
    planned, wrong = (CliRunner().invoke(build(), [*options, *more]) for more in (["--dry-run"], []))
    assert (planned.exit_code, wrong.exit_code) == (1, 1)
    assert "Nothing was changed (--dry-run), 0 so already, 1 rejected" in planned.output
    assert "1 changed, 0 so already, 1 rejected" in wrong.output
    assert "b: fields.price: this field holds number" in wrong.output
    with closing(Database(place.url)) as database:
        held = ItemStore(database).get("a")
    assert held is not None
    assert held.record.fields["price"].value == 8
