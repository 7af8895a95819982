"""The server: a socket, uvicorn, and words for whoever started it."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from recsys_vae.errors import ConfigError
from service.app import create_app
from service.deployment.loader import open_first
from service.deployment.variants import VariantSet
from service.http.protocol import ServerProtocol
from service.server.collecting import spare_collector
from service.server.listening import BACKLOG, address, listen
from service.server.open_files import resting, tell_in_a_line
from service.server.stopping import GRACE_SECONDS, end_within
from service.server.worker_messages import Opened
from service.settings import Settings
from service.store.deployments import DeploymentTable
from service.store.events import EventStore

SWITCH_SECONDS = 0.0005
"""How long the event loop holds the interpreter while a compute thread waits for it. A batch gives it back some thirty
times, once an operation of torch. At half load the median answer comes a quarter sooner than with Python's 5 ms; much
shorter, and the two take turns instead of working."""


class Server(uvicorn.Server):
    """uvicorn, telling when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        asyncio.get_running_loop().set_exception_handler(tell_in_a_line)
        await super().startup(sockets)
        spare_collector()
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, and see to it that the process ends."""
        if not self.should_exit:
            end_within((self.config.timeout_graceful_shutdown or 0) + GRACE_SECONDS)
        super().handle_exit(sig, frame)


def serve(settings: Settings, on_ready: Callable[[str, Opened], None]) -> None:
    """Serve in this process until SIGTERM or SIGINT; `on_ready` is told the address, and what answers.

    Raises:
        BundleError: a bundle cannot be used.
        UnavailableError: the model registry does not hand one out, or the address cannot be had.
        ConfigError: nothing is named here or in the store.
    """
    app, found = opened(settings)
    listener = listen(settings.host, settings.port)
    url = address(listener)
    run(app, settings, listener, lambda: on_ready(url, found))


def opened(settings: Settings, *, pages_at: str | None = None, only_pages: bool = False) -> tuple[FastAPI, Opened]:
    """The application that the settings describe, with its bundles verified and warm, and what they are.

    Args:
        settings: of the service.
        pages_at: where another process makes the pages; None where this one does.
        only_pages: whether this process makes nothing but pages.

    Raises:
        BundleError: a bundle cannot be used.
        UnavailableError: the model registry does not hand one out.
        ConfigError: nothing is named here or in the store.
    """
    store = EventStore(settings.store_url, wait_seconds=settings.store_seconds)
    try:
        variant_set = open_first(settings, DeploymentTable(store.database))
    finally:
        store.close()
    if variant_set is None:
        raise ConfigError(f"The event store {store.address} does not say what to serve, and nothing else is named.")
    app = create_app(settings, variant_set, pages_at=pages_at, only_pages=only_pages)
    return app, Opened(_titles(variant_set), store.address)


def _titles(variant_set: VariantSet) -> str:
    titles = [f"{one.version} ({len(one.catalogue):,} items)" for one in variant_set.variants]
    if len(titles) == 1:
        return titles[0]
    shares = (f"{one.name} {variant_set.share(one):.0%}" for one in variant_set.variants)
    told = ", ".join(f"{share}: {title}" for share, title in zip(shares, titles, strict=True))
    return f"{told}, {' and '.join(variant_set.interleaved)} interleaved," if variant_set.interleaved else told


def run(app: FastAPI, settings: Settings, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; open requests get `shutdown_seconds` to end."""
    sys.setswitchinterval(SWITCH_SECONDS)
    config = uvicorn.Config(
        app,
        http=ServerProtocol,
        log_config=None,
        access_log=False,
        ws="none",
        backlog=BACKLOG,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    # uvicorn raises the signal again once it has stopped: to end well, somebody must be there to take it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    Server(config, on_ready).run(sockets=[resting(listener)])
