"""The process of `recsys ingest`, which ends without the interpreter's help, as any other ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import atexit, threading, sys
from pathlib import Path
from pipelines.start import main
atexit.register(lambda: Path("left").write_text("handlers ran"))
threading.Timer(0.2, lambda: Path("waited").write_text("threads ended")).start()
sys.argv = ["recsys", "ingest", "log.csv", "--to", "log"]
main()
"""


@pytest.mark.parametrize(("log", "status"), [("user_id,item_id\na,x\n", 0), ("nothing\n", 1)])
def test_status_output_handlers_and_threads_are_those_of_any_process(tmp_path: Path, log: str, status: int) -> None:
    (tmp_path / "log.csv").write_text(log)
    environment = os.environ | {"RECSYS_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert (tmp_path / "left").read_text() == "handlers ran"
    assert (tmp_path / "waited").read_text() == "threads ended"
    assert (done.stdout.endswith("datasets/log\n"), "error: " in done.stderr) == (status == 0, status == 1)
