"""Removals: what is past its limits, how much room it takes, and how it goes."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """What is kept.

    Attributes:
        runs: newest runs of the weekly job that keep their bundles.
        versions: newest versions of the registered model.
        days: age up to which everything else is kept.
        now: from when ages are counted; the clock's time when None.
    """

    runs: int = 8
    versions: int = 10
    days: float = 90.0
    now: datetime | None = None

    def moment(self) -> datetime:
        """From when ages are counted."""
        return self.now or datetime.now(UTC)

    @property
    def oldest(self) -> datetime:
        """What is older than this is past its age."""
        return self.moment() - timedelta(days=min(self.days, 36_500.0))

    def is_old(self, path: Path) -> bool:
        """Whether nobody has touched a file, or anything in a folder, since then."""
        return touched(path) < self.oldest.timestamp()


@dataclass(frozen=True)
class Removal:
    """Something that is to go.

    Attributes:
        kind: what it is, in the plural.
        name: which one.
        size: bytes on this machine that it takes.
        remove: does it; says why nothing was done where something stood in the way, else is empty.
    """

    kind: str
    name: str
    size: int
    remove: Callable[[], str]


def size_of(paths: Iterable[Path]) -> int:
    """Bytes of files and of all files in folders; links count nothing."""
    return sum(file.lstat().st_size for path in paths for file in files_in(path))


def files_in(path: Path) -> list[Path]:
    """The file itself, or all files below a folder."""
    if path.is_symlink():
        return []
    if path.is_file():
        return [path]
    found = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return [file for file in found if file.is_file() and not file.is_symlink()]


def touched(path: Path) -> float:
    """When anything in it was last written to, in seconds since 1970; 0 where nothing is there."""
    return max((one.lstat().st_mtime for one in (path, *path.rglob("*")) if os.path.lexists(one)), default=0.0)
