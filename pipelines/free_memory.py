"""Free memory: how much may be taken, of the machine and of the container."""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Where a container says how much memory it may take, and how much it has taken; versions 2 and 1 of cgroups."""


def free_memory() -> float:
    """Bytes that can be taken without swapping; infinite where the system does not say."""
    return min([_of_system(), *map(_of_container, _containers())])


def _of_system() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        names = os.sysconf_names
        if "SC_AVPHYS_PAGES" in names:
            return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        return float("inf")


def _containers() -> Iterator[Path]:
    """Folders of the groups that this process is in, from its own to the outermost, each of which may set a limit."""
    yield from (ROOT, ROOT / "memory")
    try:
        lines = OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            folder = ROOT / ("memory" if controllers else "") / path.strip("/")
            while folder not in (ROOT, ROOT / "memory", folder.parent):
                yield folder
                folder = folder.parent


def _of_container(folder: Path) -> float:
    found = float("inf")
    for limit, used in FILES:
        try:
            room = float((folder / limit).read_text()) - float((folder / used).read_text())
        except (OSError, ValueError):  # no container, or "max"
            continue
        found = min(found, room + _reclaimable(folder))
    return found


def _reclaimable(folder: Path) -> float:
    """Bytes of files that the group has read and the system takes back when it needs them."""
    try:
        lines = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return float(lines.get("total_inactive_file", lines.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0.0
