#!/usr/bin/env bash
# polars 2.1.0: an Arrow file of a filtered table still holds the texts of the rows that were filtered out.
#
# Guess: what `write_ipc` writes of a filtered frame is the rows that are left, as of `write_parquet`.
# Seen: the id of a user whose rows are gone stands in the file, though reading it gives the right rows. Parquet holds
# nothing of it, nor does the Arrow file that pyarrow writes of the same frame with texts copied.
# Who is hurt: whoever erases a user from tables kept as Arrow and believes what reading them says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 pyarrow==26.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import tempfile
from pathlib import Path

import polars as pl
import pyarrow.feather

GONE = "planted-person-7f3a"
users = pl.DataFrame({"user_id": [f"customer-number-{number:06}" for number in range(5000)] + [GONE]})
left = users.filter(pl.col("user_id") != GONE)
with tempfile.TemporaryDirectory() as folder:
    paths = {name: Path(folder, name) for name in ("polars.arrow", "polars.parquet", "pyarrow.arrow")}
    left.write_ipc(paths["polars.arrow"])
    left.write_parquet(paths["polars.parquet"], compression="uncompressed")
    pyarrow.feather.write_feather(left.to_arrow().cast(pyarrow.schema([("user_id", pyarrow.large_string())])),
                                  str(paths["pyarrow.arrow"]), compression="uncompressed")
    seen = {name: GONE.encode() in path.read_bytes() for name, path in paths.items()}
    rows = pl.read_ipc(paths["polars.arrow"])["user_id"].to_list()
print(f"the erased id is read: {GONE in rows}; it stands in {seen}")
same = GONE not in rows and seen == {"polars.arrow": True, "polars.parquet": False, "pyarrow.arrow": False}
sys.exit(0 if same else "This has changed: of the three files, polars' Arrow file alone held the erased id.")
PYTHON
