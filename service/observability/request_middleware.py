"""Around every request: its identity, its time, its line in the log, and the headers that keep browsers in bounds."""

import os
import re
from collections.abc import Callable, Iterable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observability.metrics import Metrics
from service.observability.request_context import CURRENT, RequestRecord

REQUEST_ID = b"x-request-id"
ACCEPTED_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
NOTHING_ALLOWED = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Content-Security-Policy of answers that are data: a browser shows them, and runs and frames nothing."""


SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", NOTHING_ALLOWED.encode()),
)


SECURED = frozenset(name for name, _ in SECURITY_HEADERS)
Log = Callable[[Scope, RequestRecord, int, float], None]
"""Writes the line of a request: its scope, its record, the status (0: no answer was begun), the seconds it took."""


class Observed:
    """Names every request, times it and writes its line."""

    def __init__(self, app: ASGIApp, metrics: Metrics, log: Log) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 0
        record = RequestRecord(_request_id(scope))
        state = scope.setdefault("state", {})
        record.trace_id = state.get("trace_id", "")
        state.update(request_id=record.request_id, record=record)
        named = (REQUEST_ID, record.request_id.encode())

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _protected(message["headers"], named)
            await send(message)

        token = CURRENT.set(record)
        self._metrics.count_under_way(1)
        try:
            await self._app(scope, receive, send_named)
        finally:
            CURRENT.reset(token)
            seconds = perf_counter() - began
            self._metrics.count_under_way(-1)
            self._metrics.count_request(scope["method"], route_of(scope), status, seconds, record.tier)
            self._log(scope, record, status, seconds)


def route_of(scope: Scope) -> str:
    """The template of the address, never the address: ids in a label would make a time series a user."""
    return getattr(scope.get("route"), "path_format", "unmatched")


def _protected(headers: list[tuple[bytes, bytes]], named: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    taken = SECURED.intersection(name.lower() for name, _ in headers)
    secured = [header for header in SECURITY_HEADERS if header[0] not in taken] if taken else SECURITY_HEADERS
    return [*headers, named, *secured]


def _request_id(scope: Scope) -> str:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        if name == REQUEST_ID and ACCEPTED_ID.fullmatch(value):
            return value.decode()
    return os.urandom(16).hex()
