"""Errors as RFC 9457 problems: one shape, made here only; what is not meant for callers stays inside."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from sys import get_int_max_str_digits
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from recsys_vae.errors import BundleError, RecsysError, UnavailableError, fault_text
from service.errors import (
    BehindError,
    CannotReplayError,
    ConflictError,
    CursorExpiredError,
    DeadlineError,
    FieldError,
    ForbiddenError,
    NotReadyError,
    NotShownError,
    OutdatedError,
    OverloadedError,
    PagesUnavailableError,
    RateLimitedError,
    SourceUnavailableError,
    UnknownItemError,
    UnknownListError,
    logger,
)
from service.schemas.common import METHODS, Fault, Problem

MEDIA_TYPE = "application/problem+json"
PLAIN_WORDS = {
    404: "Nothing is at this address; /docs lists what there is.",
    405: "This address does not take this method; the header Allow lists those that it takes.",
}


CODES = {
    400: "malformed-http",
    404: "not-found",
    405: "method-not-allowed",
    408: "body-too-slow",
    413: "body-too-long",
    431: "too-many-headers",
}
TITLES = {413: "Content Too Large", 421: "Misdirected Request", 422: "Unprocessable Content"}
"""Of RFC 9110; older versions of Python have other words for these."""


RETRY_AFTER = {"Retry-After": "1"}
RESPONSES: dict[int | str, dict[str, object]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, text in {
        400: "The body is not JSON, or the address is not percent-encoded UTF-8",
        401: "No key, or one that is not known",
        403: "A key without the scope that this needs, or a page of another site",
        404: "There is no such thing",
        408: "The body came too slowly",
        409: "Not as things stand: another load is under way, or there is nothing to go back to",
        410: "The cursor has expired",
        412: "The item was changed meanwhile",
        413: "The body is too long",
        415: "The body is not declared as JSON",
        422: "A field breaks its contract",
        429: "Too many requests with this key",
        431: "Too many headers",
        503: "Not ready, or more requests than can be answered in time",
    }.items()
}


TOLD: dict[type[RecsysError], tuple[int, str]] = {
    UnknownItemError: (404, "unknown-item"),
    NotShownError: (404, "not-shown"),
    CannotReplayError: (409, "cannot-replay"),
    UnknownListError: (404, "unknown-list"),
    ForbiddenError: (403, "wrong-scope"),
    CursorExpiredError: (410, "cursor-expired"),
    BundleError: (422, "bundle-refused"),
    OutdatedError: (412, "outdated"),
    RateLimitedError: (429, "rate-limited"),
    NotReadyError: (503, "not-ready"),
    BehindError: (503, "not-ready"),
    PagesUnavailableError: (503, "pages-unavailable"),
    OverloadedError: (503, "overloaded"),
    DeadlineError: (503, "deadline"),
    SourceUnavailableError: (503, "source-unavailable"),
}
"""Errors whose message is for callers: status and code."""


def install(app: FastAPI) -> None:
    """Let every error of an application become a problem."""
    app.add_exception_handler(RecsysError, _on_recsys_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.openapi = _with_problem_schema(app.openapi)  # type: ignore[method-assign]


def _with_problem_schema(openapi: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    # A `model` given to a route would be documented as application/json; so routes refer to the schema by name.
    def documented() -> dict[str, Any]:
        schemas = openapi().setdefault("components", {}).setdefault("schemas", {})
        if Problem.__name__ not in schemas:
            problem_schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= problem_schema.pop("$defs")
            schemas[Problem.__name__] = problem_schema
        return openapi()

    return documented


def unexpected(request_id: str, error: Exception) -> JSONResponse:
    """A defect of ours: logged in full, told in one sentence."""
    return respond(problem_of(error, request_id))


def problem(
    status: int,
    code: str,
    detail: str,
    request_id: str,
    *,
    faults: list[Fault] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A response of type application/problem+json."""
    return respond(describe(status, code, detail, request_id, faults), headers)


def respond(content: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """A problem as a response; 503 says when to try again."""
    wait = RETRY_AFTER if content.status == 503 else {}
    return JSONResponse(content.model_dump(exclude_none=True), content.status, {**wait, **(headers or {})}, MEDIA_TYPE)


def describe(status: int, code: str, detail: str, request_id: str, faults: list[Fault] | None = None) -> Problem:
    """A problem of this kind."""
    return Problem(
        type=f"urn:recsys:problem:{code}",
        title=TITLES.get(status, HTTPStatus(status).phrase),
        status=status,
        detail=detail,
        request_id=request_id,
        errors=faults,
    )


def problem_of(error: Exception, request_id: str) -> Problem:
    """What callers are told of an error; what is not meant for them is logged."""
    for kind, (status, code) in TOLD.items():
        if isinstance(error, kind):
            return describe(status, code, str(error), request_id)
    if isinstance(error, FieldError):
        return describe(422, "invalid-request", str(error), request_id, [error.fault])
    if isinstance(error, ConflictError):
        return describe(409, error.code, str(error), request_id)
    if isinstance(error, UnavailableError):
        logger.warning("request %s: %s", request_id, error)
        return describe(503, "unavailable", "A part of the service does not answer.", request_id)
    logger.error("request %s failed", request_id, exc_info=error)
    detail = "Something went wrong here; the log has it under this request_id."
    return describe(500, "internal-error", detail, request_id)


def problem_of_faults(found: Sequence[Any], request_id: str, *, inside: str | None = None) -> Problem:
    """What callers are told of the faults that pydantic found, `inside` of what."""
    faults = [
        Fault(field=_field((inside, *fault["loc"]) if inside else fault["loc"]), message=fault_text(fault))
        for fault in found
    ]
    detail = "; ".join(f"{fault.field}: {fault.message}" for fault in faults[:3])
    return describe(422, "invalid-request", f"{detail}.", request_id, faults)


async def _on_recsys_error(request: Request, error: Exception) -> JSONResponse:
    return respond(problem_of(error, request.state.request_id))


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(fault["type"] == "json_invalid" for fault in found):
        cause = found[0].get("ctx", {}).get("error", "syntax error")
        return problem(400, "not-json", f"The body is not JSON: {cause}.", request.state.request_id)
    return respond(problem_of_faults(found, request.state.request_id))


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 400 and (why := _unreadable(error.__cause__)):
        return problem(400, "not-json", f"The body is not JSON that can be read: {why}.", request.state.request_id)
    is_plain = error.detail == HTTPStatus(error.status_code).phrase
    detail = PLAIN_WORDS.get(error.status_code, error.detail) if is_plain else error.detail
    headers = dict(error.headers) if error.headers else None
    if error.status_code == 405:
        headers = (headers or {}) | {"Allow": ", ".join(_methods_at(request))}
    code = CODES.get(error.status_code, f"http-{error.status_code}")
    return problem(error.status_code, code, detail, request.state.request_id, headers=headers)


def _unreadable(cause: BaseException | None) -> str:
    """Why a body could not be read that need not break the grammar of JSON; nothing where that was not the cause."""
    if isinstance(cause, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(cause, RecursionError):
        return "it is nested too deep"
    return (
        f"it holds a whole number of more than {get_int_max_str_digits()} digits"
        if isinstance(cause, ValueError)
        else ""
    )


def _methods_at(request: Request) -> list[str]:
    """What an address takes, of all routes that fit it: starlette names the methods of the first one only."""
    scopes = {method: dict(request.scope) | {"method": method} for method in METHODS}
    routes = request.app.routes
    return [name for name, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def _field(location: tuple[int | str, ...]) -> str:
    # Names of a union's members stand in brackets.
    return ".".join(part for part in map(str, location) if not part.startswith("<"))
