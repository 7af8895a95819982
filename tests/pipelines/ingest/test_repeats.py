"""Events are kept where a pair occurs twice, so that what a cut in time asks for is new to the user."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.ingest.cleaning import CleaningRules, Keep
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from recsys_vae.errors import DataError

HEADER = "user_id,item_id,weight,timestamp\n"


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """Users who come back to what they know: 2,000 visits of 40 users to 30 items, one a minute."""
    rng = np.random.default_rng(0)
    users, weights = rng.integers(40, size=2000), rng.integers(1, 6, size=2000)
    items = (rng.pareto(1.0, 2000) * 4).astype(int) % 30
    path = tmp_path / "visits.csv"
    lines = (f"u{users[n]:02},i{items[n]:02},{weights[n]},{1_700_000_000 + 60 * n}" for n in range(2000))
    path.write_text(HEADER + "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("keep", Keep)
def test_what_a_temporal_split_asks_for_was_not_met_before(visits: Path, tmp_path: Path, keep: Keep) -> None:
    dataset = DatasetDir(tmp_path / "visits")
    ingest(Source((visits,)), dataset, CleaningRules(keep=keep, min_user=5, min_item=5), rows_per_part=500)
    manifest = make_split(dataset, recipe("temporal", validation=0.2, test=0.2))
    split, log = load_split(dataset, "temporal"), pl.read_csv(visits)
    for name in ("validation", "test"):
        start = manifest.windows[name].timestamp()
        before = set(log.filter(pl.col("timestamp") < start).select("user_id", "item_id").iter_rows())
        part = split.part(name)
        rows, columns = part.targets.nonzero()
        asked = set(zip(part.users.ids(rows), split.train.items.ids(columns), strict=True))
        assert asked
        assert not asked & before
        assert manifest.counts[f"{name}_repeats"] > 0
    learned = log.filter(pl.col("timestamp") < manifest.windows["validation"].timestamp())
    weight = {"sum": pl.col("weight").sum(), "max": pl.col("weight").max()}.get(
        keep, pl.col("weight").last() if keep == "last" else pl.col("weight").first()
    )
    expected = learned.group_by("user_id", "item_id").agg(weight).sort("user_id", "item_id")
    assert split.train.matrix.data.tolist() == expected["weight"].to_list()


def test_events_are_those_of_pairs_that_were_kept_in_order(tmp_path: Path) -> None:
    log, dataset = tmp_path / "log.csv", DatasetDir(tmp_path / "dataset")
    rows = ["a,1,1,100", "a,2,1,90", "a,1,2,300", "b,1,9,200", "b,1,1,50", "b,3,1,10", "b,3,1,20", "b,2,1,5"]
    log.write_text(HEADER + "\n".join(rows) + "\n")
    ingest(Source((log,)), dataset, CleaningRules(keep=Keep.MAX, min_item=2), rows_per_part=1)
    found = dataset.events().select("user_id", "item_id", "weight", pl.col("timestamp").dt.epoch("s")).collect()
    assert sorted(found.rows()) == [
        ("a", "1", 1.0, 100), ("a", "1", 2.0, 300), ("a", "2", 1.0, 90),
        ("b", "1", 1.0, 50), ("b", "1", 9.0, 200), ("b", "2", 1.0, 5),
    ]  # fmt: skip
    assert pl.read_parquet(dataset.repeats_path)["item_id"].unique().to_list() == ["1"]
    assert dataset.events().collect_schema() == dataset.interactions().collect_schema()
    assert dataset.keep() == "max"


def test_positions_of_the_log_order_events_too(tmp_path: Path) -> None:
    log, dataset = tmp_path / "log.csv", DatasetDir(tmp_path / "dataset")
    # Met first: x, y, z; then x again, which --keep last puts at the end.
    log.write_text(
        "user_id,item_id,position\na,x,10\na,y,20\na,z,30\na,x,40\nb,x,1\nb,y,2\nb,z,3\nc,y,1\nc,z,2\nc,x,3\nc,w,4\n"
    )
    ingest(Source((log,)), dataset)
    assert dataset.interactions().collect()["item_id"].to_list() == [*"yzx", *"xyz", *"yzxw"]
    assert pl.read_parquet(dataset.repeats_path).select("user_id", "item_id").rows() == [("a", i) for i in "xyzx"]
    make_split(dataset, recipe("last-out"))
    split = load_split(dataset, "last-out")
    for part, asked in (("validation", "y"), ("test", "z")):
        found = split.part(part)
        assert found.users.values.to_list()[:2] == ["a", "b"]
        assert split.train.items.ids(found.targets.indices)[:2] == [asked, asked]


def test_a_repeat_without_a_time_was_met_before(tmp_path: Path) -> None:
    log, dataset = tmp_path / "log.csv", DatasetDir(tmp_path / "dataset")
    rows = [f"{user},{item},1,{100 + n}" for n, (user, item) in enumerate((u, i) for i in "xyz" for u in "abc")]
    log.write_text(HEADER + "\n".join([*rows, "a,w,1,300", "a,w,1,", "b,w,1,200", "b,y,1,301", "c,w,1,302"]) + "\n")
    ingest(Source((log,)), dataset)
    moments = {"validation_from": datetime.fromtimestamp(106, UTC), "test_from": datetime.fromtimestamp(300, UTC)}
    make_split(dataset, recipe("temporal", **moments))
    # a's w came at 300, and at a time that nobody knows; b's y is a repeat.
    assert load_split(dataset, "temporal").test.users.values.to_list() == ["c"]


def test_a_log_without_repeats_has_no_events_beside_its_interactions(tmp_path: Path) -> None:
    log, dataset = tmp_path / "log.csv", DatasetDir(tmp_path / "dataset")
    log.write_text(HEADER + "a,1,1,100\na,2,1,90\nb,1,1,80\n")
    ingest(Source((log,)), dataset)
    assert not dataset.repeats_path.exists()
    assert dataset.events().collect().equals(dataset.interactions().collect())


def test_other_events_make_a_split_stale(visits: Path, tmp_path: Path) -> None:
    dataset = DatasetDir(tmp_path / "visits")
    ingest(Source((visits,)), dataset)
    make_split(dataset, recipe("temporal"))
    dataset.events().collect().head(-5).write_parquet(dataset.repeats_path)
    with pytest.raises(DataError, match="was ingested anew"):
        load_split(dataset, "temporal")
