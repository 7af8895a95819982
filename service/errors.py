"""Errors as RFC 9457 problems: one shape, made here only; what is not meant for callers stays inside."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from recsys_vae.errors import RecsysError, UnavailableError
from service.schemas import Fault, Problem

logger = logging.getLogger("recsys.service")

MEDIA_TYPE = "application/problem+json"
PLAIN_WORDS = {
    404: "Nothing is at this address; /docs lists what there is.",
    405: "This address does not take this method; the header Allow lists those that it takes.",
}
CODES = {404: "not-found", 405: "method-not-allowed", 408: "body-too-slow", 413: "body-too-long"}
TITLES = {413: "Content Too Large", 421: "Misdirected Request", 422: "Unprocessable Content"}
"""Of RFC 9110; older versions of Python have other words for these."""
RETRY_AFTER = {"Retry-After": "1"}
RESPONSES: dict[int | str, dict[str, object]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, text in {
        400: "The body is not JSON",
        401: "No key, or one that is not known",
        403: "A key without the scope that this needs",
        404: "There is no such thing",
        408: "The body came too slowly",
        413: "The body is too long",
        415: "The body is not declared as JSON",
        422: "A field breaks its contract",
        429: "Too many requests with this key",
        431: "Too many headers",
        503: "Not ready",
    }.items()
}


class NotReadyError(UnavailableError):
    """No bundle is in service."""

    def __init__(self) -> None:
        super().__init__("No bundle is in service yet. Ask /health/ready, and try again when it answers 200.")


class UnknownItemError(RecsysError):
    """An item that the catalogue does not hold."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"The catalogue holds no item {item_id!r}.")


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
    logger.error("request %s failed", request_id, exc_info=error)
    return problem(
        500, "internal-error", "Something went wrong here; the log has it under this request_id.", request_id
    )


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
    content = Problem(
        type=f"urn:recsys:problem:{code}",
        title=TITLES.get(status, HTTPStatus(status).phrase),
        status=status,
        detail=detail,
        request_id=request_id,
        errors=faults,
    )
    return JSONResponse(content.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)


async def _on_recsys_error(request: Request, error: Exception) -> JSONResponse:
    request_id = request.state.request_id
    if isinstance(error, UnknownItemError):
        return problem(404, "unknown-item", str(error), request_id)
    if isinstance(error, NotReadyError):
        return problem(503, "not-ready", str(error), request_id, headers=RETRY_AFTER)
    if isinstance(error, UnavailableError):
        logger.warning("request %s: %s", request_id, error)
        return problem(503, "unavailable", "A part of the service does not answer.", request_id, headers=RETRY_AFTER)
    return unexpected(request_id, error)


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(fault["type"] == "json_invalid" for fault in found):
        cause = found[0].get("ctx", {}).get("error", "syntax error")
        return problem(400, "not-json", f"The body is not JSON: {cause}.", request.state.request_id)
    if isinstance(error.body, bytes):  # FastAPI leaves what is not declared as JSON unread
        detail = "The body is not declared as JSON. Send it with the header Content-Type: application/json."
        return problem(415, "not-json", detail, request.state.request_id)
    faults = [Fault(field=_field(fault["loc"]), message=fault["msg"]) for fault in found]
    detail = "; ".join(f"{fault.field}: {fault.message}" for fault in faults[:3])
    return problem(422, "invalid-request", f"{detail}.", request.state.request_id, faults=faults)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    is_plain = error.detail == HTTPStatus(error.status_code).phrase
    detail = PLAIN_WORDS.get(error.status_code, error.detail) if is_plain else error.detail
    headers = dict(error.headers) if error.headers else None
    code = CODES.get(error.status_code, f"http-{error.status_code}")
    return problem(error.status_code, code, detail, request.state.request_id, headers=headers)


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in ("<id>", "<object>"))
