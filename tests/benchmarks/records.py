"""Records: one JSON file a benchmark run, so that a long benchmark can be interrupted, resumed and printed again."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from recsys_vae.bundles.manifest import library_versions

RESULTS = Path(__file__).parent / "results"


def record(
    benchmark: str, name: str, measure: Callable[[], Mapping[str, Any]], *, fresh: bool = False
) -> dict[str, Any]:
    """The record of one run: read where it was measured before, else measured now and kept.

    Args:
        benchmark: folder of the records.
        name: of the run.
        measure: returns the figures.
        fresh: measure even where there is a record.
    """
    path = RESULTS / benchmark / f"{name}.json"
    if path.is_file() and not fresh:
        return dict(json.loads(path.read_text()))
    print(f"measuring {benchmark}/{name} ...", flush=True)
    started = time.perf_counter()
    figures = dict(measure())
    content = {
        "figures": figures,
        "seconds": round(time.perf_counter() - started, 1),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "libraries": library_versions() | {"python": platform.python_version()},
        "commit": commit(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    return content


def existing(benchmark: str, name: str) -> dict[str, Any] | None:
    """The record of one run, None where it has not been measured."""
    path = RESULTS / benchmark / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.is_file() else None


def machine() -> str:
    """Processor with its vector instructions, number of cores and memory."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name} ({torch.backends.cpu.get_cpu_capability()}), {os.cpu_count()} cores, {memory:.0f} GiB"


def commit() -> str:
    """Commit of the working tree, with a mark where anything but records was changed since."""
    name = _git("describe", "--always", "--abbrev=12") or "unknown"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){RESULTS}")
    return f"{name}-dirty" if changed else name


def _git(*arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=RESULTS.parents[2])
    return answer.stdout.strip()
