"""Files and directories that appear under their final name whole, or not at all, and never in a stranger's place.

What is written for people to name, as with `--to`, says which product it is (outputs.py): only that product is
replaced, which is checked before anything is touched. A directory is moved aside within its own parent and put back
where the new one cannot take its place. Files without a product are those that the tools keep in folders of their own.

While a product is written, its lock is held (locks.py): of several processes one writes, and the others are told.
"""

import ctypes
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from uuid import uuid4

from recsys_vae.errors import BusyError, ConfigError
from recsys_vae.locks import exclusive
from recsys_vae.outputs import Product, check_output
from recsys_vae.storage import storing
from recsys_vae.termination import at_last

PARTIAL, REPLACED = ".partial", ".replaced"
SYNC_FILE_RANGE_WRITE = 2
"""To begin with what has not been begun (sync_file_range(2))."""
AT_ONCE = 8
"""Files that are flushed at the same time."""


@contextmanager
def atomic_file(path: Path, product: Product | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed, on failure removed.

    A process that is killed leaves at most a hidden `.NAME.*.partial` behind; `remove_partials` clears such leftovers.

    Args:
        product: what may be replaced.

    Raises:
        ConfigError: something else stands there.
        StorageError: nothing can be written there.
        BusyError: another process writes it.
    """
    path = check_output(path, product) if product else path
    with storing(path), exclusive(path) if product else nullcontext():
        yield from _replaced_file(path, product)


def _replaced_file(path: Path, product: Product | None) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _partial(path)
    try:
        with at_last(lambda: temporary.unlink(missing_ok=True)):
            yield temporary
        _flush(temporary)
        if product:
            check_output(path, product)  # once more: writing may have taken hours
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path, product: Product) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it takes the place of `path`, on failure it is removed.

    What stood under `path` before is replaced by two renames, so that it is never seen half-written. A process killed
    between the two leaves the old directory set aside; `remove_partials`, which every writer calls first, puts it back.

    Args:
        product: what may be replaced: a directory of this kind that holds nothing else.

    Raises:
        ConfigError: something else stands there.
        StorageError: nothing can be written there.
        BusyError: another process writes it.
    """
    path = check_output(path, product)
    with storing(path), exclusive(path):
        yield from _replaced_directory(path, product)


def _replaced_directory(path: Path, product: Product) -> Iterator[Path]:
    temporary = _partial(path)
    temporary.mkdir()
    try:
        with at_last(lambda: shutil.rmtree(temporary, ignore_errors=True)):
            yield temporary
        _flush_all(temporary)
        check_output(path, product)  # once more: writing may have taken hours
        _take_place(temporary, path, product)
        _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_atomically(path: Path, content: str | bytes, product: Product | None = None) -> None:
    """Write a small file whole; `product` as in `atomic_file`."""
    with atomic_file(path, product) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_within(path: Path, content: str) -> None:
    """Write a small file of a directory that is still to take its place, with which it is flushed.

    A file of that name is left as it is: it may have another name elsewhere.
    """
    path.unlink(missing_ok=True)
    path.write_bytes(content.encode())


def remove_partials(path: Path) -> None:
    """Remove what killed processes left behind while writing `path`; put back what they had set aside.

    What a living process is writing there is left alone.
    """
    path = path.absolute()
    if _leftovers(path, REPLACED) or _leftovers(path, PARTIAL):
        with suppress(BusyError), exclusive(path):
            _clear(path)


def _clear(path: Path) -> None:
    replaced = _leftovers(path, REPLACED)
    if replaced and not os.path.lexists(path):
        os.replace(replaced.pop(), path)
    for leftover in (*replaced, *_leftovers(path, PARTIAL)):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _take_place(temporary: Path, path: Path, product: Product) -> None:
    if not os.path.lexists(path):
        os.replace(temporary, path)
        return
    old = _partial(path).with_suffix(REPLACED)
    os.replace(path, old)
    try:
        if doubt := product.doubt(old):  # put there while this process was checking
            raise ConfigError(f"{path} is left as it is: {doubt}. Move it away and start again.")
        os.replace(temporary, path)
    except BaseException:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)  # the new one stands; what is left of the old one is cleared next time


def _leftovers(path: Path, ending: str) -> list[Path]:
    """Temporary names of `path` alone: not those of `NAME.v2`, whose begin alike, and no links."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}{re.escape(ending)}")
    if not os.path.isdir(path.parent):
        return []
    return sorted(entry for entry in path.parent.iterdir() if name.fullmatch(entry.name) and not entry.is_symlink())


def _partial(path: Path) -> Path:
    return path.parent / f".{path.name}.{uuid4().hex[:8]}{PARTIAL}"


def begin_flush(path: Path) -> None:
    """Have the system begin to write a file to disk, where it can be told so; nothing is waited for."""
    begin = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if begin is not None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            begin(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), SYNC_FILE_RANGE_WRITE)
        finally:
            os.close(descriptor)


def _flush_all(folder: Path) -> None:
    """Flush what lies in a folder; together, for each by itself waits for the disk's journal."""
    # Another name of what is on disk already is not written.
    new = [path for path in folder.rglob("*") if path.is_dir() or path.stat().st_nlink == 1]
    with ThreadPoolExecutor(AT_ONCE, "recsys-flush") as pool:
        for _ in pool.map(_flush, new):
            pass


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
