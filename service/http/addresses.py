"""Addresses: one segment of an address is one segment of the path that routes see, whatever the id in it holds.

A server hands over the path decoded, where a `/` of an id looks like one of the address, and bytes that are no text all
look alike. So the path is decoded here once more, segment by segment; what would be taken for something else stays
encoded until a route reads its id.
"""

import re
from urllib.parse import quote, unquote_to_bytes

from starlette.convertors import Convertor
from starlette.types import Scope

ENCODED = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})*", re.DOTALL)


def path_of(scope: Scope) -> str | None:
    """The path for routes; None where the address is not percent-encoded UTF-8."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:  # a server may leave it out; then a slash of an id cannot be told any more
        raw = quote(scope["path"], safe="/").encode()
    if b"%" not in raw:
        path: str = scope["path"]
        return path
    if ENCODED.fullmatch(raw) is None:
        return None
    try:
        parts = [unquote_to_bytes(part).decode() for part in raw.split(b"/")]
    except UnicodeDecodeError:
        return None
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


class IdConvertor(Convertor[str]):
    """An id in an address: one segment, of any text."""

    regex = "[^/]*"

    def convert(self, value: str) -> str:
        """The id."""
        return value.replace("%2F", "/").replace("%25", "%")

    def to_string(self, value: str) -> str:
        """The segment."""
        return value.replace("%", "%25").replace("/", "%2F")
