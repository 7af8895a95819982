import numpy as np
import polars as pl
import pytest

from pipelines.ingest.user_partitions import RowStore, part_bounds


def blocks(rows: int = 60) -> list[pl.DataFrame]:
    codes = np.arange(rows) * 7 % 13
    frame = pl.DataFrame(
        {"user_id": codes.astype(np.uint32), "item_id": (codes % 3).astype(np.uint32), "place": range(rows)}
    )
    return [frame[start : start + 20] for start in range(0, rows, 20)]


@pytest.mark.parametrize("rows_per_part", [1, 15, 1000])
def test_parts_are_ranges_of_users_and_rows_keep_their_order(tmp_path, rows_per_part):
    places = np.arange(13, dtype=np.uint32)[::-1].copy()
    store = RowStore(tmp_path / "rows", rows_per_part)
    for block in blocks():
        store.add(block)
    assert store.is_on_disk == (rows_per_part == 1)
    cut = store.cut(places, np.arange(3, dtype=np.uint32))
    parts = [part.read().with_columns(pl.col("user_id") + part.users[0]) for part in cut]
    expected = pl.concat(blocks()).with_columns(pl.Series("user_id", places[pl.concat(blocks())["user_id"].to_numpy()]))
    assert pl.concat(parts).sort("place").equals(expected)
    assert all(part["place"].is_sorted() for part in parts)
    users = [part["user_id"].unique().sort().to_list() for part in parts]
    assert [user for some in users for user in some] == list(range(13))


def test_a_part_that_is_thinned_leaves_no_old_file(tmp_path):
    store = RowStore(tmp_path / "rows", 5)
    for block in blocks():
        store.add(block)
    (part, *_) = store.cut(np.arange(13, dtype=np.uint32), np.arange(3, dtype=np.uint32))
    rows = part.read().head(1)
    part.replace(rows)
    assert part.read().equals(rows)
    assert part.scan().collect().equals(rows)
    assert part.take().equals(rows)
    assert not list((tmp_path / "rows" / "part0").iterdir())


def test_users_without_rows_begin_no_part_behind_one_that_is_full(tmp_path):
    assert part_bounds(np.array([10, 10, 0, 0], np.int64), 10).tolist() == [1]
    assert part_bounds(np.array([0, 10, 0, 10, 5], np.int64), 10).tolist() == [2, 4]
    store = RowStore(tmp_path / "rows", 12)
    for block in blocks():
        store.add(block)
    parts = store.cut(np.arange(20, dtype=np.uint32), np.arange(3, dtype=np.uint32))
    assert sum(part.read().height for part in parts) == 60
