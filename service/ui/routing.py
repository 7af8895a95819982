"""Routers of pages: what every page has in common: its prefix, its place outside the API's document, its errors."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from service.errors import ForbiddenError, RateLimitedError
from service.http.dependencies import Services
from service.problems import describe, problem_of, problem_of_faults
from service.schemas.common import Problem
from service.security.authorization import response_to
from service.ui.rendering import Page, page


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request, errors included."""
        answer = super().get_route_handler()

        async def answer_or_explain(request: Request) -> Response:
            try:
                return await _made(request, await answer(request))
            except Exception as error:  # whatever it is, a person wants to read it
                return await _made(request, error_page(request, error))

        return answer_or_explain


async def _made(request: Request, response: Response) -> Response:
    if isinstance(response, Page):
        services: Services = request.state.services
        await response.make(services.engine)
    return response


def page_router() -> APIRouter:
    """A router of pages: addresses under /ui, not in the document of the API."""
    return APIRouter(prefix="/ui", include_in_schema=False, route_class=PageRoute, default_response_class=Response)


def error_page(request: Request, error: Exception) -> Response:
    """An error as a page, with the status that the API would answer with."""
    found = _problem(request, error)
    response = page(request, "error.html", status=found.status, problem=found)
    if found.status == 503:
        response.headers["Retry-After"] = "1"
    return response


def _problem(request: Request, error: Exception) -> Problem:
    request_id = request.state.request_id
    if isinstance(error, ForbiddenError | RateLimitedError):
        response_to(error, request.scope)  # counts it
    if isinstance(error, RequestValidationError):
        return problem_of_faults(error.errors(), request_id)
    if isinstance(error, HTTPException):
        return describe(error.status_code, "page", str(error.detail), request_id)
    return problem_of(error, request_id)
