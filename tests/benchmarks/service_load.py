"""Load: requests over kept connections, from a schedule that does not wait for answers, or as fast as answers come.

The open loop counts a request's latency from the moment it was due, not from the moment it was sent: a server that
stalls is charged for everybody who would have come meanwhile. Moments are drawn as independent users would come (a
Poisson process). Raw protocols instead of an HTTP client, so that the generator's core is not what is measured; how
late it was itself, with a connection at hand, is among the figures.
"""

import asyncio
import gc
import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

ANSWER_SECONDS = 30.0
"""Whoever has no answer by then counts as failed."""
LAST_CHUNK = b"\r\n0\r\n\r\n"
NO_ANSWER = 0
"""Status of a request whose connection broke, or that nobody answered."""


@dataclass(frozen=True)
class Sample:
    """One request.

    Attributes:
        request: its place among the requests.
        due: when it was to be sent, in seconds since the load began.
        late: how much later it was sent although a connection was free; 0 where it waited for one.
        seconds: from when it was due to the last byte of its answer.
        status: of HTTP, or NO_ANSWER.
        body: of the answer, where bodies are kept.
    """

    request: int
    due: float
    late: float
    seconds: float
    status: int
    body: bytes | None


@dataclass
class Outcome:
    """All requests of a load; `seconds` from its begin to the last answer."""

    seconds: float
    samples: list[Sample] = field(default_factory=list)

    def statuses(self) -> dict[str, int]:
        """Requests by status."""
        counts = Counter(sample.status for sample in self.samples)
        return {str(status) if status else "no answer": counts[status] for status in sorted(counts)}

    def rate(self) -> float:
        """Answers with 200 a second."""
        return sum(sample.status == 200 for sample in self.samples) / self.seconds

    def percentiles(self, since: float = 0.0) -> dict[str, float]:
        """Milliseconds of the answers with 200 to requests due after a moment."""
        taken = [sample.seconds for sample in self.samples if sample.status == 200 and sample.due >= since]
        late = [sample.late for sample in self.samples]
        if not taken:
            return {}
        p50, p90, p99, p999 = np.percentile(taken, (50, 90, 99, 99.9)) * 1e3
        return {
            "p50_ms": round(p50, 3), "p90_ms": round(p90, 3), "p99_ms": round(p99, 3), "p99.9_ms": round(p999, 3),
            "max_ms": round(max(taken) * 1e3, 3), "generator_late_p99_ms": round(np.percentile(late, 99) * 1e3, 3),
        }  # fmt: skip


class Connection(asyncio.Protocol):
    """One kept connection that carries one request at a time."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self.now: tuple[int, float, float] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: int, due: float, late: float) -> None:
        assert self._transport is not None
        self.now = request, due, late
        self._received.clear()
        self._transport.write(self._load.requests[request])

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        headers = bytes(self._received[:head]).lower()
        if b"transfer-encoding: chunked" in headers:
            is_whole = self._received.endswith(LAST_CHUNK)
        else:
            place = headers.index(b"content-length:") + len(b"content-length:")
            is_whole = len(self._received) >= head + 4 + int(headers[place:].split(b"\r\n", 1)[0])
        if is_whole:
            closes = b"connection: close" in headers
            self._finish(int(self._received[9:12]), bytes(self._received[head + 4 :]), closes=closes)

    def connection_lost(self, error: Exception | None) -> None:
        self._finish(NO_ANSWER, b"", closes=True)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, status: int, body: bytes, *, closes: bool) -> None:
        done, self.now = self.now, None
        if done is not None:
            self._load.note(*done, status, body)
        self._load.free(None if closes else self)


class Load:
    """Requests to one server.

    Args:
        host: of the server.
        port: of the server.
        requests: whole HTTP requests, heads and bodies, that are sent in turns.
        connections: at most this many at once.
        keep_bodies: of the answers.
    """

    def __init__(
        self, host: str, port: int, requests: Sequence[bytes], *, connections: int, keep_bodies: bool = False
    ) -> None:
        self._place = host, port
        self.requests = requests
        self._most = connections
        self._keep_bodies = keep_bodies
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._waiting: deque[tuple[int, float]] = deque()
        self._samples: list[Sample] = []
        self._open = self._pending = 0
        self._began = 0.0
        self._again = False

    async def open_loop(self, rate: float, seconds: float, seed: int = 0) -> Outcome:
        """Send `rate` requests a second on a schedule, whatever comes back; wait for the last answers."""
        draw, due, number = random.Random(seed), 0.0, 0
        await self._start()
        while (due := due + draw.expovariate(rate)) < seconds:
            if (ahead := due - self._now()) > 0:
                await asyncio.sleep(ahead)
            elif number % 64 == 0:
                await asyncio.sleep(0)  # behind schedule: let answers be read
            self._submit(number % len(self.requests), due)
            number += 1
        return await self._end()

    async def closed_loop(self, seconds: float) -> Outcome:
        """Keep every connection busy: each answer is followed by the next request."""
        await self._start()
        self._again = True
        for number in range(self._most):
            self._submit(number % len(self.requests), self._now())
        await asyncio.sleep(seconds)
        self._again = False
        return await self._end()

    def note(self, request: int, due: float, late: float, status: int, body: bytes) -> None:
        """A request is over."""
        kept = body if self._keep_bodies else None
        self._samples.append(Sample(request, due, late, self._now() - due, status, kept))
        self._pending -= 1
        if self._again:
            self._submit(len(self._samples) % len(self.requests), self._now())

    def free(self, connection: Connection | None) -> None:
        """A connection has nothing to do, or (None) is gone."""
        if connection is None:
            self._open -= 1
            if self._waiting:
                self._connect()
        elif self._waiting:
            connection.send(*self._waiting.popleft(), 0.0)
        else:
            self._idle.append(connection)

    def _submit(self, request: int, due: float) -> None:
        self._pending += 1
        while self._idle:
            connection = self._idle.pop()
            if connection in self._all:
                connection.send(request, due, max(0.0, self._now() - due))
                return
        self._waiting.append((request, due))
        if self._open < self._most:
            self._connect()

    def _connect(self) -> None:
        self._open += 1
        task = asyncio.ensure_future(self._connected())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(self), *self._place)
        except OSError:
            self._open -= 1
            if self._waiting:
                self.note(*self._waiting.popleft(), 0.0, NO_ANSWER, b"")
            return
        self._all.add(connection)
        self.free(connection)

    async def _start(self) -> None:
        gc.collect()
        gc.disable()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._began = perf_counter()

    async def _end(self) -> Outcome:
        limit = self._now() + ANSWER_SECONDS
        while self._pending and self._now() < limit:
            await asyncio.sleep(0.01)
        while self._waiting:
            self.note(*self._waiting.popleft(), 0.0, NO_ANSWER, b"")
        for connection in self._all:
            connection.abort()
        await asyncio.sleep(0)
        gc.enable()
        return Outcome(max((one.due + one.seconds for one in self._samples), default=0.0), self._samples)

    def _now(self) -> float:
        return perf_counter() - self._began
