"""Files that all processes of a run see: in a folder of theirs, or, where they have none in common, in a bucket too.

There each process writes to a folder of its own, and what it has written goes to an address under the same name.
Without an address the folder is one that all see, and nothing is to be done.
"""

from collections.abc import Iterable
from pathlib import Path

from recsys_vae.remote import bring, names_below, remove, send


def publish(path: Path, address: str) -> None:
    """Let the other processes see a file that this one has written."""
    if address:
        send(path, f"{address}/{path.name}")


def fetch(path: Path, address: str) -> None:
    """Have a file here that any process has written.

    Raises:
        DataError: it is not there.
    """
    if address and not path.exists():
        bring(f"{address}/{path.name}", path.parent)


def withdraw(names: Iterable[str], pattern: str, folder: Path, address: str, *, is_first: bool) -> None:
    """Remove files of a pattern but for those named: what this process has of them, the first one what all see."""
    kept = set(names)
    for path in folder.glob(pattern) if address or is_first else ():
        if path.name not in kept:
            path.unlink(missing_ok=True)
    if address and is_first:
        there = [Path(name) for name in names_below(address)]
        remove(address, [path.name for path in there if path.match(pattern) and path.name not in kept])
