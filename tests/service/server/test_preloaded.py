"""What workers are forked from: a process with all that they import, and without threads that do anything."""

import os
import subprocess
import sys
from pathlib import Path

from tests.service.tiny import write_tiny_bundle

ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
THREADS = """
import os, sys
from pathlib import Path
import service.server.preloaded
for task in Path("/proc/self/task").iterdir():
    if int(task.name) != os.getpid():
        state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        print((task / "comm").read_text().strip(), state)
"""
FORKED = """
import os, sys
import service.server.preloaded
before = set(sys.modules)
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
import polars
from service.server.uvicorn_server import opened
from service.settings import Settings

bundle, store = sys.argv[1:]
opened(Settings(bundle=bundle, store=store))
print({name.split(".")[0] for name in set(sys.modules) - before} - {"recsys_vae"})
table = polars.scan_parquet(bundle + "/items.parquet")
print(table.group_by("popularity").len().select(polars.col("len").sum()).collect().item())
"""


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(
        command, env=os.environ | ALONE, capture_output=True, text=True, check=True, timeout=120
    ).stdout


def test_no_threads_but_those_of_polars_are_where_workers_are_forked() -> None:
    threads = dict(line.rsplit(" ", 1) for line in run(THREADS).splitlines())
    assert not [name for name in threads if not name.startswith(("jemalloc", "polars-ooc"))]
    assert all(state == "S" for name, state in threads.items() if name.startswith("polars-ooc"))


def test_a_worker_imports_no_further_package_and_makes_queries_of_polars(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle", "mult-vae")
    further, items = run(FORKED, bundle, f"sqlite:///{tmp_path}/events.db").splitlines()
    assert (further, items) == ("set()", "8")
