#!/usr/bin/env bash
# polars 2.1.0, DuckDB 2.0.1: numbers of JSON lines that are read as text are spelled anew, by each in its own way.
#
# Guess: whoever asks for text gets the characters that stand in the file, as of CSV.
# Seen: 1.10 becomes `1.1` in both, so that two codes are one; 2.0 is `2` for polars and `2.0` for DuckDB, 1e3 `1000`
# and `1000.0`. No error, no warning.
# Who is hurt: catalogues whose codes are written as numbers (category 1.10 beside 1.1), and whoever joins a log that
# one of them has read with a table that the other has: an id 2.0 has two names.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 duckdb==2.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import tempfile
from pathlib import Path

import duckdb
import polars as pl

WRITTEN = ["1.1", "1.10", "2", "2.0", "1e3"]
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "items.ndjson")
    path.write_text("".join(f'{{"category": {number}}}\n' for number in WRITTEN))
    seen = {
        "polars.read_ndjson": pl.read_ndjson(path, schema={"category": pl.String})["category"].to_list(),
        "polars.scan_ndjson": pl.scan_ndjson(path, schema={"category": pl.String}).collect()["category"].to_list(),
        "DuckDB": [row[0] for row in duckdb.sql(
            f"SELECT category FROM read_json('{path}', columns = {{category: 'VARCHAR'}})").fetchall()],
    }
print(f"written: {WRITTEN}")
for reader, texts in seen.items():
    print(f"{reader}: {texts}, {len(set(texts))} different ones")
anew = ["1.1", "1.1", "2", "2", "1000"]
same = seen["polars.read_ndjson"] == seen["polars.scan_ndjson"] == anew
same = same and seen["DuckDB"] == ["1.1", "1.1", "2", "2.0", "1000.0"]
sys.exit(0 if same else "This has changed: both spelled 1.10 as 1.1, and 2.0 and 1e3 each in its own way.")
PYTHON
