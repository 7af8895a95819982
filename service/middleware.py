"""Around every request: its identity, its time, the cap on its body, and the last net below unexpected errors."""

import re
from time import perf_counter
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import unexpected
from service.metrics import Metrics

REQUEST_ID = "X-Request-ID"
ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Observed:
    """Names every request, times it, and answers for what nobody caught."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 0
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except Exception as error:
            response = unexpected(request_id, error)
            if status:
                raise
            await response(scope, receive, send_named)
        finally:
            self._metrics.count_request(scope["method"], _route(scope), status, perf_counter() - began)


class BodyLimit:
    """Refuses bodies that are longer than `max_bytes` before they are read whole."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            if announced.isdecimal():
                self._check(int(announced))
            message = await receive()
            received += len(message.get("body", b""))
            self._check(received)
            return message

        await self._app(scope, receive_some, send)

    def _check(self, length: int) -> None:
        if length > self._max_bytes:
            raise HTTPException(413, f"The body is longer than {self._max_bytes} bytes.")


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if ACCEPTED_ID.fullmatch(given) else uuid4().hex


def _route(scope: Scope) -> str:
    # The template, never the path: ids in a label would make a time series a user.
    return getattr(scope.get("route"), "path_format", "unmatched")
