"""Limits on what is read of a request, what other origins' pages may see, the last net below unexpected errors."""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator, Iterable
from functools import partial
from time import monotonic
from types import coroutine
from typing import Any, Final

from fastapi import HTTPException  # starlette's own, raised while a body is read, FastAPI takes for a broken body
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.addresses import path_of
from service.problems import problem, unexpected
from service.schemas.common import VARIANT_HEADER

CORS: Final[dict[str, Any]] = {
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-ID", VARIANT_HEADER],
    "expose_headers": ["ETag", "X-Request-ID", "Retry-After", "RateLimit", "RateLimit-Policy"],
}
"""What pages of the origins in the settings may send and see; cookies never."""

PROBES: Final = frozenset({"/health/live", "/health/ready"})

Headers = list[tuple[bytes, bytes]]


def with_cors(app: ASGIApp, origins: tuple[str, ...]) -> CORSMiddleware:
    """Let pages of these origins call, and read what is answered."""
    return CORSMiddleware(app, allow_origins=origins, **CORS)


def cors_headers(cors: CORSMiddleware, origin: str | None) -> Headers:
    """What `cors` adds to an answer, for one that is made outside of it; `origin` is the request's, if it has one."""
    added = MutableHeaders()
    if origin is not None:
        added.update(cors.simple_headers)
    if origin is not None and not cors.allow_all_origins and cors.is_allowed_origin(origin):
        cors.allow_explicit_origin(added, origin)
    else:
        added["Vary"] = "Origin"
    return added.raw


class Net:
    """Answers for what nobody caught: the log has it in full, the caller one sentence."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        is_begun = False

        async def send_noted(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception as error:
            if scope["type"] != "http":
                raise
            response = unexpected(scope["state"]["request_id"], error)
            if is_begun:
                raise
            await response(scope, receive, send)


class HeadLimit:
    """Refuses requests with more headers than `max_headers`, those meant for a host that this is not, and those whose
    address is no text; the others get the path that routes see.

    Args:
        app: what is behind.
        max_headers: the most that a request may have.
        hosts: names in the header Host that are answered; empty: all. A page of another site that makes a browser take
            its name for this machine (DNS rebinding) sends its own name here. Probes of health name whatever address
            they were given, and learn nothing that a page may not know: they are always answered.
    """

    def __init__(self, app: ASGIApp, max_headers: int, hosts: tuple[str, ...] = ()) -> None:
        self._app = app
        self._max_headers = max_headers
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            if len(scope["headers"]) > self._max_headers:
                detail = f"The request has more than {self._max_headers} headers."
                await problem(431, "too-many-headers", detail, scope["state"]["request_id"])(scope, receive, send)
                return
            path = path_of(scope)
            if path is None:
                detail = "The address is not percent-encoded UTF-8."
                await problem(400, "bad-address", detail, scope["state"]["request_id"])(scope, receive, send)
                return
            scope["path"] = path
            if self._hosts and path not in PROBES and _host(scope) not in self._hosts:
                detail = "This service does not answer for the host that the request names."
                await problem(421, "wrong-host", detail, scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses bodies longer than `max_bytes` before they are read whole, and those that take over `seconds` to come."""

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced, deadline = _announced(scope), monotonic() + self._seconds
        received, is_complete = 0, False

        async def receive_some() -> Message:
            nonlocal received, is_complete
            if is_complete:  # what comes now is that the client has gone, and it may take its time
                return await receive()
            self._check(announced)
            message = await self._in_time(receive(), deadline)
            received += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            self._check(received)
            return message

        await self._app(scope, receive_some, send)

    async def _in_time(self, reading: Awaitable[Message], deadline: float) -> Message:
        """What is received; a clock is set for it only if it is not there yet, as it nearly always is."""
        assert isinstance(reading, Coroutine)
        try:
            pending = reading.send(None)
        except StopIteration as done:
            message: Message = done.value
            return message
        try:
            async with asyncio.timeout(deadline - monotonic()):
                return await _rest(reading, pending)
        except TimeoutError:
            raise _too_slow(self._seconds) from None

    def _check(self, length: int) -> None:
        if length > self._max_bytes:
            raise HTTPException(413, f"The body is longer than {self._max_bytes} bytes.", {"Connection": "close"})


@coroutine
def _rest(begun: Coroutine[Any, Any, Message], pending: Any) -> Generator[Any, Any, Message]:
    """What is left of a coroutine that has come to wait for something."""
    while True:
        try:
            came = yield pending
        except BaseException as error:
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, came)
        try:
            pending = step()
        except StopIteration as done:
            message: Message = done.value
            return message


def _too_slow(seconds: float) -> HTTPException:
    return HTTPException(408, f"The body did not come within {seconds:g} seconds.", {"Connection": "close"})


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _host(scope: Scope) -> str:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    sent = [value for name, value in headers if name == b"host"]
    return host_name(sent[0]) if len(sent) == 1 else ""


def host_name(sent: bytes) -> str:
    """The name in a header Host, without a port."""
    host = sent.decode("latin-1").lower()
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() else host
