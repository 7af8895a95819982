"""Encodings: UTF-8, unless the bytes themselves say that they are of a Western European code page.

The rule: a file is read as Windows-1252, of which Latin-1 is the printable part, where it holds bytes beyond ASCII,
none of its lines with such bytes is UTF-8, and all of these bytes are letters or marks that such texts have. In any
other case it is UTF-8, and lines that are none are quarantined.
"""

import codecs
import re
from pathlib import Path

from pipelines.ingest.readers.streams import first_blocks, first_bytes

UTF_8, WINDOWS = "utf-8", "cp1252"
LOOKED_AT = 1 << 24
"""Bytes that are looked at: the whole of most files, 16 MiB of others."""
_BEYOND_ASCII = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
_HIGH = re.compile(rb"[\x80-\xff]")
_MARKS = bytes.fromhex("80 82 84 85 86 87 8a 8c 8e 91 92 93 94 95 96 97 99 9a 9c 9e 9f a0 a1 a3 a7 a9 aa ab ae b0")
_PLAUSIBLE = frozenset(_MARKS + bytes(range(0xB1, 0xFD))) - frozenset(b"\xb5\xb6\xb8\xd7\xf7")
"""In Windows-1252: letters with accents, marks of quotation, dashes, currencies, fractions; not what texts lack."""


def encoding_of(data: bytes) -> str:
    """The encoding of the first bytes of a file, a name that Python knows; a byte-order mark is left to its reader."""
    if data.isascii() or data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return UTF_8
    for line in _BEYOND_ASCII.findall(data):
        if is_utf8(line) or not _PLAUSIBLE.issuperset(b"".join(_HIGH.findall(line))):
            return UTF_8
    return WINDOWS


def encoding_at(path: Path) -> str:
    """The same of a file, whose bytes are held only where some are beyond ASCII; raises as `first_bytes`."""
    if all(block.isascii() for block in first_blocks(path, LOOKED_AT)):
        return UTF_8
    return encoding_of(first_bytes(path, LOOKED_AT))


def decode(data: bytes) -> str:
    """Text for looking at: whatever cannot be read is replaced."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return data.removeprefix(codecs.BOM_UTF8).decode(encoding_of(data), "replace")


def is_utf8(data: bytes, *, is_whole: bool = True) -> bool:
    """Whether bytes are UTF-8; where they are not whole, they may end within a character."""
    try:
        codecs.getincrementaldecoder(UTF_8)().decode(data, final=is_whole)
    except UnicodeDecodeError:
        return False
    return True
