"""/ui/login: a key is shown once, and a session begins; /ui/logout ends it."""

from hashlib import sha256
from math import ceil
from typing import Final
from urllib.parse import unquote

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from service.http.dependencies import ServicesDep
from service.observability.metrics import Metrics
from service.security.api_keys import WatchedKeys
from service.security.authorization import needs
from service.security.login_attempts import LoginAttempts
from service.security.sessions import LOGIN_COOKIE, UI, Session, Sessions, is_page
from service.ui.csrf import FIELD, check, check_form_token
from service.ui.forms import form_of
from service.ui.rendering import page
from service.ui.routing import page_router

WRONG_KEY: Final = "This key is not known here, or no longer."
NO_SCOPE: Final = "This key does not open these pages: it lacks the scope ui."


def router(sessions: Sessions, keys: WatchedKeys, metrics: Metrics) -> APIRouter:
    """The routes that begin and end sessions."""
    made, attempts = page_router(), LoginAttempts()

    @made.get("/login")
    async def show_login(request: Request, next: str = UI) -> Response:
        if not keys.are_asked_for:
            return RedirectResponse(UI, 303)
        return _form(request, sessions, own(next))

    @made.post("/login")
    async def log_in(request: Request, services: ServicesDep) -> Response:
        form = await form_of(request)
        began = sessions.of(request.scope, LOGIN_COOKIE)
        check(form.get(FIELD, ""), sessions.form_token(began) if began is not None else "no session")
        wanted, address = own(form.get("next", UI)), request.client.host if request.client else ""
        attempt = await to_thread.run_sync(attempts.begin, services.logins, address)
        if attempt.wait_seconds:
            message = f"Too many wrong keys. Wait {ceil(attempt.wait_seconds)} s."
            return _refused(request, sessions, wanted, "login-limited", message)
        key = form.get("key", "").strip().encode()
        caller = keys.find(key)
        if caller is None or "ui" not in caller.scopes:
            attempts.failed(attempt)
            return _refused(request, sessions, wanted, "wrong-login", WRONG_KEY if caller is None else NO_SCOPE)
        await to_thread.run_sync(attempts.passed, services.logins, attempt)
        response = RedirectResponse(wanted, 303)
        begun = sessions.begin(sha256(key).digest())
        response.raw_headers.append(sessions.cookie(request.scope, begun))
        response.raw_headers.append(sessions.no_cookie(request.scope, LOGIN_COOKIE))
        return response

    @made.post("/logout", dependencies=[needs("ui"), Depends(check_form_token)])
    async def log_out(request: Request, services: ServicesDep) -> Response:
        await to_thread.run_sync(sessions.end, request.state.session, services.logins)
        response = RedirectResponse(f"{UI}/login", 303)
        response.raw_headers.append(sessions.no_cookie(request.scope))
        return response

    def _refused(request: Request, sessions: Sessions, wanted: str, reason: str, fault: str) -> Response:
        request.state.record.refusal = reason
        metrics.count_refusal(reason)
        return _form(request, sessions, wanted, fault, 429 if reason == "login-limited" else 403)

    return made


def _form(request: Request, sessions: Sessions, wanted: str, fault: str = "", status: int = 200) -> Response:
    """The form, bound to a session of its own that opens nothing."""
    held: Session | None = sessions.of(request.scope, LOGIN_COOKIE)
    session = held or sessions.begin()
    token = sessions.form_token(session)
    request.state.form_token = token
    response = page(request, "login.html", status=status, next=wanted, fault=fault)
    if held is None:
        response.raw_headers.append(sessions.cookie(request.scope, session, LOGIN_COOKIE))
    return response


def own(address: str) -> str:
    """An address of these pages; the start page in place of any other, which might be another site's."""
    path = address.partition("?")[0]
    is_plain = address.isascii() and address.isprintable() and "\\" not in address and "//" not in path
    return address if is_plain and is_page(path) and ".." not in unquote(path).split("/") else UI
