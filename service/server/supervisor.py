"""Workers: several processes that answer at one address, started, replaced and stopped together.

Each is forked from a process that has imported other packages and done nothing else (`preloaded`): no thread of BLAS or
FAISS lives there, which would not survive it. Where that process cannot be reached it is a fresh interpreter. It gets
the whole of the settings, and accepts from the one socket that they share: a connection goes to a worker that is free
to take it.

Where pages have a process of their own, it is begun like a worker once these answer, and asked by them. It may be gone
while they go on.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from tempfile import gettempdir
from time import monotonic
from typing import TYPE_CHECKING

from recsys_vae.errors import RecsysError, UnavailableError
from service.server import metrics_folder
from service.server.stopping import GRACE_SECONDS
from service.server.worker_messages import Failed, Opened
from service.settings import Settings

if TYPE_CHECKING:  # who supervises computes nothing
    from fastapi import FastAPI

LONG_LIFE_SECONDS = 10.0
"""A worker that lived as long is replaced at once."""
PATIENCE = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a worker is replaced, by how many before it in a row lived shortly."""
PAGES = "ui"
"""Name of the socket of the process that makes pages; it counts to the longest path."""
STOPS = (signal.SIGTERM, signal.SIGINT)
LONGEST_FOLDER = 70
"""Bytes of the path of temporary files: sockets have names of 103 bytes at most on some systems, and 33 are added."""

logger = logging.getLogger("recsys.service")


@dataclass
class Seat:
    """A place for a worker, or for the process of the pages, and who is in it."""

    process: BaseProcess | None = None
    channel: Connection | None = None
    began: float = 0.0
    is_ready: bool = False
    short_lives: int = 0
    start_at: float = 0.0
    is_for_pages: bool = False


@dataclass
class Supervisor:
    """Keeps the workers going until it is told to stop.

    Args:
        settings: of every worker.
        listener: bound, not yet listening: the first worker that is ready opens it.
        metrics_directory: where the workers keep their metrics.
        on_ready: told once, when all of them answer, and the pages do or cannot be had.
        pages_at: path of the socket of the process that makes pages; None for no such process.
    """

    settings: Settings
    listener: socket.socket
    metrics_directory: str
    on_ready: Callable[[Opened], None]
    pages_at: str | None = None
    seats: list[Seat] = field(default_factory=list)
    _signals: int = 0
    _has_served: bool = False
    _untold: Opened | None = None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then let every worker end its open requests.

        Raises:
            UnavailableError: the first workers do not start.
        """
        with _bell(self._on_signal) as bell:
            self.seats = [Seat() for _ in range(self.settings.workers)]
            try:
                while not self._signals:
                    self._fill_seats()
                    self._listen(bell)
            finally:
                self._stop(bell)

    def _on_signal(self) -> None:
        self._signals += 1

    def _fill_seats(self) -> None:
        for seat in self.seats:
            if seat.process is None and monotonic() >= seat.start_at:
                self._start(seat)

    def _start(self, seat: Seat) -> None:
        context = _context()
        ours, theirs = context.Pipe()
        settings = self.settings
        if self._has_served:  # what was named when the first ones started need not be in service any more
            settings = settings.model_copy(update={"follow": True})
        target, given = (work, self.listener) if not seat.is_for_pages else (work_on_pages, None)
        process = context.Process(  # type: ignore[attr-defined]
            target=target, args=(settings, given, self.pages_at, theirs), name="recsys-worker"
        )
        process.start()
        theirs.close()
        seat.process, seat.channel, seat.began, seat.is_ready = process, ours, monotonic(), False

    def _listen(self, bell: Connection) -> None:
        """Wait for a word of a worker, the end of one, a signal, or the time to start one again."""
        pending = [seat.start_at - monotonic() for seat in self.seats if seat.process is None]
        channels = {seat.channel: seat for seat in self.seats if seat.channel is not None}
        for heard in wait([bell, *channels], timeout=max(0.0, min(pending)) if pending else None):
            if heard in channels:
                self._hear(channels[heard])

    def _hear(self, seat: Seat) -> None:
        assert seat.channel is not None
        try:
            message = seat.channel.recv()
        except (EOFError, OSError):
            self._replace(seat)
            return
        if isinstance(message, Failed):
            if not self._has_served:
                raise UnavailableError(message.message)
            logger.error("A %s does not start: %s", _name(seat), message.message)
        elif isinstance(message, Opened):
            seat.is_ready = True
            if not self._has_served and all(other.is_ready for other in self.seats):
                self._has_served, self._untold = True, message
                if self.pages_at is not None:
                    self.seats.append(Seat(is_for_pages=True))
            if all(other.is_ready for other in self.seats):
                self._tell()

    def _tell(self) -> None:
        """Say once that all answer, as far as they can be had."""
        if self._untold is not None:
            told, self._untold = self._untold, None
            self.on_ready(told)

    def _replace(self, seat: Seat) -> None:
        assert seat.process is not None
        seat.process.join()
        self._bury(seat)
        how = f"{_name(seat)} {seat.process.pid} ended with status {seat.process.exitcode}"
        if not self._has_served:
            raise UnavailableError(f"A {how} before it could answer. Is there memory for {len(self.seats)} of them?")
        is_short = monotonic() - seat.began < LONG_LIFE_SECONDS
        seat.short_lives = seat.short_lives + 1 if is_short else 0
        delay = PATIENCE[min(seat.short_lives, len(PATIENCE) - 1)]
        logger.error("A %s; another takes its place in %g s.", how, delay)
        seat.process, seat.start_at, seat.is_ready = None, monotonic() + delay, False
        if seat.is_for_pages:
            self._tell()

    def _bury(self, seat: Seat) -> None:
        """Take a dead worker's gauges out of the metrics."""
        from prometheus_client.multiprocess import mark_process_dead

        assert seat.process is not None
        mark_process_dead(seat.process.pid, self.metrics_directory)  # type: ignore[no-untyped-call]
        if seat.channel is not None:
            seat.channel.close()
            seat.channel = None

    def _stop(self, bell: Connection) -> None:
        alive = [seat.process for seat in self.seats if seat.process is not None]
        for process in alive:
            process.terminate()
        deadline = monotonic() + self.settings.shutdown_seconds + GRACE_SECONDS
        already = self._signals
        while waiting := [process.sentinel for process in alive if process.is_alive()]:
            if monotonic() >= deadline or self._signals > max(already, 1):
                break
            wait([bell, *waiting], timeout=max(0.0, deadline - monotonic()))
            while bell.poll():
                bell.recv_bytes()
        for process in alive:
            if process.is_alive():
                logger.error("Worker %s did not end in time and is killed.", process.pid)
                process.kill()
            process.join()


def _context() -> BaseContext:
    """How workers are begun. The process that they are forked from is asked by a socket in the folder of temporary
    files, whose name may not be longer than the system allows."""
    if len(os.fsencode(gettempdir())) > LONGEST_FOLDER:
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["service.server.preloaded"])
    return context


def _name(seat: Seat) -> str:
    return "process of the pages" if seat.is_for_pages else "worker"


def supervise(
    settings: Settings, listener: socket.socket, on_ready: Callable[[Opened], None], *, pages_apart: bool = False
) -> None:
    """Serve with as many workers as the settings name.

    Args:
        settings: of every worker.
        listener: bound, not yet listening.
        on_ready: told once, when all of them answer.
        pages_apart: whether another process makes the pages.

    Raises:
        UnavailableError: they do not start.
    """
    with metrics_folder.own_folder() as directory:
        # The folder is this user's alone, and goes with the last process that uses it.
        pages_at = f"{directory}/{PAGES}" if pages_apart else None
        Supervisor(settings, listener, directory, on_ready, pages_at).run()


def work(settings: Settings, listener: socket.socket, pages_at: str | None, channel: Connection) -> None:
    """The life of one worker."""
    with _begun(settings, channel):
        from service.server import uvicorn_server

        app, opened = _opened(settings, channel, pages_at=pages_at)
        uvicorn_server.run(app, settings, listener, lambda: channel.send(opened))


def work_on_pages(settings: Settings, _: None, pages_at: str, channel: Connection) -> None:
    """The life of the process that makes pages."""
    with _begun(settings, channel):
        from service.server import pages_server

        os.nice(pages_server.NICENESS)
        app, opened = _opened(settings, channel, only_pages=True)
        pages_server.serve_pages(app, pages_at, settings, lambda: channel.send(opened))


@contextmanager
def _begun(settings: Settings, channel: Connection) -> Iterator[None]:
    from service.observability import logs

    logs.configure(settings)
    with metrics_folder.shared():
        _end_with_parent(channel)
        yield


def _opened(
    settings: Settings, channel: Connection, *, pages_at: str | None = None, only_pages: bool = False
) -> "tuple[FastAPI, Opened]":
    from service.server import uvicorn_server

    try:
        return uvicorn_server.opened(settings, pages_at=pages_at, only_pages=only_pages)
    except RecsysError as error:
        channel.send(Failed(str(error)))
        raise SystemExit(1) from None


def _end_with_parent(channel: Connection) -> None:
    """A worker whose supervisor is gone must not go on answering: nobody would replace or stop it."""

    def watch() -> None:
        try:
            channel.recv()
        except (EOFError, OSError):
            signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=watch, name="watch-supervisor", daemon=True).start()


@contextmanager
def _bell(on_signal: Callable[[], None]) -> Iterator[Connection]:
    """Rings with every signal to stop, so that whoever waits for workers wakes up."""
    hears, rings = Pipe(duplex=False)

    def ring(*_: object) -> None:
        on_signal()
        rings.send_bytes(b"!")

    before = {number: signal.signal(number, ring) for number in STOPS}
    try:
        yield hears
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        hears.close()
        rings.close()
