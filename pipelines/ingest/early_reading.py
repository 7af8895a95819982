"""Early reading: the first log is read by the compiled loops while the modules are imported that know what it is.

Importing takes a third of an ingest of some seconds, and one core. Beside it, lines are read as those of a plain table
under a header. What the file is taken for says later whether it is one (`early_logs.py`), and where its lines cease to
be plain, the readers go on. Nothing here imports polars.
"""

import ctypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import NamedTuple, Self

import numpy as np

from recsys_vae.native.tables import LINE_FEED, LineColumns, count_lines, is_text, kind_of, read_lines, tables

BLOCK = 8 << 20
"""Bytes that are read at a time."""
SMALLEST = 1 << 18
"""Bytes of the smallest file for which it is worth a thread."""
AHEAD = 8
"""Blocks that wait at most."""
LONGEST_HEADER = 1 << 12
MOST_COLUMNS = 8
"""All columns are read, for nobody knows yet which are wanted."""
SEPARATORS = b",\t;|"


class EarlyLines(NamedTuple):
    """Some lines that are alike.

    Attributes:
        data: their bytes, where some columns are texts.
        first: number of the first of them in the file, from 1.
        lines: how many they are.
        columns: by place, what they hold.
    """

    data: bytes
    first: int
    lines: int
    columns: LineColumns


class Header(NamedTuple):
    """The first line of a table, if it is one: what separates its fields, these, and its bytes."""

    separator: bytes
    names: tuple[str, ...]
    size: int


class EarlyTable:
    """A table that is being read, in a thread.

    Attributes:
        header: its first line.
        library: the loops that read it.
        read: bytes that were read, once all lines have been taken.
        is_whole: whether these are all; the others need a closer look.
    """

    def __init__(self, path: Path, header: Header, library: ctypes.CDLL, over: Event) -> None:
        """`over`: set when no more is read."""
        self._over = over
        self.header, self.read, self.is_whole = header, header.size, False
        self.library, self._path = library, path
        self._found: Queue[EarlyLines | None] = Queue(AHEAD)
        self._is_over = Event()
        self._thread = Thread(target=self._run, name="recsys-early")
        self._thread.start()

    def lines(self) -> Iterator[EarlyLines]:
        """What was read, as far as lines are plain."""
        while (found := self._found.get()) is not None:
            yield found

    def close(self) -> None:
        """Leave off."""
        self._is_over.set()
        while self._thread.is_alive():
            try:
                self._found.get(timeout=0.01)
            except Empty:
                continue

    def _run(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                for one in self._read(file.fileno()):
                    if self._is_over.is_set():
                        break
                    self._found.put(one)
        except OSError:
            pass  # is met again by the readers
        finally:
            self._over.set()
            if not self._is_over.is_set():
                self._found.put(None)

    def _read(self, file: int) -> Iterator[EarlyLines]:
        first = 2
        buffer = bytearray(BLOCK + 1)
        while size := self._read_block(file, buffer):
            end, is_cut = buffer.rfind(b"\n", 0, size) + 1, False
            if not end and size < BLOCK:  # the last line, without an end
                buffer[size] = LINE_FEED
                end, is_cut = size + 1, True
            found = self._plain(buffer, end, first) if end else None
            if found is None:
                return
            self.read += end - is_cut
            first += found.lines
            yield found
            if is_cut:
                break
        self.is_whole = True

    def _read_block(self, file: int, buffer: bytearray) -> int:
        """Read what comes next; how much of the buffer it fills."""
        with memoryview(buffer) as view, view[:BLOCK] as block:
            return os.preadv(file, [block], self.read)

    def _plain(self, buffer: bytearray, end: int, first: int) -> EarlyLines | None:
        """The lines of a block, which end at `end`; None where they need a closer look."""
        if buffer.find(b'"', 0, end) >= 0 or buffer.find(b"\r", 0, end) >= 0:
            return None
        if not buffer.isascii() and not is_text(bytes(buffer[:end])):
            return None
        fields = bytes(buffer[: buffer.index(b"\n")]).split(self.header.separator)
        if len(fields) != len(self.header.names) or not all(fields):
            return None
        content = np.frombuffer(buffer, np.uint8, end)
        lines = count_lines(content)
        kinds = [kind_of(field) for field in fields]
        found = read_lines(self.library, content, self.header.separator[0], kinds, lines)
        return None if found is None else EarlyLines(content.tobytes() if found.texts else b"", first, lines, found)


class EarlyReading:
    """The log that is read early, if one is; a context, whose end leaves off what nobody has taken.

    Attributes:
        over: set when the head start is over: nothing more is read, or logs are opened.
    """

    def __init__(self) -> None:
        self.over = Event()
        self._path: Path | None = None
        self._table: EarlyTable | None = None
        self._is_taken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        if self._table is not None:
            self._table.close()

    def begin(self, files: Sequence[Path]) -> None:
        """Begin with the first of some files, if it looks like a table."""
        library = tables()
        path = next((one for one in files[:1] if one.is_file() and one.stat().st_size >= SMALLEST), None)
        header = None if path is None else header_of(path)
        if library is None or path is None or header is None:
            self.over.set()
            return
        self._path, self._table = path, EarlyTable(path, header, library, self.over)

    def take(self, path: Path) -> EarlyTable | None:
        """What is being read of a file, once; whichever is asked for, the head start is over."""
        self.over.set()
        if path != self._path or self._is_taken:
            return None
        self._is_taken = True
        return self._table


def header_of(path: Path) -> Header | None:
    """The first line of a file; None where that is no plain header."""
    try:
        with path.open("rb", buffering=0) as file:
            start = file.read(LONGEST_HEADER)
    except OSError:
        return None
    line, end, _ = start.partition(b"\n")
    if not end or not line.isascii() or b'"' in line:
        return None
    separator = max((bytes([mark]) for mark in SEPARATORS), key=line.count)
    names = tuple(line.decode().split(separator.decode()))
    is_plain = all(map(str.isprintable, names)) and all(names) and len(set(names)) == len(names)
    return Header(separator, names, len(line) + 1) if is_plain and 1 < len(names) <= MOST_COLUMNS else None
