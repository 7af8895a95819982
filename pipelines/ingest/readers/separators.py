"""Separators of several characters, or of blanks, put as one byte that the text does not hold."""

import re
from collections.abc import Iterator
from dataclasses import replace

from pipelines.ingest.readers.layout import BLANKS
from pipelines.ingest.readers.streams import Chunk

UNIT = b"\x1f"
"""ASCII's unit separator."""
_BLANKS = re.compile(rb"[ \t]+")
_OUTER_BLANKS = re.compile(rb"^[ \t]+|[ \t]+$", re.MULTILINE)


def one_byte(chunks: Iterator[Chunk], separator: str) -> Iterator[Chunk]:
    """The chunks, their separators one byte: the same where they are one byte, else `UNIT`.

    A line that holds `UNIT` already cannot be told from others then; it goes to the lines that are too long.
    """
    mark = separator.encode()
    if separator != BLANKS and len(mark) == 1:
        return chunks
    return (_put(chunk, mark, blanks=separator == BLANKS) for chunk in chunks)


def _put(chunk: Chunk, mark: bytes, *, blanks: bool) -> Chunk:
    # A control character in text is noise; it becomes a blank, so that no field is made up.
    data = chunk.data.replace(UNIT, b" ") if UNIT in chunk.data else chunk.data
    if blanks:
        return replace(chunk, data=_BLANKS.sub(UNIT, _OUTER_BLANKS.sub(b"", data)))
    return replace(chunk, data=data.replace(mark, UNIT))
