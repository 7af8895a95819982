"""File records: which logs a dataset was made of, told by their content, and how far each was read.

A log is known again by the SHA-256 of the bytes that were read of it, whatever it is called by now. One that has grown
begins with these bytes. Where its last line had no line end, a writer may have been at work: that line is read again
once more has come.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from pipelines.ingest.file_hashes import BLOCK, FileHashes, HashedFile, blocks
from pipelines.ingest.file_times import TimeState
from pipelines.ingest.log_rows import FileRead, ReadLogs
from pipelines.ingest.readers import Kind
from pipelines.ingest.readers.streams import MAGIC

_FIRST_LINE = re.compile(rb"[^\r\n]+(\r\n|\n|\r)")
_WIDE = ("utf_16", "utf_32", "utf16", "utf32", "u16", "u32")


@dataclass(frozen=True)
class FileRecord:
    """What was read of one log.

    Attributes:
        path: as it was named.
        where: the same, absolute.
        size: bytes that were read.
        digest: their SHA-256; empty where the file changed while it was read, so that nobody knows.
        modified_ns: when it was last written to.
        records: rows, and records that could not be read.
        lines: lines.
        lines_apart: of them those that are no record.
        taken_for: what it was taken for.
        times: what its times are.
        can_grow: whether more can be read of it alone: lines of text, each a record.
        has_header: whether its first line names the columns.
        is_cut: whether its last line had no line end.
        last_was_accepted: whether its last record was.
    """

    path: str
    where: str
    size: int
    digest: str
    modified_ns: int
    records: int
    lines: int
    lines_apart: int
    taken_for: str
    times: TimeState = field(default_factory=TimeState)
    can_grow: bool = False
    has_header: bool = False
    is_cut: bool = False
    last_was_accepted: bool = False


def file_records(
    files: Sequence[Path], hashes: FileHashes, read: ReadLogs, before: Sequence[FileRecord | None] = ()
) -> list[FileRecord]:
    """Records of all files, now that they were read.

    Args:
        hashes: of these files.
        before: of each file what was read of it before this, if only what has come to it was read now.
    """
    found = []
    for number, path in enumerate(files):
        times, last = read.times[number].state(), read.last_rows.get(number, -1)
        was, one = read.files[number], hashes.of(path)
        earlier = before[number] if before else None
        record = _record(path, one, was, read.taken_for[number], times, last, earlier.lines if earlier else 0)
        found.append(_joined(earlier, record) if earlier else record)
    return found


def _record(
    path: Path, one: HashedFile, was: FileRead, taken_for: str, times: TimeState, last_row: int, lines_before: int
) -> FileRecord:
    can_grow = was.layout.kind in (Kind.DELIMITED, Kind.JSON_LINES) and not _is_packed_or_wide(one, was)
    has_header = was.layout.kind is Kind.DELIMITED and was.layout.header
    size, digest, is_cut = one.size, one.digest, bool(one.last) and one.last not in b"\r\n"
    status = path.stat()
    if (status.st_size, status.st_mtime_ns) != (one.size, one.modified_ns):
        lines = lines_before + was.lines - (has_header and lines_before > 0)
        size, digest, is_cut = _as_far_as(path, lines) if can_grow else (one.size, "", False)
    return FileRecord(
        path=str(path),
        where=str(path.resolve()),
        size=size,
        digest=digest,
        modified_ns=one.modified_ns,
        records=was.records,
        lines=was.lines,
        lines_apart=was.lines_apart,
        taken_for=taken_for,
        times=times,
        can_grow=can_grow and bool(digest),
        has_header=has_header,
        is_cut=is_cut,
        last_was_accepted=last_row >= 0 and last_row == was.records - 1,
    )


def _joined(before: FileRecord, now: FileRecord) -> FileRecord:
    """The record of a log that has grown; the header was read twice."""
    header = 1 if now.has_header and before.lines else 0
    return replace(
        now,
        path=before.path,
        records=before.records + now.records,
        lines=before.lines + now.lines - header,
        lines_apart=before.lines_apart + now.lines_apart - header,
        taken_for=before.taken_for,
        times=before.times.joined(now.times),
    )


def _is_packed_or_wide(one: HashedFile, was: FileRead) -> bool:
    is_wide = was.layout.encoding.lower().replace("-", "_").startswith(_WIDE)
    return is_wide or one.first.startswith((*MAGIC, b"\xff\xfe", b"\xfe\xff"))


def _as_far_as(path: Path, lines: int) -> tuple[int, str, bool]:
    """Of a file that was written to while it was read: all its lines but the last that was read, and a byte of that.

    That one may have been cut where the reader was, and is read again.
    """
    digest, size, left = sha256(), 0, lines - 1
    for block in blocks(path, path.stat().st_size):
        if b"\r" in block:
            return size, "", False
        ends = block.count(b"\n")
        if ends >= left:
            place = -1
            for _ in range(left):
                place = block.index(b"\n", place + 1)
            digest.update(block[: place + 2])
            return size + place + 2, digest.hexdigest(), True
        left -= ends
        size += len(block)
        digest.update(block)
    return size, "", False


@dataclass(frozen=True)
class Arrival:
    """A log that is to be appended.

    Attributes:
        path: where it lies.
        grown: the record of what was read of it before, and its place among the records.
        known: the record of a log of the same content: nothing of it is read.
        is_other: whether a log of its name was read before, with other content.
    """

    path: Path
    grown: tuple[int, FileRecord] | None = None
    known: FileRecord | None = None
    is_other: bool = False
    is_changed: bool = False

    @property
    def is_new(self) -> bool:
        """Whether something is read of it."""
        return self.known is None


def arrivals(logs: Sequence[Path], records: Sequence[FileRecord]) -> list[Arrival]:
    """Which of the logs are new, which have grown, and which are in already."""
    return [_arrival(path, records) for path in logs]


def _arrival(path: Path, records: Sequence[FileRecord]) -> Arrival:
    status, where = path.stat(), str(path.resolve())
    here = [(place, one) for place, one in enumerate(records) if one.where == where]
    for _, one in here:
        if one.digest and (one.size, one.modified_ns) == (status.st_size, status.st_mtime_ns):
            return Arrival(path, known=one)
    sizes = sorted({one.size for one in records if one.size == status.st_size} | {one.size for _, one in here})
    digests = prefixes(path, [size for size in sizes if size <= status.st_size])
    whole = digests.get(status.st_size)
    known = next((one for one in records if one.digest and one.digest == whole), None)
    if known is not None:
        return Arrival(path, known=known)
    for place, one in reversed(here):
        if one.size < status.st_size and digests.get(one.size) == one.digest:
            return Arrival(path, grown=(place, one))
    return Arrival(path, is_other=bool(here), is_changed=any(not one.digest for _, one in here))


def prefixes(path: Path, sizes: Sequence[int]) -> dict[int, str]:
    """SHA-256 of the beginnings of a file that have these sizes, ascending."""
    found: dict[int, str] = {}
    digest, at = sha256(), 0
    for size in sizes:
        for block in blocks(path, size - at, at):
            digest.update(block)
        at = size
        found[size] = digest.copy().hexdigest()
    return found


def write_tail(record: FileRecord, folder: Path) -> Path:
    """A file of what has come to a log: its header, and all from the end of the last whole line that was read."""
    path = Path(record.where)
    target = folder.joinpath(*path.parts[-3:])
    target.parent.mkdir(parents=True, exist_ok=True)
    start = _start_of_line(path, record.size) if record.is_cut else record.size
    with path.open("rb") as file, target.open("wb") as tail:
        if record.has_header and start:
            tail.write(_header(file.read(BLOCK)))
        file.seek(start)
        while block := file.read(BLOCK):
            tail.write(block)
    return target


def _header(start: bytes) -> bytes:
    found = _FIRST_LINE.search(start)
    return b"" if found is None else start[: found.end()].lstrip(b"\r\n")


def _start_of_line(path: Path, size: int) -> int:
    """Where the line begins that is cut off at `size`."""
    with path.open("rb") as file:
        end = size
        while end > 0:
            begin = max(end - BLOCK, 0)
            file.seek(begin)
            block = file.read(end - begin)
            place = max(block.rfind(b"\n"), block.rfind(b"\r"))
            if place >= 0:
                return begin + place + 1
            end = begin
    return 0
