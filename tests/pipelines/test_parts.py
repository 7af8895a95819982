import polars as pl

from pipelines.parts import user_bounds, write_parts

ROWS = pl.DataFrame({
    "user_id": ["c", "a", "b", "a", "c", "d", "a", "b"],
    "row": range(8),
    "lost_to": [None, None, None, None, None, None, "min_rating", None],
})  # fmt: skip


def test_bounds_cut_between_users():
    assert user_bounds(ROWS.lazy(), 3).to_list() == ["b", "d"]  # a: 3 rows; b and c: 4; d: 1
    assert user_bounds(ROWS.lazy(), 100).to_list() == []


def test_parts_hold_whole_users_in_ascending_ranges_without_lost_rows(tmp_path):
    ROWS.write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "parts").mkdir()
    paths = write_parts(tmp_path / "rows.parquet", tmp_path / "parts", pl.Series(["b", "c"]))
    assert [pl.read_parquet(path)["row"].to_list() for path in paths] == [[1, 3], [2, 7], [0, 4, 5]]
