"""What this machine can do: how much memory is free, and how fast it multiplies."""

import os
import time
from pathlib import Path

import numpy as np

from recsys_vae.models.cost import Cost

LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
"""Where a container says how much memory it may take, and how much it has taken; versions 2 and 1 of cgroups."""
SIDE = 512
USED = 0.2
"""Share of the speed of a large product that models reach, with all that is sparse in them."""


def free_memory() -> float:
    """Bytes that can be taken without swapping; infinite where the system does not say."""
    return min([_of_system(), *(_of_container(limit, used) for limit, used in LIMITS)])


def operations_a_second() -> float:
    """Multiplications and additions in float32, of one product that has been done before."""
    square = np.ones((SIDE, SIDE), dtype=np.float32)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        square @ square
        seconds.append(time.perf_counter() - started)
    return float(2 * SIDE**3 / max(min(seconds), 1e-9))


def seconds_of(cost: Cost | None, speed: float) -> float | None:
    """Roughly how long it takes; None where the cost is not known."""
    return None if cost is None else cost.operations / (USED * speed)


def _of_system() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        names = os.sysconf_names
        if "SC_AVPHYS_PAGES" in names:
            return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        return float("inf")


def _of_container(limit: Path, used: Path) -> float:
    try:
        return float(limit.read_text()) - float(used.read_text())
    except (OSError, ValueError):  # no container, or "max"
        return float("inf")
