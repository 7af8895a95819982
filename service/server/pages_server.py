"""The server of the process that makes pages: the same application, asked by the workers over a Unix socket.

Its socket is in a folder of this service's user alone, and may be opened by that user alone.
"""

import asyncio
import os
import signal
import socket
from asyncio import StreamReader, StreamWriter, Task
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from starlette.types import Message

from service.http.frames import HEAD, LAST, next_frame, read_scope, send_body, send_frame, write_start
from service.server.collecting import spare_collector
from service.server.listening import BACKLOG
from service.server.open_files import tell_in_a_line
from service.server.stopping import GRACE_SECONDS, end_within
from service.settings import Settings

NICENESS: Final = 4
"""Of the process: where answers and pages want one core, answers get seven tenths of it."""


def serve_pages(app: FastAPI, place: str, settings: Settings, on_ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; open requests get `shutdown_seconds` to end."""
    asyncio.run(_serve_until_signal(app, place, settings.shutdown_seconds, on_ready))


async def _serve_until_signal(app: FastAPI, place: str, seconds: int, on_ready: Callable[[], None]) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        end_within(seconds + GRACE_SECONDS)
        stopped.set()

    loop.set_exception_handler(tell_in_a_line)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)

    def begin() -> None:
        spare_collector()
        on_ready()

    await serve_until(stopped, app, place, begin, seconds)


def listen_at(place: str) -> socket.socket:
    """A socket at a path, instead of one that is left there; nobody but this user may open it."""
    Path(place).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(place)
    finally:
        os.umask(before)
    return listener


async def serve_until(
    stopped: asyncio.Event, app: FastAPI, place: str, on_ready: Callable[[], None], seconds: float
) -> None:
    """Serve until an event; then open requests get some seconds to end."""
    under_way = set[Task[None]]()
    async with app.router.lifespan_context(app) as state:

        def begin(reader: StreamReader, writer: StreamWriter) -> None:
            task = asyncio.create_task(answer(app, state or {}, reader, writer))
            under_way.add(task)
            task.add_done_callback(under_way.discard)

        server = await asyncio.start_unix_server(begin, sock=listen_at(place), backlog=BACKLOG)
        on_ready()
        await stopped.wait()
        server.close()
        if under_way:
            await asyncio.wait(under_way, timeout=seconds)


async def answer(app: FastAPI, state: Mapping[str, Any], reader: StreamReader, writer: StreamWriter) -> None:
    """Have an application answer the request that a stream brings."""
    try:
        head = await next_frame(reader)
        if head is None or head[0] != HEAD:
            return
        scope = read_scope(head[1])
        scope["state"] = dict(state)

        async def receive() -> Message:
            frame = await next_frame(reader)
            if frame is None or frame[0] == HEAD:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": frame[1], "more_body": frame[0] != LAST}

        await app(scope, receive, partial(_send, writer))
        with suppress(OSError):
            writer.write_eof()
            # A stream that is closed before all of it is read loses what was answered: the asker closes it.
            while await next_frame(reader) is not None:
                pass
    finally:
        writer.close()


async def _send(writer: StreamWriter, message: Message) -> None:
    with suppress(OSError):  # who asked is gone; the application ends all the same
        if message["type"] == "http.response.start":
            await send_frame(writer, HEAD, write_start(message))
        elif message["type"] == "http.response.body":
            await send_body(writer, message)
