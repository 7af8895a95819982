"""Files and directories that appear under their final name whole, or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

PARTIAL, REPLACED = ".partial", ".replaced"


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed, on failure removed.

    A process that is killed leaves at most a hidden `.NAME.*.partial` behind; `remove_partials` clears such leftovers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _partial(path)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it takes the place of `path`, on failure it is removed.

    What stood under `path` before is replaced by two renames, so that it is never seen half-written. A process killed
    between the two leaves the old directory set aside; `remove_partials`, which every writer calls first, puts it back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _partial(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        if path.exists():
            old = _partial(path).with_suffix(REPLACED)
            os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
        _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a small file whole."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_partials(path: Path) -> None:
    """Remove what killed processes left behind while writing `path`; put back what they had set aside."""
    replaced = sorted(path.parent.glob(f".{path.name}.*{REPLACED}"))
    if replaced and not path.exists():
        os.replace(replaced.pop(), path)
    for leftover in (*replaced, *path.parent.glob(f".{path.name}.*{PARTIAL}")):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def _partial(path: Path) -> Path:
    return path.parent / f".{path.name}.{uuid4().hex[:8]}{PARTIAL}"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
