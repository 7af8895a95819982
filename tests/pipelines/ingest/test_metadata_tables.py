import polars as pl
import pytest

from pipelines.ingest.log_files import ColumnMap
from pipelines.ingest.metadata_tables import MetadataFile, write_metadata
from recsys_vae.errors import ConfigError, DataError, EmptyDataError


def copy(tmp_path, content, *mapping):
    (tmp_path / "items.csv").write_text(content)
    source = MetadataFile(tmp_path / "items.csv", ColumnMap.parse(mapping))
    rows = write_metadata(source, "item_id", tmp_path / "items.parquet")
    return rows, pl.read_parquet(tmp_path / "items.parquet")


def test_the_id_comes_first_under_our_name(tmp_path):
    rows, table = copy(tmp_path, "title,movieId\nOne,1\n", "item_id=movieId")
    assert rows == 1
    assert table.columns == ["item_id", "title"]
    assert table.row(0) == ("1", "One")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("item_id,title\n1,a\n2,b\n1,c\n", DataError, "more than once, among them 1"),
        ("item_id,title\n1,a\n,b\n", DataError, "1 rows of items.csv have no item_id"),
        (f"item_id,title\n{'x' * 513},a\n", DataError, "1 item_ids of items.csv are longer than 512 characters"),
        ("item_id,title\na\0b,a\n", DataError, r"holds NUL, among them 'a\\x00b'"),
        ("item_id,title\n", EmptyDataError, "no rows"),
        ("movie,title\n1,a\n", ConfigError, "Columns found: movie, title"),
    ],
)
def test_bad_metadata_is_one_clear_error(tmp_path, content, error, message):
    with pytest.raises(error, match=message):
        copy(tmp_path, content)
