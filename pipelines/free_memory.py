"""Free memory: how much may be taken, of the machine and of the container."""

import os
from pathlib import Path

LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
"""Where a container says how much memory it may take, and how much it has taken; versions 2 and 1 of cgroups."""


def free_memory() -> float:
    """Bytes that can be taken without swapping; infinite where the system does not say."""
    return min([_of_system(), *(_of_container(limit, used) for limit, used in LIMITS)])


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
