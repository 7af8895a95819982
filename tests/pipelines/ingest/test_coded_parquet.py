from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.ingest import coded_parquet, kept_rows
from pipelines.ingest.kept_rows import TableWriter, fragment_of
from pipelines.ingest.table_schemas import INTERACTIONS, Table
from recsys_vae.errors import SchemaError
from recsys_vae.native import parquet
from recsys_vae.native.parquet import encodings

USERS = pl.Series([f"u{number}" for number in range(70_000)])
ITEMS = pl.Series(["", "a", "é" * 300, "4"])
EVENTS = pl.Series(["view", "buy"])
TEXTS = {"user_id": USERS, "item_id": ITEMS, "event_type": EVENTS}
MICROSECONDS = st.integers(-(2**62), 2**62)
compiled = pytest.mark.skipif(encodings() is None, reason="nothing is compiled here")

ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, 69_999]),
        st.integers(0, 3),
        st.none() | st.integers(0, 1),
        st.floats(width=32, min_value=1, max_value=2),
        st.none() | MICROSECONDS | st.integers(0, 9),
        st.none() | st.integers(0, 2**32 - 1) | st.integers(0, 9),
    ),
    max_size=300,
)


def frame(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    schema = INTERACTIONS.schema | dict.fromkeys(TEXTS, pl.UInt32()) | {"timestamp": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    )


def write(path: Path, frames: list[pl.DataFrame], table: Table = INTERACTIONS) -> pl.DataFrame:
    """Write frames, and give what is to be read of them."""
    with TableWriter(path, table) as writer:
        for one in frames:
            writer.write(one, TEXTS)
    assert writer.rows == sum(one.height for one in frames)
    named = [one.with_columns(texts.gather(one[name]).alias(name) for name, texts in TEXTS.items()) for one in frames]
    return pl.concat([pl.DataFrame(schema=table.schema), *named])


def check(path: Path, expected: pl.DataFrame) -> None:
    found = pl.read_parquet(path)
    assert found.schema == INTERACTIONS.schema
    assert found.equals(expected)
    assert pl.scan_parquet(path).collect(engine="streaming").equals(expected)
    arrow = pl.DataFrame(pl.from_arrow(pq.read_table(path)))
    assert arrow.equals(expected)


@settings(deadline=None, max_examples=60)
@given(st.lists(ROWS, max_size=3), st.sampled_from([7, 128, 1 << 20]))
def test_other_readers_read_what_is_written(
    tmp_path_factory: pytest.TempPathFactory, frames: list[list[tuple[object, ...]]], rows_a_group: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "table.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coded_parquet, "ROWS_A_GROUP", rows_a_group)
        check(path, write(path, list(map(frame, frames))))


@pytest.mark.parametrize("size", [1, 31, 32, 33, 127, 128, 129, 257, 5_000])
def test_every_size_of_a_block_is_read_back(tmp_path: Path, size: int) -> None:
    chance = np.random.default_rng(size)
    rows = pl.DataFrame(
        {
            "user_id": np.sort(chance.integers(0, len(USERS), size)).astype(np.uint32),
            "item_id": chance.integers(0, len(ITEMS), size).astype(np.uint32),
            "event_type": pl.repeat(None, size, dtype=pl.UInt32, eager=True),
            "weight": chance.random(size).astype(np.float32),  # more than a dictionary has
            "timestamp": pl.Series(chance.integers(-(2**62), 2**62, size)).cast(pl.Datetime("us", "UTC")),
            "position": chance.integers(0, 2**32, size).astype(np.uint32),
        }
    )
    check(tmp_path / "table.parquet", write(tmp_path / "table.parquet", [rows, rows.head(3)]))


def test_polars_and_pyarrow_write_the_same_rows_where_nothing_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = frame([(1, 1, None, 1.0, 0, None), (2, 2, 1, 2.0, None, 4)])
    monkeypatch.setattr(kept_rows, "encodings", lambda: None)
    for frames in ([], [some], [some, some.head(1)]):
        check(tmp_path / "table.parquet", write(tmp_path / "table.parquet", frames))


def test_a_frame_of_other_types_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(SchemaError, match="Table 'interactions' holds"),
        TableWriter(tmp_path / "table.parquet", INTERACTIONS) as writer,
    ):
        writer.write(frame([]).with_columns(pl.col("weight").cast(pl.Float64)), TEXTS)


@compiled
def test_a_sorted_column_takes_a_few_bytes_a_run_and_another_as_many_bits_as_it_needs() -> None:
    library = encodings()
    assert library is not None
    in_order = np.repeat(np.arange(1_000, dtype=np.uint32), 7)
    assert len(parquet.runs(library, in_order, 10)) == 1_000 * 3
    mixed = np.random.default_rng(0).permutation(in_order)
    assert len(parquet.runs(library, mixed, 10)) <= 7_000 * 10 / 8 + 10


@compiled
def test_times_a_second_apart_take_no_room() -> None:
    library = encodings()
    assert library is not None
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 10**6
    assert len(parquet.deltas(library, start + np.arange(10_000) * 10**6)) < 1_000


@compiled
def test_fragments_put_together_are_the_file_that_is_written_at_once(tmp_path):
    rows = [(place % 3, place % 4, place % 2, 1.0 + place % 5, place * 1000, place) for place in range(500)]
    frames = [frame(rows[:200]), frame([]), frame(rows[200:])]
    write(tmp_path / "whole.parquet", frames)
    fragments = [fragment_of(tmp_path / f"{n}", INTERACTIONS, one, TEXTS) for n, one in enumerate(frames)]
    with TableWriter(tmp_path / "joined.parquet", INTERACTIONS) as writer:
        for fragment, one in zip(fragments, frames, strict=True):
            assert fragment is not None
            writer.append(fragment, one.height)
    assert writer.rows == 500
    assert (tmp_path / "joined.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_without_compiled_loops_there_are_no_fragments(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_rows, "encodings", lambda: None)
    assert fragment_of(tmp_path / "part", INTERACTIONS, frame([]), TEXTS) is None
