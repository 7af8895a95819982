"""What workers are forked from: a process with the packages that take long to import, and without threads."""

import os
import subprocess
import sys

SCRIPT = """
import os, sys
import service.server.preloaded
own = {name for name in sys.modules if name.split(".")[0] in ("service", "recsys_vae", "pipelines")}
print(len(os.listdir("/proc/self/task")), sorted(own), "polars" in sys.modules, "torch" in sys.modules)
"""


def test_no_thread_runs_where_workers_are_forked() -> None:
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    shown = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | alone, capture_output=True, text=True, check=True
    ).stdout
    assert shown == "1 ['service', 'service.server', 'service.server.preloaded'] False True\n"
