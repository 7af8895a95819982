"""Errors as RFC 9457 problems: one shape, made here only; what is not meant for callers stays inside."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from recsys_vae.errors import RecsysError, UnavailableError
from service.schemas import Fault, Problem

logger = logging.getLogger("recsys.service")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "1"}
RESPONSES: dict[int | str, dict[str, object]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, text in {
        400: "The body is not JSON",
        404: "There is no such thing",
        413: "The body is too long",
        422: "A field breaks its contract",
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
        title=HTTPStatus(status).phrase,
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
    faults = [Fault(field=_field(fault["loc"]), message=fault["msg"]) for fault in found]
    detail = "; ".join(f"{fault.field}: {fault.message}" for fault in faults[:3])
    return problem(422, "invalid-request", f"{detail}.", request.state.request_id, faults=faults)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    headers = dict(error.headers) if error.headers else None
    return problem(error.status_code, code, f"{error.detail}.", request.state.request_id, headers=headers)


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in ("<id>", "<object>"))
