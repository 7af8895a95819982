"""Direct: plain requests for recommendations go from the socket to their answer, past the ASGI application.

Parsing by h11, a scope, a cycle of events and eight layers around the route cost more than what is asked for. What
these layers see to is seen to here, by the same functions: identity, host, key, scope, limits of head and body,
metrics, the line in the log. Where one of them would turn a request away, or has more to say than yes, nothing is done
here: the request goes the long way, as if it had not been looked at, and what is wrong with it is said there.
`plain_requests` says which requests come here at all.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol

from pydantic import ValidationError
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from service.deployment.variants import Variant
from service.http.conversion import to_plain_request
from service.http.dependencies import Services
from service.http.fast_path import Line, written
from service.http.limits import Headers, cors_headers, with_cors
from service.http.plain_requests import Heads, read_body
from service.observability.metrics import Metrics
from service.observability.request_context import CURRENT, RequestRecord
from service.observability.request_middleware import REQUEST_ID, SECURITY_HEADERS, Log
from service.ranking.pages import Request
from service.schemas.recommendations import RecommendationRequest
from service.security.access import Access
from service.security.api_keys import ANYBODY, WatchedKeys
from service.security.authorization import caller_of, response_to
from service.security.rate_limits import RateLimits
from service.settings import Settings

CLOSE: Final = (b"connection", b"close")
OK: Final = b"HTTP/1.1 200 OK\r\n"
JSON_HEAD: Final = b"content-type: application/json\r\ncontent-length: %d\r\nx-request-id: %s\r\n"


def _lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % header for header in headers)


SECURED: Final = _lines(SECURITY_HEADERS) + b"\r\n"


class HistoryOnly(NamedTuple):
    """A history of ids and nothing else, where one variant answers everybody by it."""

    request: Request
    variant: Variant


@dataclass(slots=True)
class Taken:
    """A request that is answered here.

    Attributes:
        asked: its body.
        access: of its key.
        record: of what its line in the log says.
        began: when, by `perf_counter`.
    """

    asked: RecommendationRequest | HistoryOnly
    access: Access
    record: RequestRecord
    began: float


@dataclass(frozen=True)
class Reply:
    """What is written to the socket, with this status, and whether the connection ends with it."""

    status: int
    content: bytes
    closes: bool = False


class AtOnce(Protocol):
    """Answers plain questions: nothing but the engine has to be waited for."""

    def variant(self, services: Services) -> Variant | None:
        """Who answers them all; None where there is more to see to."""
        ...

    def begin(self, asked: HistoryOnly, services: Services) -> "asyncio.Future[Any]":
        """Ask the engine."""
        ...

    def written(self, answer: Any, asked: HistoryOnly, services: Services, request_id: str) -> bytes:
        """What it has answered, as JSON."""
        ...


class DirectPath:
    """Answers plain requests.

    Args:
        line: the address, and what answers there.
        at_once: what answers there without a wait.
        settings: of the service.
        keys: that open something.
        limits: on requests of one key.
        metrics: told of every request.
        log: writes the line of a request.
    """

    def __init__(
        self,
        line: Line,
        at_once: AtOnce,
        settings: Settings,
        keys: WatchedKeys,
        limits: RateLimits,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._line, self._keys, self._limits, self._metrics, self._log = line, keys, limits, metrics, log
        self._at_once = at_once
        self._max_headers, self._max_body = settings.max_headers, settings.max_body_bytes
        self._hosts = frozenset(host.lower() for host in settings.hosts)
        self._heads = Heads()
        cors = with_cors(_nobody, settings.cors_origins) if settings.cors_origins else None
        self._added = _lines(cors_headers(cors, None)) if cors is not None else b""
        self._place = {"type": "http", "method": line.method, "path": line.path_format, "route": line}

    def take(self, data: bytes, services: Services) -> Taken | None:
        """A request that is to be answered here; None for any other, of which nobody has been told anything."""
        found = self._heads.read(data)
        if found is None:
            return None
        head, body = found
        is_ours = not self._hosts or head.host in self._hosts
        if head.n_headers > self._max_headers or len(body) > self._max_body or not is_ours:
            return None
        caller = caller_of(self._keys, head.authorization) if self._keys.are_asked_for else ANYBODY
        if isinstance(caller, str) or self._limits.apply_to(caller.rate_limit):
            return None
        began, record = perf_counter(), RequestRecord(head.request_id or os.urandom(16).hex(), caller.name)
        access = Access(record.request_id, caller, self._limits)
        asked = self._read(body, caller.name, services) if access.opens(self._line.scope) else None
        return None if asked is None else Taken(asked, access, record, began)

    def _read(self, body: bytes, flow: str, services: Services) -> RecommendationRequest | HistoryOnly | None:
        """What a body asks; None where something is wrong with it."""
        variant = self._at_once.variant(services)
        if variant is not None and (plain := read_body(body)) is not None:
            return HistoryOnly(to_plain_request(*plain, flow), variant)
        try:
            return RecommendationRequest.model_validate_json(body)
        except ValidationError:
            return None

    def begin(self, taken: Taken, services: Services) -> "asyncio.Future[Any]":
        """Have a request answered; what this promises is for `reply`."""
        self._metrics.count_under_way(1)
        if not isinstance(taken.asked, HistoryOnly):
            return asyncio.ensure_future(self._answer(taken.asked, taken, services))
        try:
            return self._at_once.begin(taken.asked, services)
        except Exception as error:  # it is told as those are that come later
            refused = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused

    def reply(
        self, taken: Taken, promised: "asyncio.Future[Any]", services: Services, headers: Headers
    ) -> Reply | None:
        """What is answered, with the server's own headers; None where that was given up."""
        record, reply = taken.record, None
        token = CURRENT.set(record)
        try:
            if not promised.cancelled():
                reply = self._as_json(self._content(taken, promised.result(), services), record.request_id, headers)
        except Exception as error:  # whatever it is, there is a problem that tells it
            reply = self._problem(error, taken, services, headers)
        finally:
            CURRENT.reset(token)
            status, seconds = 0 if reply is None else reply.status, perf_counter() - taken.began
            self._metrics.count_under_way(-1)
            self._metrics.count_request(self._line.method, self._line.path_format, status, seconds, record.tier)
            self._log(self._place, record, status, seconds)
        return reply

    def _content(self, taken: Taken, found: Any, services: Services) -> bytes:
        if isinstance(taken.asked, HistoryOnly):
            return self._at_once.written(found, taken.asked, services, taken.record.request_id)
        return written(found)

    async def _answer(self, asked: RecommendationRequest, taken: Taken, services: Services) -> Any:
        CURRENT.set(taken.record)  # of this task alone
        return await self._line.answer(asked, services, taken.access)

    def _as_json(self, content: bytes, request_id: str, headers: Headers) -> Reply:
        told = JSON_HEAD % (len(content), request_id.encode())
        return Reply(200, b"".join((OK, _lines(headers), told, self._added, SECURED, content)))

    def _problem(self, error: Exception, taken: Taken, services: Services, headers: Headers) -> Reply:
        record = taken.record
        state = {"record": record, "services": services, "request_id": record.request_id}
        response = response_to(error, {**self._place, "state": state})
        status, own = response.status_code, response.raw_headers
        start = b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode())
        told = _lines([*headers, *own, (REQUEST_ID, record.request_id.encode())])
        return Reply(status, b"".join((start, told, self._added, SECURED, bytes(response.body))), CLOSE in own)


async def _nobody(scope: AsgiScope, receive: Receive, send: Send) -> None:
    """The application behind a middleware that is only asked for its headers."""
