"""Cursors: where a list goes on. Opaque to callers; nothing is kept about them here.

A cursor holds what its pages have in common (the bundle, the user's history as it was, a digest of the request) and the
rows that were returned so far. The next page is the best of what is left, so pages neither repeat nor skip an item, in
whatever batch and to whatever rounding each is computed.

    base64url( version of this format | digest of the request | sequence | model version | [day |] rows | checksum )

Rows are ascending differences in seven bits a byte. The checksum tells damage from use; it is no signature, as a cursor
gives access to nothing. The second format has the day that purchases are seen from, where a list goes by it: its pages
go on seeing them from there.
"""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from recsys_vae.protocols import Int64Array
from service.errors import FieldError

PLAIN, WITH_DAY = 1, 2
"""Formats."""
LARGEST_DEPTH = 10_000
"""Items that a list goes down to, page by page."""
HEAD = struct.Struct("<B16sqB")
DAY = struct.Struct("<i")
CHECKSUM_BYTES = 8


@dataclass(frozen=True)
class Cursor:
    """Where a list goes on.

    Attributes:
        model_version: of the bundle that answered.
        sequence: of the last event in the user's stored history; None where no stored history was read.
        request: digest of everything in the request that makes the list, 16 bytes.
        shown: rows of the items that were returned so far, ascending.
        day: since 1970, UTC, that purchases are seen from; None where they do not count.
    """

    model_version: str
    sequence: int | None
    request: bytes
    shown: tuple[int, ...]
    day: int | None = None

    def write(self, packed: bytes | None = None) -> str:
        """As text; `packed` are the rows as they are in it, where somebody has them so."""
        version = self.model_version.encode()
        sequence = -1 if self.sequence is None else self.sequence
        form, day = (PLAIN, b"") if self.day is None else (WITH_DAY, DAY.pack(self.day))
        body = (
            HEAD.pack(form, self.request, sequence, len(version))
            + version
            + day
            + (_pack(self.shown) if packed is None else packed)
        )
        return urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """From text.

        Raises:
            FieldError: it is damaged, or not a cursor.
        """
        try:
            content = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            if urlsafe_b64encode(content).decode().rstrip("=") != text:
                raise ValueError("letters")
            body, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
            if checksum != _checksum(body):
                raise ValueError("checksum")
            form, request, sequence, length = HEAD.unpack_from(body)
            if form not in (PLAIN, WITH_DAY):
                raise ValueError("format")
            version, rest = body[HEAD.size : HEAD.size + length], body[HEAD.size + length :]
            day, rows = (None, rest) if form == PLAIN else (DAY.unpack_from(rest)[0], rest[DAY.size :])
            shown = tuple(_unpack(rows).tolist())
            return cls(version.decode(), None if sequence < 0 else sequence, request, shown, day)
        except (ValueError, OverflowError, Base64Error, struct.error) as error:
            raise FieldError(
                "body.cursor", "this is not a cursor, or it is damaged; pass on next_cursor as it came"
            ) from error


def _checksum(body: bytes) -> bytes:
    return blake2b(body, digest_size=CHECKSUM_BYTES, person=b"recsys-cursor").digest()


def _pack(rows: tuple[int, ...]) -> bytes:
    packed, before = bytearray(), 0
    for row in rows:
        rest, before = row - before, row
        while rest >= 0x80:
            packed.append(rest & 0x7F | 0x80)
            rest >>= 7
        packed.append(rest)
    return bytes(packed)


def _unpack(packed: bytes) -> Int64Array:
    rows, row, shift = [], 0, 0
    for byte in packed:
        row += (byte & 0x7F) << shift
        shift = shift + 7 if byte & 0x80 else 0
        if not byte & 0x80:
            rows.append(row)
    return np.array(rows, dtype=np.int64)
