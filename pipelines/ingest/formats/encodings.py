"""Encodings: UTF-8, unless the bytes themselves say that they are of a Western European code page.

The rule: a file is read as Windows-1252, of which Latin-1 is the printable part, where it holds bytes beyond ASCII, none
of its lines with such bytes is UTF-8, and all of these bytes are letters or marks that such texts have. In any other
case it is UTF-8, and lines that are none are quarantined: a single bad byte makes no code page.
"""

import codecs
import re
from pathlib import Path

from pipelines.ingest.readers.streams import first_bytes

UTF_8, WINDOWS = "utf-8", "cp1252"
LOOKED_AT = 1 << 24
"""Bytes that are looked at: the whole of most files, 16 MiB of others."""
_BEYOND_ASCII = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
_HIGH = re.compile(rb"[\x80-\xff]")
_MARKS = "€‚„…†‘’“”•–—™ŠšŒœŽžŸ\xa0¡£§©ª«®°±²³´·¹º»¼½¾¿"
_PLAUSIBLE = frozenset(_MARKS.encode(WINDOWS) + bytes(range(0xC0, 0xFD))) - frozenset("×÷".encode(WINDOWS))


def detect(path: Path) -> str:
    """The encoding of a text file, a name that Python knows; a byte-order mark is left to those who read it.

    Raises:
        DataError: it cannot be opened or unpacked.
        EmptyDataError: it is empty.
    """
    return encoding_of(first_bytes(path, LOOKED_AT))


def encoding_of(data: bytes) -> str:
    """The same for the bytes themselves."""
    if data.isascii() or data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return UTF_8
    for line in _BEYOND_ASCII.findall(data):
        if _is_utf8(line) or not _PLAUSIBLE.issuperset(b"".join(_HIGH.findall(line))):
            return UTF_8
    return WINDOWS


def decode(data: bytes) -> str:
    """Text for looking at: whatever cannot be read is replaced."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return data.removeprefix(codecs.BOM_UTF8).decode(encoding_of(data), "replace")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode(UTF_8)
    except UnicodeDecodeError:
        return False
    return True
