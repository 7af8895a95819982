"""Express: requests that only bring a body of JSON go from its bytes to their answer, past FastAPI.

FastAPI looks for the route, opens stacks for its resources, makes Python objects of the body, looks up every parameter
and checks the objects against the schema. For the requests that a service is asked most, that costs as much as what is
asked for. So they are answered here, behind the same doors and limits. Whatever is not plain, or does not fit its
schema, FastAPI is given as it came: what is wrong with it, FastAPI says.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from service.errors import ForbiddenError
from service.http.addresses import IdConvertor
from service.schemas.common import VARIANT_HEADER, Id
from service.security.access import Access
from service.security.api_keys import Scope
from service.security.authorization import response_to

JSON = b"application/json"
SPECIAL = frozenset({VARIANT_HEADER.lower().encode(), b"if-match"})
"""Headers that only FastAPI reads."""
ID = "{item_id}"
"""Ends addresses that name an item."""
ITEM_ID: TypeAdapter[str] = TypeAdapter(Id)
READ = IdConvertor().convert


@dataclass(frozen=True)
class Line:
    """An address that has an express.

    Attributes:
        path_format: the address, with the name that routes have for it; where it ends in `{item_id}`, any of these.
        schema: of the body.
        answer: from the body, the services, what the key may do, and the id in the address where there is one, to what
            is answered, for `written`.
        scope: that opens it.
        method: of HTTP.
        etag: of what is answered; None for none.
    """

    path_format: str
    schema: type[BaseModel]
    answer: Callable[..., Awaitable[Any]]
    scope: Scope
    method: str = "POST"
    etag: Callable[[dict[str, Any]], str] | None = None


class FastPath:
    """Answers plain requests at some addresses; all others go on to the application."""

    def __init__(self, app: ASGIApp, lines: Sequence[Line]) -> None:
        self._app = app
        self._lines = {(line.method, line.path_format.removesuffix(ID)): line for line in lines}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        line, named = self._find(scope)
        if line is None or scope["query_string"] or not is_plain(scope["headers"]):
            await self._app(scope, receive, send)
            return
        scope["route"] = line
        state = scope["state"]
        access: Access = state["access"]
        if not access.opens(line.scope):
            await response_to(ForbiddenError(line.scope), scope)(scope, receive, send)
            return
        try:
            body = await _read(receive)
        except Exception as error:
            await self._app(scope, _fails(error), send)
            return
        if body is None:
            return
        try:
            asked = line.schema.model_validate_json(body)
        except ValidationError:
            await self._app(scope, _again(body, receive), send)
            return
        try:
            told = await line.answer(asked, state["services"], access, *named)
            content = written(told)
        except Exception as error:  # whatever it is, there is a problem that tells it
            await response_to(error, scope)(scope, receive, send)
            return
        headers = [(b"content-type", JSON), (b"content-length", str(len(content)).encode())]
        headers += [] if line.etag is None else [(b"etag", line.etag(told).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _find(self, scope: AsgiScope) -> tuple[Line | None, tuple[str, ...]]:
        """The line of a request, and the id in its address where that has one."""
        if scope["type"] != "http":
            return None, ()
        method, path = scope["method"], scope["path"]
        line = self._lines.get((method, path))
        if line is not None:
            return (None if line.path_format.endswith(ID) else line), ()
        start = path.rfind("/") + 1
        line = self._lines.get((method, path[:start]))
        if line is None:
            return None, ()
        try:
            return line, (ITEM_ID.validate_python(READ(path[start:])),)
        except ValidationError:
            return None, ()


def written(content: dict[str, Any] | bytes) -> bytes:
    """JSON of an answer; what is no number there is null."""
    return content if isinstance(content, bytes) else to_json(content, inf_nan_mode="null")


def is_plain(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the body is declared as JSON, once, and nothing else needs to be read from the headers."""
    kinds = 0
    for name, value in headers:
        if name == b"content-type":
            kinds += 1 if value == JSON or value.partition(b";")[0].strip().lower() == JSON else 2
        elif name in SPECIAL:
            return False
    return kinds == 1


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None where the client has gone."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """What is received by whoever comes after the one who read the body."""
    is_read = False

    async def receive_again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _fails(error: Exception) -> Receive:
    """What failed to be received fails again, where it is answered for."""

    async def receive_error() -> Message:
        raise error

    return receive_error
