"""Damaged Parquet: it is refused, or every row that it says it has comes out or is rejected, and can be looked at."""

import random
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.ingest.readers import Kind, Layout, open_log
from tests.benchmarks.reliability_count import Count

HEIGHT = 6
WRITTEN = (
    {"compression": "none"},
    {"compression": "snappy"},
    {"compression": "zstd", "data_page_version": "2.0"},
    {"compression": "none", "use_dictionary": False, "row_group_size": 2},
)
FOOTER = 2500
"""Bytes at the end that are damaged more often: what they say counts for all of the file."""


def table() -> pa.Table:
    """Of every kind of column that logs have."""
    return pa.table(
        {
            "user_id": ["a", "b", "c", "é", None, "f"],
            "item_id": list(range(HEIGHT)),
            "rating": [1.5, None, 3.0, 4.0, 5.0, 6.0],
            "timestamp": pa.array([datetime(2020, 1, 1)] * HEIGHT, pa.timestamp("us", "UTC")),
            "category": pa.array(["x", "y"] * (HEIGHT // 2)).dictionary_encode(),
            "price": pa.array([Decimal("1.5")] * HEIGHT, pa.decimal128(10, 2)),
            "tags": [["p"], ["q", "r"], None, [], ["s"], ["t"]],
            "uuid": pa.array([b"\0" * 16] * HEIGHT, pa.binary(16)),
            "known": [True, False] * (HEIGHT // 2),
        }
    )


def damaged(chance: random.Random, data: bytes) -> bytes:
    """The same with some bytes changed, lost or put in."""
    content = bytearray(data)
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        at = chance.randrange(0 if chance.random() < 0.5 else max(0, len(content) - FOOTER), len(content))
        what = chance.randrange(4)
        if what == 0:
            content[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            content[at] = chance.choice([0, 255, 127, 128, chance.randrange(256)])
        elif what == 2:
            del content[at : at + chance.randrange(1, 6)]
        else:
            content[at:at] = content[at : at + chance.randrange(1, 20)]
    return bytes(content)


class Tables:
    """Tables in a folder, damaged by seeds, and what comes of reading them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, Count()
        self._made = [self._written(options) for options in WRITTEN]

    def add(self, seed: int) -> None:
        """Damage a table by a seed, and read it."""
        chance = random.Random(seed)
        path = self.folder / "log.parquet"
        path.write_bytes(damaged(chance, chance.choice(self._made)))
        wanted = chance.choice([None, ("user_id", "item_id", "rating", "timestamp")])
        with self.count.of(f"seed {seed}, Parquet"):
            log = open_log(path, Layout(Kind.PARQUET), wanted)
            n_rows = sum(len(block.rows.rows()) if block.rows.width else block.height for block in log)
            self.count.add(log.tally, n_rows, None, f"seed {seed}, Parquet")

    def _written(self, options: dict[str, object]) -> bytes:
        path = self.folder / "log.parquet"
        pq.write_table(table(), path, **options)
        return path.read_bytes()
