"""The server's side of a connection: uvicorn's over h11, with the gate in front, and an end where nothing is asked."""

import asyncio
import math
import os
import sys
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.http.connections import Connections
from service.http.dependencies import Services
from service.http.direct_path import DirectPath, Reply, Taken
from service.http.limits import Headers
from service.http.load_shedding import LoadShedder, is_whole_request
from service.observability.request_middleware import REQUEST_ID, SECURITY_HEADERS
from service.problems import CODES, MEDIA_TYPE, RETRY_AFTER, describe

MALFORMED = "This is no HTTP request that can be read"


class ServerProtocol(H11Protocol):
    """One connection."""

    _head_timer: asyncio.TimerHandle | None = None
    """Runs while a request is waited for that has not come whole, up to its body."""
    _is_answered = False
    """Whether an answer has gone out already."""
    _is_direct = False
    """Whether a request is answered directly now: past h11, which knows nothing of it."""
    _early = b""
    """What came meanwhile."""
    _waits_since = -math.inf
    """When the last direct answer was written, on the event loop's clock."""
    _is_last = False
    """Whether the connection ends with the answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it on, or not."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._wait_for_head()
        self._connections().opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._stop_waiting()
        self._connections().closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Turn a request away, or let it in."""
        if self._is_direct:
            self._early += data
            self.flow.pause_reading()
            return
        shedder, connections = self._shedder(), self._connections()
        connections.is_busy(self)
        if shedder.is_closed(len(self.tasks)) and self._is_between_requests() and is_whole_request(data):
            self._stop_waiting()
            self.transport.write(shedder.refuse(data, self.server_state.default_headers))
            self._wait_for_another()
            return
        if self._answers_directly(data):
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:  # of a head that is not whole
            if self._head_timer is None:
                self._wait_for_head()
            connections.is_idle(self)
        elif self._head_timer is not None:
            self._stop_waiting()

    def shutdown(self) -> None:
        """End, once what is answered now has been."""
        if self._is_direct:
            self._is_last = True
        else:
            super().shutdown()

    def _answers_directly(self, data: bytes) -> bool:
        """Whether these bytes are a request that is answered past h11."""
        services = self._services
        direct = services.direct
        if direct is None or self.flow.write_paused or not self._is_between_requests():
            return False
        taken = direct.take(data, services)
        if taken is None:
            return False
        self._stop_waiting()
        self._is_direct = True
        promised = direct.begin(taken, services)
        self.tasks.add(promised)  # type: ignore[arg-type]
        promised.add_done_callback(partial(self._end_direct, direct, taken))
        return True

    def _end_direct(self, direct: DirectPath, taken: Taken, promised: "asyncio.Future[Any]") -> None:
        """Answer, and go on with what came meanwhile."""
        self.tasks.discard(promised)
        reply = None
        try:
            reply = direct.reply(taken, promised, self._services, self.server_state.default_headers)
        finally:
            self._is_direct = False
            self.server_state.total_requests += 1
            if reply is None or self.transport.is_closing():  # it was given up, or the client has gone
                self.transport.close()
            else:
                self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        self.transport.write(reply.content)
        if reply.closes or self._is_last:
            self.transport.close()
            return
        self._wait_for_another()
        self.flow.resume_reading()
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def _wait_for_another(self) -> None:
        """Wait for another request, after an answer that h11 knows nothing of."""
        self._waits_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._keep_alive(self.timeout_keep_alive)
        self._is_answered = True
        self._connections().is_idle(self)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, unless something came since the timer was set: it is set once, not once an answer."""
        left = self._waits_since + self.timeout_keep_alive - self.loop.time()
        if self._is_direct or left > 0:
            self._keep_alive(self.timeout_keep_alive if self._is_direct else left)
        else:
            super().timeout_keep_alive_handler()

    def _keep_alive(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def on_response_complete(self) -> None:
        """Wait for another request."""
        self._is_answered = True
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._connections().is_idle(self)

    def send_400_response(self, msg: str) -> None:
        """Tell of what is no HTTP, as everything else is told of. Called while the error is handled."""
        error = sys.exc_info()[1]
        self._services.metrics.count_refusal("malformed-http")
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer has begun
            self.transport.close()
            return
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._say(status, CODES.get(status, CODES[400]), f"{MALFORMED}: {error or msg}.")
        self.transport.close()

    def give_up(self, status: int, code: str, detail: str) -> None:
        """Say why, where nothing was asked yet, and close: after an answer it would be taken for the next one."""
        if not self._is_answered and self.conn.our_state is h11.IDLE:
            self._say(status, code, detail)
        self.transport.close()

    def _say(self, status: int, code: str, detail: str) -> None:
        identity = os.urandom(16).hex()
        body = describe(status, code, detail, identity).model_dump_json(exclude_none=True).encode()
        later: Headers = [(name.lower().encode(), value.encode()) for name, value in RETRY_AFTER.items()]
        headers = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *(later if status == 503 else []),
            (REQUEST_ID, identity.encode()),
            *SECURITY_HEADERS,
        ]
        response = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode())
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self._services.settings.idle_seconds, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._connections().close_idle(self)

    def _is_between_requests(self) -> bool:
        is_idle = self.conn.our_state is h11.IDLE and self.conn.their_state is h11.IDLE
        return is_idle and not self.conn.trailing_data[0]

    @property
    def _services(self) -> Services:
        services: Services = self.app_state["services"]
        return services

    def _shedder(self) -> LoadShedder:
        """One for all connections, made with the first of them."""
        shedder: LoadShedder | None = self.app_state.get("gate")
        if shedder is None:
            shedder = self.app_state["gate"] = LoadShedder(self._services)
        return shedder

    def _connections(self) -> Connections:
        """Likewise."""
        connections: Connections | None = self.app_state.get("connections")
        if connections is None:
            connections = Connections(self._services.settings.max_connections, self._services.metrics)
            self.app_state["connections"] = connections
        return connections
