"""Doors: who is let in, and to what. Nothing is open that does not say so.

A route says what it takes to call it, beside its address: `dependencies=[needs("recommend")]`. An application with a
route that does not say so does not start. Keys are asked for before anything is routed or read, so that a stranger
learns nothing, not even which addresses there are.
"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from anyio import to_thread
from fastapi import FastAPI, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.routing import iter_route_contexts
from fastapi.security.base import SecurityBase
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from service.errors import ForbiddenError, RateLimitedError
from service.observability.metrics import Metrics
from service.observability.request_context import RequestRecord
from service.problems import RESPONSES, problem, problem_of, respond
from service.security.access import Access
from service.security.api_keys import ANYBODY, Caller, Scope, WatchedKeys
from service.security.rate_limits import RateLimits
from service.security.same_origin import CHANGING
from service.security.sessions import Sessions, is_page
from service.store.logins import LoginTable

OPEN: Final = frozenset({"/health/live", "/health/ready", "/docs", "/openapi.json", "/ui/login"})
"""Addresses that need no key; all but the first two exist only where the settings turn them on."""
ASSETS: Final = ("/docs/assets/", "/ui/static/")
"""Scripts, styles and pictures of pages, which are the same for everybody."""
LOGIN: Final = "/ui/login"
ONCE_MORE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="0"><title>recsys</title></head>
<body></body></html>
"""
"""Sends a browser that came by a link of another site to the same address from here: then its cookie comes along."""
REALM: Final = 'Bearer realm="recsys"'
NO_KEY = "Send the header `Authorization: Bearer KEY`, with a key of this service."
WRONG_KEY = "This key is not known here, or no longer."


class NeedsScope(SecurityBase):
    """What a route asks of its caller."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.scheme_name = "key"
        self.model = HTTPBearer(description="A key made by `recsys keys new`; each operation names the scope it needs.")

    async def __call__(self, request: Request) -> None:
        """Let the caller pass.

        Raises:
            ForbiddenError: the caller's key lacks the scope, or nobody has looked at it.
        """
        access: Access | None = request.scope["state"].get("access")
        if access is None:
            raise ForbiddenError(self.scope)
        access.demand(self.scope)


def needs(scope: Scope) -> Any:
    """The dependency by which a route says which scope opens it."""
    return Security(NeedsScope(scope), scopes=[scope])


def also(*scopes: Scope) -> dict[str, Any]:
    """`openapi_extra` of a route that other scopes open, or that does more for a key with these."""
    return {"security": [{"key": list(scopes)}]}


def is_open(path: str) -> bool:
    """Whether an address needs no key."""
    return path in OPEN or path.startswith(ASSETS)


class Guard:
    """Looks at the key of every request, then at its rate limit.

    Args:
        app: what is behind.
        keys: that open something.
        limits: on requests of one key.
        metrics: told of what is refused.
        sessions: by whose cookies pages are opened, and nothing else is; None where there are no pages.
    """

    def __init__(
        self, app: ASGIApp, keys: WatchedKeys, limits: RateLimits, metrics: Metrics, sessions: Sessions | None = None
    ) -> None:
        self._app = app
        self._keys = keys
        self._limits = limits
        self._metrics = metrics
        self._sessions = sessions

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan" or is_open(scope.get("path", "")):
            await self._app(scope, receive, send)
            return
        if self._sessions is not None and is_page(scope["path"]):
            await self._open_page(self._sessions, scope, receive, send)
            return
        record: RequestRecord = scope["state"]["record"]
        caller = self._caller(scope) if self._keys.are_asked_for else ANYBODY
        if isinstance(caller, str):
            await self._refuse(caller, record)(scope, receive, send)
            return
        await self._admit(caller, scope, receive, send)

    async def _open_page(self, sessions: Sessions, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Let whoever has a session pass, by the key that it names; others are shown where to begin one."""
        session = sessions.of(scope)
        if session is None and _came_by_a_link_elsewhere(scope):
            await HTMLResponse(ONCE_MORE)(scope, receive, send)
            return
        if session is not None and self._keys.are_asked_for:
            logins: LoginTable = scope["state"]["services"].logins
            session = None if await to_thread.run_sync(sessions.has_ended, session, logins) else session
        caller = self._keys.holder(session.digest) if session is not None and self._keys.are_asked_for else ANYBODY
        if self._keys.are_asked_for and (session is None or caller is None):
            scope["state"]["record"].refusal = "no-session"
            self._metrics.count_refusal("no-session")
            await to_login(scope)(scope, receive, send)
            return
        assert caller is not None
        if session is None:
            session = sessions.begin()
            send = _with_header(send, sessions.cookie(scope, session))
        scope["state"] |= {"session": session, "form_token": sessions.form_token(session)}
        await self._admit(caller, scope, receive, send)

    async def _admit(self, caller: Caller, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Go on as this caller, within its rate limit."""
        record: RequestRecord = scope["state"]["record"]
        record.caller = caller.name
        verdict = await self._limits.check(caller.name, caller.rate_limit)
        access = scope["state"]["access"] = Access(record.request_id, caller, self._limits, verdict)
        if verdict is None:
            await self._app(scope, receive, send)
        elif verdict.is_allowed:
            await self._app(scope, receive, _with_headers(send, access))
        else:
            error = RateLimitedError(verdict.amount, verdict.window_seconds, verdict.reset_seconds)
            await limited(error, scope, self._metrics)(scope, receive, _with_headers(send, access))

    def _caller(self, scope: AsgiScope) -> Caller | str:
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        return caller_of(self._keys, sent[0] if len(sent) == 1 else None)

    def _refuse(self, reason: str, record: RequestRecord) -> JSONResponse:
        record.refusal = reason
        self._metrics.count_refusal(reason)
        is_wrong = reason == "wrong-key"
        challenge = f'{REALM}, error="invalid_token"' if is_wrong else REALM
        detail = WRONG_KEY if is_wrong else NO_KEY
        return problem(401, reason, detail, record.request_id, headers={"WWW-Authenticate": challenge})


def caller_of(keys: WatchedKeys, sent: bytes | None) -> Caller | str:
    """Who sends this in the header Authorization, None for nothing; or why nobody does."""
    scheme, _, key = (sent or b"").partition(b" ")
    if scheme.lower() != b"bearer" or not key:
        return "no-key"
    return keys.find(key.strip()) or "wrong-key"


def to_login(scope: AsgiScope) -> Response:
    """The way of a browser without a session to the page that begins one, and from there to where it wanted to go."""
    sent = dict(scope["headers"])
    if b"hx-request" in sent:  # a part of a page: the whole page is to go there
        return Response(status_code=401, headers={"HX-Redirect": LOGIN})
    if scope["method"] not in ("GET", "HEAD"):
        return RedirectResponse(LOGIN, 303)
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    query: bytes = scope["query_string"]
    wanted = (raw + b"?" + query if query else raw).decode("latin-1")
    return RedirectResponse(f"{LOGIN}?next={quote(wanted, safe='/')}", 303)


def _came_by_a_link_elsewhere(scope: AsgiScope) -> bool:
    """Whether a browser kept its cookie back, as it does for addresses that another site links to."""
    return scope["method"] == "GET" and (b"sec-fetch-site", b"cross-site") in scope["headers"]


def _with_header(send: Send, header: tuple[bytes, bytes]) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], header]
        await send(message)

    return sent


def _with_headers(send: Send, access: Access) -> Send:
    """What the limit says once the work is known."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start" and access.verdict is not None:
            message["headers"] = [*message["headers"], *access.verdict.headers]
        await send(message)

    return sent


def install(app: FastAPI) -> None:
    """Make sure that every route says what it needs, answer who may not pass, and document both.

    Raises:
        TypeError: a route names no scope; that is a defect of the route.
    """
    unguarded = [path for path, scope in scopes_of(app) if scope is None and not is_open(path)]
    if unguarded:
        raise TypeError(f"{', '.join(unguarded)}: a route names its scope, as in dependencies=[needs('recommend')].")
    for kind in (ForbiddenError, RateLimitedError):
        app.add_exception_handler(kind, _on_refusal)
    app.openapi = _with_refusals(app.openapi)  # type: ignore[method-assign]


def scopes_of(app: FastAPI) -> list[tuple[str, str | None]]:
    """Every route of an application and the scope that it needs."""
    found: list[tuple[str, str | None]] = []
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context, "dependant", None)
        needed = (
            [part.call.scope for part in dependant.dependencies if isinstance(part.call, NeedsScope)]
            if dependant
            else []
        )
        found.append((str(context.path), needed[0] if needed else None))
    return found


async def _on_refusal(request: Request, error: Exception) -> JSONResponse:
    return response_to(error, request.scope)


def response_to(error: Exception, scope: AsgiScope) -> JSONResponse:
    """The answer to a request that ended in an error; a key that lacks a scope, or asks too much, is counted."""
    state = scope["state"]
    if isinstance(error, ForbiddenError):
        state["record"].refusal = "scope"
        state["services"].metrics.count_refusal("scope")
        challenge = f'{REALM}, error="insufficient_scope", scope="{error.scope}"'
        return respond(problem_of(error, state["request_id"]), {"WWW-Authenticate": challenge})
    if isinstance(error, RateLimitedError):
        return limited(error, scope, state["services"].metrics)
    return respond(problem_of(error, state["request_id"]))


def limited(error: RateLimitedError, scope: AsgiScope, metrics: Metrics) -> JSONResponse:
    """The answer to a request past the rate limit of its key."""
    record: RequestRecord = scope["state"]["record"]
    record.refusal = "rate-limited"
    metrics.count_rate_limited(record.caller)
    return respond(problem_of(error, record.request_id))


def _with_refusals(openapi: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    def documented() -> dict[str, Any]:
        document = openapi()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                guarded = (401, 403, 429) if "security" in operation else ()
                changing = (403, 415) if method.upper() in CHANGING else ()
                slow = (408,) if "requestBody" in operation else ()
                with_id = (400,) if "{" in path else ()
                for status in (*guarded, *changing, *slow, *with_id, 431):
                    operation["responses"].setdefault(str(status), RESPONSES[status])
        return document

    return documented
