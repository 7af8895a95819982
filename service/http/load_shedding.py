"""The gate: recommendation requests on top of what can be answered are turned away before anything is done for them.

A refusal costs time of those who are in already: one that goes through the application takes a third of what an answer
takes, so at three times the rate that can be answered nothing would be answered at all. Here it takes a look at the
head and a few lines written at once. What does not look like a whole, plain request for recommendations goes on to the
application, whatever it is.
"""

import asyncio
import logging
import os
import re
import sys
from http import HTTPStatus

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.errors import OverloadedError
from service.http.dependencies import Services
from service.http.limits import Headers, cors_headers, with_cors
from service.observability.request_middleware import REQUEST_ID, SECURITY_HEADERS
from service.problems import CODES, MEDIA_TYPE, RETRY_AFTER, describe, problem_of

REQUEST = re.compile(rb"POST (/v1/recommendations(?::batch)?) HTTP/1\.1\r\n")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
IDENTITY = re.compile(rb"\r\nx-request-id:[ \t]*([A-Za-z0-9._-]{1,128})[ \t]*\r\n", re.IGNORECASE)
ORIGIN = re.compile(rb"\r\norigin:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)
MALFORMED = "This is no HTTP request that can be read"
SECONDS_A_LINE = 1.0
"""The log tells of a flood once a second, not once a request."""

logger = logging.getLogger("recsys.service")


class LoadShedder:
    """Says who is turned away, what they are told, and who is told of them."""

    def __init__(self, services: Services) -> None:
        self._batcher = services.engine.batcher
        self._metrics = services.metrics
        origins = services.settings.cors_origins
        self._cors = with_cors(_nobody, origins) if origins else None
        self._untold = 0

    def is_closed(self, under_way: int) -> bool:
        """Whether no more can be answered in time than these."""
        return under_way >= self._batcher.most_under_way

    def refuse(self, request: bytes, headers: Headers) -> bytes:
        """The answer to a whole request, with the server's own headers."""
        self._count(request)
        end = request.index(b"\r\n\r\n") + 2
        named = IDENTITY.search(request, 0, end)
        identity = named[1] if named else os.urandom(16).hex().encode()
        body = problem_of(OverloadedError(), identity.decode()).model_dump_json(exclude_none=True).encode()
        head = [
            *headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in RETRY_AFTER.items()),
            (REQUEST_ID, identity),
            *SECURITY_HEADERS,
            *self._cross_origin(request[:end]),
        ]
        lines = [b"HTTP/1.1 503 Service Unavailable", *(b": ".join(header) for header in head), b"", body]
        return b"\r\n".join(lines)

    def count_malformed(self) -> None:
        """Count what was no HTTP."""
        self._metrics.count_refusal("malformed-http")

    def _cross_origin(self, head: bytes) -> Headers:
        """What lets a page read the answer; without it a browser shows the page a network error."""
        if self._cors is None:
            return []
        found = ORIGIN.search(head)
        return cors_headers(self._cors, found[1].decode("latin-1") if found else None)

    def _count(self, request: bytes) -> None:
        found = REQUEST.match(request)
        assert found is not None
        self._metrics.count_queue_refusal("overloaded")
        self._metrics.count_request("POST", found[1].decode(), 503, 0.0)
        if not self._untold:
            asyncio.get_running_loop().call_later(SECONDS_A_LINE, self._tell)
        self._untold += 1

    def _tell(self) -> None:
        logger.warning("%d requests were turned away: too many were under way.", self._untold)
        self._untold = 0


class LoadSheddingProtocol(H11Protocol):
    """uvicorn's protocol over h11, with the gate in front."""

    def data_received(self, data: bytes) -> None:
        """Turn a request away, or let it in."""
        shedder = self._shedder()
        if shedder.is_closed(len(self.tasks)) and self._is_between_requests() and is_whole_request(data):
            self._unset_keepalive_if_required()
            self.transport.write(shedder.refuse(data, self.server_state.default_headers))
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Tell of what is no HTTP, as everything else is told of. Called while the error is handled."""
        error = sys.exc_info()[1]
        self._shedder().count_malformed()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer has begun
            self.transport.close()
            return
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        identity = os.urandom(16).hex()
        code = CODES.get(status, CODES[400])
        body = describe(status, code, f"{MALFORMED}: {error or msg}.", identity).model_dump_json(exclude_none=True)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (REQUEST_ID, identity.encode()),
            *SECURITY_HEADERS,
        ]
        for event in (
            h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode()),
            h11.Data(data=body.encode()),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _shedder(self) -> LoadShedder:
        """One for all connections, made with the first of them."""
        shedder: LoadShedder | None = self.app_state.get("gate")
        if shedder is None:
            shedder = self.app_state["gate"] = LoadShedder(self.app_state["services"])
        return shedder

    def _is_between_requests(self) -> bool:
        is_idle = self.conn.our_state is h11.IDLE and self.conn.their_state is h11.IDLE
        return is_idle and not self.conn.trailing_data[0]


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind a middleware that is only asked for its headers."""


def is_whole_request(data: bytes) -> bool:
    """Whether these bytes are one request for recommendations, all of it and nothing else."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or not REQUEST.match(data):
        return False
    length = LENGTH.search(data, 0, end + 2)
    return length is not None and len(data) == end + 4 + int(length[1])
