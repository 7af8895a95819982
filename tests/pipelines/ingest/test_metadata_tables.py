import polars as pl
import pytest

from pipelines.ingest import metadata_files
from pipelines.ingest.log_files import ColumnMap
from pipelines.ingest.log_rows import Quarantine
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


@pytest.mark.parametrize("given", ["parts", "parts/items_*.csv"])
def test_a_table_comes_in_parts(tmp_path, given):
    (tmp_path / "parts").mkdir()
    for number, content in enumerate(("item_id,title\n1,One\n", "item_id,year\n2,1999\n3,2000,x\n")):
        (tmp_path / "parts" / f"items_{number}.csv").write_text(content)
    quarantine = Quarantine(tmp_path / "bad")
    target = tmp_path / "items.parquet"
    assert write_metadata(MetadataFile(tmp_path / given), "item_id", target, quarantine) == 2
    assert pl.read_parquet(target).rows() == [("1", "One", None), ("2", None, "1999")]
    quarantine.write(tmp_path / "bad.parquet")
    (bad,) = pl.read_parquet(tmp_path / "bad.parquet").to_dicts()
    assert bad["file"] == str(tmp_path / "parts" / "items_1.csv")
    assert bad["line"] == 3
    assert metadata_files.is_part_of(bad["file"], tmp_path / given)
    assert not metadata_files.is_part_of(str(tmp_path / "items_1.csv"), tmp_path / given)


def test_parts_are_alike(tmp_path):
    (tmp_path / "a.csv").write_text("item_id,title\n1,One\n")
    (tmp_path / "b.csv").write_text("item_id;title\n2;Two\n")
    with pytest.raises(DataError, match=r"a.csv is .*'comma'.*, and b.csv is .*';'.*parts of one table are alike"):
        write_metadata(MetadataFile(tmp_path / "*.csv"), "item_id", tmp_path / "items.parquet")


def test_a_table_is_read_as_far_as_there_is_memory_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata_files, "free_memory", lambda: 1000.0)
    with pytest.raises(DataError, match=r"items\.csv is too large: metadata are read whole"):
        copy(tmp_path, "item_id,title\n" + "1,a title of some length\n" * 50)
    assert not (tmp_path / "items.parquet").exists()


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
