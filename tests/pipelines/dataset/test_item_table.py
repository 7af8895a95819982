"""Metadata of items in the types that their values have, and the filters that ask for them."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.dataset.item_table import item_table
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from recsys_vae.data.features import Field
from service.ranking.filters import Condition, Eq, Filters, Range

COLUMNS = {
    "price": ["100", "90", None, "1.5e2"],
    "stock": ["3", "0", "-2", " 7 "],
    "code": ["0123", "4567", None, "89"],
    "sold": ["true", "False", "", None],
    "since": ["2024-02-29", "1999-01-01", None, "2000-12-31"],
    "never": ["2023-02-29", "1999-01-01", None, None],
    "mixed": ["1", "two", "3", "4"],
    "empty": ["", None, None, " "],
}


def written(path: Path, table: pl.DataFrame, *fields: Field) -> DatasetDir:
    path.mkdir()
    dataset = DatasetDir(path)
    table.write_parquet(dataset.items_path)
    Fields(items=fields).write(dataset.fields_path)
    return dataset


def test_what_nobody_declared_is_what_all_its_values_are(tmp_path: Path) -> None:
    found = item_table(written(tmp_path / "d", pl.DataFrame({"item_id": ["1", "2", "3", "4"], **COLUMNS})))
    assert found is not None
    assert found["item_id"].to_list() == ["1", "2", "3", "4"]
    assert found["price"].to_list() == [100.0, 90.0, None, 150.0]
    assert found["stock"].to_list() == [3, 0, -2, 7]
    assert found["sold"].to_list() == [True, False, None, None]
    assert found["since"].to_list() == [date(2024, 2, 29), date(1999, 1, 1), None, date(2000, 12, 31)]
    for name in ("code", "never", "mixed", "empty"):
        assert found[name].to_list() == COLUMNS[name]


def test_what_is_declared_rules(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "item_id": ["1", "2", "3"],
            "price": ["100", "on request", "inf"],
            "genres": ["Action|Drama", " Drama | ", None],
            "year": ["1990", "1991", "1992"],
            "rank": [1, 2, 3],
        }
    )
    fields = (Field("price", "number"), Field("genres", "set"), Field("year", "category"), Field("rank", "category"))
    found = item_table(written(tmp_path / "d", table, *fields))
    assert found is not None
    assert found["price"].to_list() == [100.0, None, None]
    assert found["genres"].to_list() == [["Action", "Drama"], ["Drama"], None]
    assert found["year"].to_list() == ["1990", "1991", "1992"]
    assert found["rank"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        (Range("price", 100), ["1", "2"]),
        (Range("price", None, 90.5), ["3", "4"]),
        (Eq("price", 15), ["4"]),
        (Eq("genres", "Drama"), ["1", "3"]),
        (Eq("stock", 7), ["1"]),
    ],
)
def test_filters_compare_prices_of_a_csv_as_numbers_and_genres_one_by_one(
    tmp_path: Path, condition: Condition, fits: list[str]
) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id\n" + "".join(f"u,{item}\n" for item in "1234"))
    (tmp_path / "items.csv").write_text(
        "item_id,price,genres,stock\n1,100,Action|Drama,7\n2,1000.5,Action,8\n3,90,Drama,9\n4,15,,10\n"
    )
    dataset = DatasetDir(tmp_path / "shop")
    fields = Fields(items=(Field("price", "number"), Field("genres", "set")))
    ingest(Source((tmp_path / "log.csv",), items=tmp_path / "items.csv", fields=fields), dataset)
    table = item_table(dataset)
    assert table is not None
    assert table["item_id"].filter(pl.Series(Filters(table).mask(condition))).to_list() == fits


def test_there_may_be_no_table(tmp_path: Path) -> None:
    assert item_table(DatasetDir(tmp_path)) is None
