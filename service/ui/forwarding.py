"""Forwarding: requests for pages are handed to the process that makes them, so that answers do not wait for pages.

Whoever takes a request does no more than pass it on: who comes in, what a form may change and what headers an answer
has is decided where the page is made, by the same application as without that process.
"""

import asyncio
import logging
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import PagesUnavailableError
from service.http.frames import HEAD, LAST, PART, next_frame, read_start, send_body, send_frame, write_scope
from service.security.sessions import is_page
from service.ui.rendering import STATIC, Page
from service.ui.routing import error_page

PATIENCE_SECONDS: Final = 60.0
"""How long a page may take until it begins."""

logger = logging.getLogger("recsys.service")


class Forwarded:
    """Hands requests for pages to another process; everything else goes on.

    Args:
        app: what else there is.
        place: path of the Unix socket where pages are made.
        failed: what says that nobody is there.
    """

    def __init__(self, app: ASGIApp, place: str, failed: ASGIApp) -> None:
        self._app = app
        self._place = place
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not is_page(scope["path"]) or scope["path"].startswith(f"{STATIC}/"):
            await self._app(scope, receive, send)
            return
        try:
            reader, writer = await asyncio.open_unix_connection(self._place)
        except OSError:
            await self._failed(scope, receive, send)
            return
        asking = asyncio.create_task(_ask(scope, receive, writer))
        try:
            if not await _answer(reader, send):
                await self._failed(scope, receive, send)
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            writer.close()


async def _ask(scope: Scope, receive: Receive, writer: StreamWriter) -> None:
    """Pass a request on as it comes; where the caller leaves, the other process sees the stream end."""
    with suppress(OSError):  # the other process is gone: there will be no answer, which somebody else says
        await send_frame(writer, HEAD, write_scope(scope))
        while (message := await receive())["type"] == "http.request":
            await send_body(writer, message)
        writer.close()


async def _answer(reader: StreamReader, send: Send) -> bool:
    """Pass an answer on as it comes; False where none begins."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await next_frame(reader)
    except TimeoutError:
        logger.error("A page was not begun within %g s.", PATIENCE_SECONDS)
        return False
    if head is None or head[0] != HEAD:
        return False
    await send(read_start(head[1]))
    while (frame := await next_frame(reader)) is not None and frame[0] in (PART, LAST):
        kind, body = frame
        await send({"type": "http.response.body", "body": body, "more_body": kind == PART})
        if kind == LAST:
            return True
    logger.warning("The process of the pages went away while it answered.")
    return True


async def say_unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    """What is shown where no page can be made; told behind `Observed`."""
    request = Request(scope)
    response = error_page(request, PagesUnavailableError())
    if isinstance(response, Page):
        response.finish()
    await response(scope, receive, send)
