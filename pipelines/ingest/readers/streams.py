"""Bytes of a file, unpacked and in UTF-8, in blocks that end where a line ends; lines are counted here.

Line ends are made one: a carriage return, alone or before a line feed, ends a line as a line feed does. A line that
is longer than `LONGEST_LINE` is never held: its beginning stands among the `too_long` of its block.
"""

import bz2
import codecs
import lzma
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pipelines.ingest.readers.blocks import RAW_CHARACTERS, Rejected, plain_raw
from pipelines.ingest.readers.decoding import decoder
from pipelines.ingest.readers.layout import Compression
from recsys_vae.errors import DataError, EmptyDataError
from recsys_vae.native.tables import count_lines

BLOCK = 4 << 20
"""Bytes that are read at a time."""
LONGEST_LINE = 16 << 20
"""Bytes of the longest line that is read."""
LONGEST_SKIP = 1 << 30
"""Bytes of one line after which the file is given up: no log has such a line, a bomb of packed zeros has."""
PACKED = 1 << 18
MAGIC = {
    b"\x1f\x8b": Compression.GZIP,
    b"\x28\xb5\x2f\xfd": Compression.ZSTD,
    b"BZh": Compression.BZIP2,
    b"\xfd7zXZ\x00": Compression.XZ,
}
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""Byte-order marks, and what they say of the encoding."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Chunk:
    """Some whole lines.

    Attributes:
        data: the lines, each ended by a line feed.
        first: number of the first of them in the file, from 1.
        lines: how many they are.
        too_long: lines right before them that were not held.
        is_last: whether the file ends here.
        cut: whether it ends without a line end.
        damage: why nothing could be read after this chunk; empty where the file was read to its end.
    """

    data: bytes
    first: int
    lines: int
    too_long: tuple[Rejected, ...] = ()
    is_last: bool = False
    cut: bool = False
    damage: str = ""


@dataclass(frozen=True)
class Text:
    """Some text of a file, cut anywhere; bytes that are no text stand as lone surrogates.

    Attributes:
        content: the text, its line ends made one.
        is_last: whether the file ends here.
        damage: as of a `Chunk`.
    """

    content: str
    is_last: bool = False
    damage: str = ""


def texts(path: Path, encoding: str = "utf-8", compression: Compression | None = None) -> Iterator[Text]:
    """The text of a file in blocks; where packed bytes are broken, what came before them. As `chunks` raises."""
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    lines = _Cutter(path.name)
    damage = ""
    try:
        for block in _in_utf8(_read_on(path, compression), encoding):
            yield Text(decode(lines.one_line_end(block)))
    except _DamageError as error:
        damage = str(error)
    yield Text(decode(b"", final=True), is_last=True, damage=damage)


def first_bytes(path: Path, size: int = 1 << 16, compression: Compression | None = None) -> bytes:
    """The first bytes of a file, unpacked, whatever follows them.

    Raises:
        DataError: there is no such file, it cannot be opened, or it is a pointer of Git LFS.
        EmptyDataError: it is empty.
    """
    found = b""
    try:
        for block in unpacked(path, compression):
            found += block
            if len(found) >= size:
                break
    except _DamageError as error:
        if not found:
            raise DataError(f"{path.name} cannot be read: {error}. Check that it is whole.") from error
    return found[:size]


def chunks(path: Path, encoding: str = "utf-8", compression: Compression | None = None) -> Iterator[Chunk]:
    """The lines of a file.

    Raises:
        DataError: there is no such file, it cannot be opened, or is no text: a pointer of Git LFS, or without line
            ends for `LONGEST_SKIP` bytes.
        EmptyDataError: it is empty.
    """
    cutter = _Cutter(path.name)
    damage = ""
    try:
        for block in _in_utf8(_read_on(path, compression), encoding):
            found = cutter.cut(block)
            if found.lines or found.too_long:
                yield found
    except _DamageError as error:
        damage = str(error)
    yield replace(cutter.rest_of_file(), damage=damage)


class _Cutter:
    """Cuts blocks where lines end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.line = 1
        self.rest = b""
        self.skipped = 0
        self.skipped_start = b""
        self.after_return = False

    def cut(self, block: bytes) -> Chunk:
        """The lines that end in this block."""
        block = self.one_line_end(block)
        too_long: list[Rejected] = []
        first = self.line
        if self.skipped:
            end = block.find(b"\n") + 1
            self.skipped += end or len(block)
            if not end:
                return self._skip_on(first)
            block = block[end:]
            too_long.append(self._rejected())
            self.skipped, self.line = 0, self.line + 1
        end = block.rfind(b"\n") + 1
        data = self.rest + block[:end] if end else b""
        self.rest = block[end:] if end else self.rest + block
        if len(data) > LONGEST_LINE:
            data, more = self._without_long(data)
            too_long += more
        if len(self.rest) > LONGEST_LINE:
            self.skipped, self.skipped_start, self.rest = len(self.rest), self.rest[: 4 * RAW_CHARACTERS], b""
        lines = count_lines(data)
        first += len(too_long)
        self.line = first + lines
        return Chunk(data, first, lines, tuple(too_long))

    def rest_of_file(self) -> Chunk:
        """What is left when no block is left."""
        cut = not self.after_return
        if self.skipped:
            return Chunk(b"", self.line + 1, 0, (self._rejected(),), is_last=True, cut=cut)
        if not self.rest and cut:
            return Chunk(b"", self.line, 0, is_last=True)
        return Chunk(self.rest + b"\n", self.line, 1, is_last=True, cut=cut)

    def _skip_on(self, line: int) -> Chunk:
        if self.skipped > LONGEST_SKIP:
            raise DataError(
                f"{self.name}: line {line:,} has no end within {LONGEST_SKIP >> 20:,} MiB. This is no log, or one "
                "without line ends."
            )
        return Chunk(b"", line, 0)

    def _rejected(self) -> Rejected:
        return Rejected(self.line, plain_raw(self.skipped_start), too_long_reason())

    def _without_long(self, data: bytes) -> tuple[bytes, list[Rejected]]:
        """Lines of a block that outgrew the limit while they were put together: at most the first."""
        end = data.find(b"\n") + 1
        if end <= LONGEST_LINE:
            return data, []
        return data[end:], [Rejected(self.line, plain_raw(data[:end]), too_long_reason())]

    def one_line_end(self, block: bytes) -> bytes:
        """A block with line feeds alone. A carriage return at the end of a block waits for what follows it."""
        if self.after_return:
            block = b"\r" + block
        self.after_return = block.endswith(b"\r")
        if self.after_return:
            block = block[:-1]
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return block


def too_long_reason() -> str:
    """Why a line was not held."""
    return f"the line is longer than {LONGEST_LINE >> 20} MiB"


class _DamageError(Exception):
    """A packed file ends too early, or its bytes are broken."""


def unpacked(path: Path, compression: Compression | None = None) -> Iterator[bytes]:
    """Blocks of a file's bytes, none empty; as `first_bytes` raises."""
    try:
        with path.open("rb", buffering=0) as file:
            start = file.read(PACKED)
            _check_start(path, start)
            found = compression or next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)
            if found in (None, Compression.NONE):
                yield start
                while block := file.read(BLOCK):
                    yield block
            elif found is Compression.ZSTD:
                yield from _gathered(_unpacked_zstd(path))
            else:
                yield from _gathered(_unpacked(start, file, found))
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}. Check its name and who may read it."
        ) from error


def _check_start(path: Path, start: bytes) -> None:
    if not start:
        raise EmptyDataError(f"{path} is empty. Expected rows with at least a user and an item.")
    if start.startswith(LFS_POINTER):
        raise DataError(
            f"{path} is a pointer of Git LFS, not the file itself. Fetch that: git lfs pull --include {path.name}."
        )


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces put together to blocks; what came before damage is given out first."""
    held: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= BLOCK:
                yield b"".join(held)
                held, size = [], 0
    except _DamageError:
        if held:
            yield b"".join(held)
        raise
    if held:
        yield b"".join(held)


def _unpacked(start: bytes, file: Any, kind: Compression) -> Iterator[bytes]:
    makers = {
        Compression.GZIP: lambda: zlib.decompressobj(31),
        Compression.BZIP2: bz2.BZ2Decompressor,
        Compression.XZ: lzma.LZMADecompressor,
    }
    make: Any = makers[kind]
    unpacker, packed = make(), start
    try:
        while True:
            piece = unpacker.decompress(packed, PACKED * 4)
            if piece:
                yield piece
            if unpacker.eof:
                # Several members stand one after the other.
                packed = _after_padding(unpacker.unused_data, file)
                if not packed:
                    return
                unpacker = make()
                continue
            packed = getattr(unpacker, "unconsumed_tail", b"")
            if not packed and getattr(unpacker, "needs_input", True):
                packed = file.read(PACKED)
                if not packed:
                    raise _DamageError("the packed file ends too early")
    except (zlib.error, OSError, lzma.LZMAError, ValueError) as error:
        raise _DamageError(f"the packed bytes are broken ({error})") from error


def _after_padding(packed: bytes, file: Any) -> bytes:
    """What stands behind the zeros that may follow a member; nothing at the end of the file."""
    packed = packed.lstrip(b"\0")
    while not packed and (more := file.read(PACKED)):
        packed = more.lstrip(b"\0")
    return packed


def _unpacked_zstd(path: Path) -> Iterator[bytes]:
    import pyarrow as pa

    try:
        with pa.input_stream(str(path), compression="zstd") as stream:
            while block := stream.read(PACKED * 4):
                yield block
    except (OSError, pa.ArrowException) as error:
        raise _DamageError(f"the packed bytes are broken ({str(error).splitlines()[0][:200]})") from error


def _read_on(path: Path, compression: Compression | None) -> Iterator[bytes]:
    """The file's bytes; where they are many, they are unpacked in a thread of their own."""
    blocks = unpacked(path, compression)
    return ahead(blocks) if path.stat().st_size > PACKED else blocks


def _in_utf8(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The same text in UTF-8, without a byte-order mark. Bytes that are no text stay bytes that are no UTF-8."""
    first = next(blocks, b"")
    for mark, name in MARKS.items():
        if first.startswith(mark):
            first, encoding = first[len(mark) :], name
            break
    if codecs.lookup(encoding).name in ("utf-8", "ascii"):
        yield first
        yield from blocks
        return
    decode = decoder(encoding)
    yield decode(first).encode("utf-8", "surrogatepass")
    for block in blocks:
        yield decode(block).encode("utf-8", "surrogatepass")
    yield decode(b"", final=True).encode("utf-8", "surrogatepass")


Value = TypeVar("Value")


def ahead(values: Iterator[Value]) -> Iterator[Value]:
    """The same values, the next of them being made in another thread while one is worked on."""
    with ThreadPoolExecutor(1, "recsys-read") as pool:
        waiting = pool.submit(next, values, None)
        while (value := waiting.result()) is not None:
            waiting = pool.submit(next, values, None)
            yield value
