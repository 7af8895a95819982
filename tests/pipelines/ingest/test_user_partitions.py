import polars as pl

from pipelines.ingest.user_partitions import user_bounds, write_parts

ROWS = pl.DataFrame({"user_id": ["c", "a", "b", "a", "c", "d", "a", "b"], "row": range(8)})


def test_bounds_cut_between_users():
    # Of so few rows every one is in the sample: a a a, b b c, c d.
    assert user_bounds(ROWS.lazy(), 8, 3).to_list() == ["b", "c"]
    assert user_bounds(ROWS.lazy(), 8, 1).to_list() == ["a", "b", "c", "d"]
    assert user_bounds(ROWS.lazy(), 8, 100).to_list() == []


def test_a_sample_makes_parts_of_about_the_size_asked_for():
    rows = pl.LazyFrame({"row": range(200_000)}).with_columns(pl.col("row").hash(1).cast(pl.String).alias("user_id"))
    bounds = user_bounds(rows, 200_000, 20_000)
    part = rows.select(bounds.search_sorted(rows.collect()["user_id"], side="right").alias("part"))
    sizes = part.group_by("part").len().collect()["len"].to_list()
    assert len(sizes) in (10, 11)
    assert max(sizes) < 26_000


def test_there_are_never_more_parts_than_files_that_may_be_open():
    rows = pl.LazyFrame({"row": range(5000)}).with_columns(pl.col("row").cast(pl.String).alias("user_id"))
    assert len(user_bounds(rows, 5000, 1)) < 600


def test_parts_hold_whole_users_in_ascending_ranges(tmp_path):
    ROWS.write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "parts").mkdir()
    paths = write_parts(tmp_path / "rows.parquet", tmp_path / "parts", pl.Series(["b", "c"]))
    assert [pl.read_parquet(path)["row"].to_list() for path in paths] == [[1, 3, 6], [2, 7], [0, 4, 5]]
