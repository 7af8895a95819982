"""Open files: how many connections the limit of this process leaves room for, and what happens when none is left."""

import errno
import logging
import resource
import socket
from asyncio import AbstractEventLoop
from time import monotonic
from typing import Any, Final

from recsys_vae.errors import ConfigError
from service.settings import Settings

RESERVED = 100
"""Files that are no connections of callers: the store's, Redis's, libraries, the log, what a reload reads."""
FEWEST = 16
USUAL = 10_000
"""Connections where the settings name no number, if the limit of open files can be raised so far."""
NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
REST_SECONDS = 0.9
"""Less than asyncio waits before it accepts again."""

logger = logging.getLogger("recsys.service")


def with_room(settings: Settings) -> Settings:
    """The settings with the number of connections that a process may have; its limit of open files is raised for them.

    Raises:
        ConfigError: they do not fit below the limit that the system allows.
    """
    wanted, least = settings.max_connections or USUAL, settings.max_connections or FEWEST
    room = _raised(wanted + RESERVED) - RESERVED
    if room < least:
        raise ConfigError(
            f"A process may open {room + RESERVED} files here, and {least} connections need {least + RESERVED}. "
            "Raise the limit (ulimit -n, LimitNOFILE of systemd, ulimits of a container)"
            f"{' or lower --max-connections.' if settings.max_connections else '.'}"
        )
    if room < wanted:
        logger.warning("A process may open %d files here: it keeps %d connections at most.", room + RESERVED, room)
    return settings.model_copy(update={"max_connections": min(room, wanted)})


def _raised(wanted: int) -> int:
    """The limit of open files, raised to this where the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    raised = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised


class Listener(socket.socket):
    """A listening socket that rests once no file can be opened any more.

    asyncio stops listening for a second then, but first tries to accept as often as connections may wait, and logs each
    time: here all but the first try are told that nobody waits.
    """

    _rests_until = 0.0

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection."""
        if monotonic() < self._rests_until:
            raise BlockingIOError
        try:
            return super().accept()
        except OSError as error:
            if error.errno in NONE_LEFT:
                self._rests_until = monotonic() + REST_SECONDS
            raise


def resting(listener: socket.socket) -> Listener:
    """The same socket as a `Listener`; the other object is done with."""
    return Listener(listener.family, listener.type, listener.proto, fileno=listener.detach())


def tell_in_a_line(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    """Exception handler of the event loop: a line instead of a traceback where no file can be opened."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in NONE_LEFT:
        logger.error("Connections wait to be accepted, for a second at least: %s.", error.strerror)
    else:
        loop.default_exception_handler(context)
