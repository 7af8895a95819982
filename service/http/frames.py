"""Frames: a request and its answer between two processes of this service, over a stream that nobody else can reach.

    frame = kind, 1 byte | length of the payload, 4 bytes, big-endian | payload

A request, and likewise an answer, is a `HEAD` (JSON), any number of `PART`s of its body, and a `LAST` part. One stream
carries one of each. It is ASGI's messages, and no HTTP: each header, and who asks, comes as the server has taken it.
"""

import json
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from typing import Any, Final

from starlette.types import Message, Scope

HEAD, PART, LAST = b"H", b"P", b"L"
KINDS: Final = frozenset({HEAD, PART, LAST})
TEXT: Final = ("type", "http_version", "method", "scheme", "path", "root_path")
BYTES: Final = ("raw_path", "query_string")
ADDRESSES: Final = ("client", "server")

Frame = tuple[bytes, bytes]


async def send_frame(writer: StreamWriter, kind: bytes, payload: bytes) -> None:
    """Send one, as soon as there is room for it.

    Raises:
        OSError: the other side is gone.
    """
    writer.write(kind + len(payload).to_bytes(4) + payload)
    await writer.drain()


async def next_frame(reader: StreamReader) -> Frame | None:
    """The next one: its kind and payload; None where the other side is gone."""
    try:
        start = await reader.readexactly(5)
        kind, length = start[:1], int.from_bytes(start[1:])
        return (kind, await reader.readexactly(length)) if kind in KINDS else None
    except (IncompleteReadError, OSError):
        return None


async def send_body(writer: StreamWriter, message: Message) -> None:
    """Send a part of a body, of a request or of an answer.

    Raises:
        OSError: the other side is gone.
    """
    kind = PART if message.get("more_body", False) else LAST
    await send_frame(writer, kind, message.get("body", b""))


def write_scope(scope: Scope) -> bytes:
    """A request's head."""
    told: dict[str, Any] = {name: scope[name] for name in (*TEXT, *ADDRESSES) if name in scope}
    told |= {name: _text(scope[name]) for name in BYTES if scope.get(name) is not None}
    return json.dumps(told | {"headers": _text_of(scope["headers"])}).encode()


def read_scope(payload: bytes) -> Scope:
    """The same again, with nothing of the state of the process that took the request."""
    told: dict[str, Any] = json.loads(payload)
    return {
        **{name: told[name] for name in TEXT if name in told},
        **{name: told[name].encode("latin-1") for name in BYTES if name in told},
        **{name: tuple(told[name]) if told[name] else None for name in ADDRESSES if name in told},
        "headers": _bytes_of(told["headers"]),
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }


def write_start(message: Message) -> bytes:
    """An answer's head."""
    return json.dumps({"status": message["status"], "headers": _text_of(message.get("headers", ()))}).encode()


def read_start(payload: bytes) -> Message:
    """The same again."""
    told: dict[str, Any] = json.loads(payload)
    return {"type": "http.response.start", "status": told["status"], "headers": _bytes_of(told["headers"])}


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _text_of(headers: Any) -> list[list[str]]:
    return [[_text(name), _text(value)] for name, value in headers]


def _bytes_of(headers: list[list[str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
