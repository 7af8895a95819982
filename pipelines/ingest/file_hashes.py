"""File hashes: SHA-256 of logs, made in a thread beside all else, from as soon as their names are known."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Self

BLOCK = 4 << 20
PAUSE = 0.02
"""Seconds between two looks at whether hashes are needed any more."""


@dataclass(frozen=True)
class HashedFile:
    """A file as it was before it was read as a log.

    Attributes:
        size: in bytes.
        modified_ns: when it was last written to.
        digest: SHA-256 of so many bytes.
        first: its first four bytes.
        last: its last one.
    """

    size: int
    modified_ns: int
    digest: str
    first: bytes
    last: bytes


class FileHashes:
    """Hashes files, one after the other; a context, whose end leaves off what is not needed any more."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "recsys-hash")
        self._begun: dict[Path, Future[HashedFile]] = {}
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._pool.shutdown(cancel_futures=True)

    def begin(self, files: Sequence[Path], after: Event | None = None) -> None:
        """Begin with the files among these that have not been begun; what is no file is passed over.

        Args:
            files: as they are now.
            after: what is waited for before any of them is read.
        """
        for path in files:
            if path not in self._begun and path.is_file():
                status = path.stat()
                self._begun[path] = self._pool.submit(self._hash, path, status.st_size, status.st_mtime_ns, after)

    def of(self, path: Path) -> HashedFile:
        """What a file is that has been begun, once it is hashed."""
        return self._begun[path].result()

    def give(self, path: Path, hashed: HashedFile) -> None:
        """Take what a file is from who has hashed it already."""
        found: Future[HashedFile] = Future()
        found.set_result(hashed)
        self._begun[path] = found

    def _hash(self, path: Path, size: int, modified_ns: int, after: Event | None) -> HashedFile:
        while after is not None and not (self._is_over or after.wait(PAUSE)):
            pass
        digest, first, last = sha256(), b"", b""
        for block in blocks(path, size):
            if self._is_over:
                break
            first = first or block[:4]
            last = block[-1:]
            digest.update(block)
        return HashedFile(size, modified_ns, digest.hexdigest(), first, last)


def blocks(path: Path, size: int, start: int = 0) -> Iterator[bytes]:
    """`size` bytes of a file from `start` on, or as many as there are."""
    with path.open("rb") as file:
        file.seek(start)
        while size > 0 and (block := file.read(min(BLOCK, size))):
            size -= len(block)
            yield block
