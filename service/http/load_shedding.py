"""The gate: recommendation requests on top of what can be answered are turned away before anything is done for them.

A refusal costs time of those who are in already: one that goes through the application takes a third of what an answer
takes, so at three times the rate that can be answered nothing would be answered at all. Here it takes a look at the
head and a few lines written at once. What does not look like a whole, plain request for recommendations goes on to the
application, whatever it is.
"""

import os
import re

from starlette.types import Receive, Scope, Send

from service.errors import OverloadedError
from service.http.dependencies import Services
from service.http.limits import Headers, cors_headers, with_cors
from service.observability.request_middleware import REQUEST_ID, SECURITY_HEADERS
from service.observability.tally import Tally
from service.problems import MEDIA_TYPE, RETRY_AFTER, problem_of

REQUEST = re.compile(rb"POST (/v1/recommendations(?::batch)?) HTTP/1\.1\r\n")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
IDENTITY = re.compile(rb"\r\nx-request-id:[ \t]*([A-Za-z0-9._-]{1,128})[ \t]*\r\n", re.IGNORECASE)
ORIGIN = re.compile(rb"\r\norigin:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)


class LoadShedder:
    """Says who is turned away, what they are told, and who is told of them."""

    def __init__(self, services: Services) -> None:
        self._batcher = services.engine.batcher
        self._metrics = services.metrics
        origins = services.settings.cors_origins
        self._cors = with_cors(_nobody, origins) if origins else None
        self._refused = Tally("%d requests were turned away: too many were under way.")

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
        self._refused.add()


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind a middleware that is only asked for its headers."""


def is_whole_request(data: bytes) -> bool:
    """Whether these bytes are one request for recommendations, all of it and nothing else."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or not REQUEST.match(data):
        return False
    length = LENGTH.search(data, 0, end + 2)
    return length is not None and len(data) == end + 4 + int(length[1])
