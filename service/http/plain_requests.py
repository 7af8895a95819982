"""Plain requests: those for recommendations whose head holds nothing that could matter, read at a glance.

Most requests are of one form: a line, a few headers that every client sends, a body whose length is announced, all of
it in one piece. They are recognised here, by what is allowed and not by what is forbidden. Of anything else, however
harmless, nothing is said: the server's own parser takes it as it came, and whatever stands behind that.
"""

import re
from typing import Final, NamedTuple

from service.http.limits import host_name
from service.observability.request_middleware import ACCEPTED_ID
from service.ranking.plain_history import PlainHistory
from service.ranking.work import PLAIN_HISTORY, PLAIN_K
from service.schemas.recommendations import RecommendationRequest
from service.security.same_origin import JSON

START: Final = b"POST /v1/recommendations HTTP/1.1\r\n"
HEADER: Final = re.compile(rb"([A-Za-z-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)[ \t]*")
LENGTH: Final = re.compile(rb"[0-9]{1,9}")
CONNECTION: Final = frozenset({b"keep-alive", b"Keep-Alive"})
IGNORED: Final = frozenset(
    {
        b"accept", b"accept-encoding", b"accept-language", b"user-agent", b"via", b"x-forwarded-for",
        b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip",
    }
)  # fmt: skip
"""Headers that nobody reads on the way of a request for recommendations."""
ONCE: Final = frozenset({b"host", b"content-length", b"content-type", b"connection", b"authorization", b"x-request-id"})
NEEDED: Final = frozenset({b"host", b"content-length", b"content-type"})
LONGEST_HEAD: Final = 4096
REMEMBERED: Final = 512
"""Heads that are remembered: clients send the same ones again and again. Those with a key or an identity are not."""


ID: Final = rb'"[\x20\x21\x23-\x5b\x5d-\x7e]{1,512}"'
"""In ASCII, with nothing that is written in another way within quotes."""
IDS: Final = rb'"history": ?\[(' + ID + rb"(?:, ?" + ID + rb")*)\]"
NUMBER: Final = rb'"k": ?([1-9][0-9]{0,2})'
BODY: Final = re.compile(rb"\{" + IDS + rb"(?:, ?" + NUMBER + rb")?\}")
LONGEST_BODY: Final = 16_384
USUAL_K: Final = RecommendationRequest.model_fields["k"].default


class Head(NamedTuple):
    """What a plain head says.

    Attributes:
        length: of the body, in bytes.
        n_headers: how many there are.
        host: its name, without a port.
        authorization: of the caller; None where none was sent.
        request_id: that the caller has chosen; empty where none was.
    """

    length: int
    n_headers: int
    host: str
    authorization: bytes | None = None
    request_id: str = ""


class Heads:
    """Reads heads, and remembers those that come again."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head | None] = {}

    def read(self, data: bytes) -> tuple[Head, bytes] | None:
        """Head and body of a request; None where these bytes are not one plain request, all of it and nothing else."""
        end = data.find(b"\r\n\r\n", 0, LONGEST_HEAD)
        if end < 0:
            return None
        told = data[:end]
        try:
            head = self._known[told]
        except KeyError:
            head = self._learned(told)
        if head is None or len(data) != end + 4 + head.length:
            return None
        return head, data[end + 4 :]

    def _learned(self, told: bytes) -> Head | None:
        head = _read(told)
        if head is None or (head.authorization is None and not head.request_id):
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[told] = head
        return head


def read_body(body: bytes) -> tuple[PlainHistory, int] | None:
    """A history of ids and the length of the list; None where a body says anything else, or in another way."""
    found = BODY.fullmatch(body) if len(body) <= LONGEST_BODY else None
    if found is None:
        return None
    ids, k = found.groups()
    each = ids.split(b'"')[1::2]  # no id holds a quote
    length = USUAL_K if k is None else int(k)
    if length > PLAIN_K or len(each) > PLAIN_HISTORY or len(set(each)) < len(each):
        return None
    return PlainHistory(b"\0".join(each), len(each)), length


def _read(told: bytes) -> Head | None:
    """A head without the empty line at its end."""
    if not told.startswith(START):
        return None
    found: dict[bytes, bytes] = {}
    lines = told[len(START) :].split(b"\r\n")
    for line in lines:
        matched = HEADER.fullmatch(line)
        if matched is None:
            return None
        name = matched[1].lower()
        if name in ONCE and name not in found:
            found[name] = matched[2]
        elif name not in IGNORED:
            return None
    identity = found.get(b"x-request-id", b"")
    if (
        not found.keys() >= NEEDED
        or not LENGTH.fullmatch(found[b"content-length"])
        or found[b"content-type"] != JSON
        or found.get(b"connection", b"keep-alive") not in CONNECTION
    ):
        return None
    chosen = identity.decode() if ACCEPTED_ID.fullmatch(identity) else ""
    return Head(
        int(found[b"content-length"]), len(lines), host_name(found[b"host"]), found.get(b"authorization"), chosen
    )
