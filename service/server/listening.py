"""Sockets that listen, and their addresses."""

import socket
from typing import Final

from recsys_vae.errors import UnavailableError

BACKLOG: Final = 2048
"""Connections that may wait to be accepted."""


def listen(host: str, port: int, *, accepts: bool = True) -> socket.socket:
    """A bound socket; it accepts connections from now on, or once a worker opens it.

    Raises:
        UnavailableError: the address cannot be had.
    """
    try:
        return _bound(host, port, accepts)
    except OSError as error:
        cause = error.strerror or error
        raise UnavailableError(
            f"Cannot listen at {host}:{port}: {cause}. Stop what listens there, or choose another --port (0 takes any "
            "free one)."
        ) from error


def _bound(host: str, port: int, accepts: bool) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # Made by hand for its protocol: asyncio sets TCP_NODELAY only where that is named (`create_server` leaves it 0),
    # and without it every answer on a kept connection waits 40 ms for an acknowledgement.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        if accepts:
            listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def address(listener: socket.socket) -> str:
    """URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
