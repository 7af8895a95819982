"""A log three times as large as the memory that the process may have.

The limit is RLIMIT_DATA: what the process may allocate, whether it touches it or not. (RLIMIT_AS counts mapped files
too, and polars maps the log.) Two allocators reserve far more than they use unless told otherwise: jemalloc under
polars, and mimalloc under pyarrow. The environment below tells them; without it the resident peak is about the same.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.ingest.summary import IngestSummary

LIMIT = 760 * 2**20
CHUNK_ROWS = 500_000
PADDING = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"
ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "_RJEM_MALLOC_CONF": "retain:false", "POLARS_MAX_THREADS": "2"}
SCRIPT = """
import resource, sys
from pathlib import Path

resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), int(sys.argv[1])))

from pipelines.ingest.cleaning import CleaningRules
from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source

rules = CleaningRules(min_rating=2, min_user=5, min_item=5)
ingest(Source((Path(sys.argv[2]),)), DatasetDir(Path(sys.argv[3])), rules)
"""


def write_log(path: Path, size: int) -> int:
    """Write a log of at least `size` bytes: 200,000 users, 50,000 items with a long tail; returns its rows."""
    generator = np.random.default_rng(0)
    rows = 0
    with path.open("wb") as file:
        while file.tell() < size:
            chunk = pl.DataFrame({
                "user_id": generator.integers(0, 200_000, CHUNK_ROWS),
                "item_id": (generator.pareto(1.0, CHUNK_ROWS) * 100).astype(np.int64) % 50_000,
                "weight": generator.integers(1, 6, CHUNK_ROWS),
                "timestamp": 1_600_000_000 + generator.integers(0, 10**8, CHUNK_ROWS),
            }).with_columns(
                pl.format("/shop/product/{}?session={}&ref=mail", "item_id", "user_id").alias("url"),
                pl.lit(PADDING).alias("agent"),
            )  # fmt: skip
            chunk.write_csv(file, include_header=rows == 0)
            rows += CHUNK_ROWS
    return rows


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits all private memory on Linux only")
def test_a_log_three_times_the_memory_limit_passes(tmp_path):
    log, target = tmp_path / "log.csv", tmp_path / "shop"
    try:
        rows = write_log(log, 3 * LIMIT)
        command = [sys.executable, "-c", SCRIPT, str(LIMIT), str(log), str(target)]
        subprocess.run(command, env=os.environ | ENVIRONMENT, check=True)
    finally:
        log.unlink()
    summary = IngestSummary.read(target / "summary.json")
    assert summary.rows_in == rows
    assert summary.kept.interactions + sum(count.rows for count in summary.lost) == rows
    assert summary.kept.users == 200_000
