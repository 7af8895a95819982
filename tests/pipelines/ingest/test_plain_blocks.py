"""Plain blocks beside any others: equal datasets, whether a compiled loop sees to a block or not."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest import log_rows
from pipelines.ingest.cleaning import CleaningRules, Keep
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from pipelines.ingest.readers import streams
from recsys_vae.errors import EmptyDataError
from recsys_vae.native.tables import tables

pytestmark = pytest.mark.skipif(tables() is None, reason="nothing is compiled here")
NOW = int(datetime.now(UTC).timestamp())
ROW = st.tuples(
    st.integers(0, 3) | st.sampled_from([-1, 1 << 24, 10**17]),
    st.integers(0, 3),
    st.sampled_from([0.5, 2.0, 3.3, 5.0]) | st.sampled_from([0.0, 2e12]),
    st.sampled_from([NOW, NOW + 10**7, 10**9, 2 * 10**8, 10**8 - 1, 20_240_131]),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plain")


def outcome(folder: Path, log: Path, rules: CleaningRules, block: int, native: str) -> object:
    """All that an ingest leaves."""
    target = DatasetDir(folder / "dataset")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK", block)
        patch.setattr(streams, "PACKED", block)
        patch.setenv("RECSYS_NATIVE", native)
        try:
            ingest(Source((log,)), target, rules, overwrite=True)
        except EmptyDataError as error:
            return str(error)
    tables_left = {path.name: pl.read_parquet(path).to_dicts() for path in target.path.glob("*.parquet")}
    return tables_left, json.loads(target.summary_path.read_text())


@settings(deadline=None, max_examples=8)
@given(
    st.lists(ROW, min_size=1, max_size=12),
    st.sampled_from(["csv", "ndjson"]),
    st.sampled_from([CleaningRules(), CleaningRules(min_rating=3.3, keep=Keep.FIRST), CleaningRules(min_user=2)]),
    st.sampled_from([40, 1 << 20]),
)
def test_they_leave_what_others_do(
    folder: Path, rows: list[tuple[int, int, float, int]], form: str, rules: CleaningRules, block: int
) -> None:
    frame = pl.DataFrame(rows, ["user_id", "item_id", "rating", "timestamp"], orient="row")
    log = folder / f"log.{form}"
    (frame.write_csv if form == "csv" else frame.write_ndjson)(log)
    assert outcome(folder, log, rules, block, "1") == outcome(folder, log, rules, block, "0")


def test_usual_blocks_are_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_rows._Log, "assess", lambda _, block: (pl.DataFrame(), pl.DataFrame()))
    (tmp_path / "one.csv").write_text("user_id,item_id,rating,timestamp\n1,a,2.5,1500000000\n2,b,4.0,1600000000\n")
    (tmp_path / "two.ndjson").write_text('{"user_id": 1, "item_id": "a", "rating": 5}\n' * 2)
    for name, left in (("one.csv", 2), ("two.ndjson", 1)):
        summary = ingest(Source((tmp_path / name,)), DatasetDir(tmp_path / "dataset"), overwrite=True)
        assert summary.kept.interactions == left
