import polars as pl

from pipelines.ingest.group_counts import Counts


def test_counts_add_up_over_parts():
    counts = Counts(["item_id"])
    for items in (["a", "b", "a"], ["b"], ["c"], ["a"]):
        counts.count(pl.DataFrame({"item_id": items}))
    assert dict(counts.total().iter_rows()) == {"a": 3, "b": 2, "c": 1}


def test_nothing_counted_is_an_empty_frame_with_its_columns():
    assert Counts(["item_id"]).total().columns == ["item_id", "rows"]
