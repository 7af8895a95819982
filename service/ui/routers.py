"""Routers: every page of /ui, in one list, behind the scope `ui` and the tokens of its forms."""

from typing import Final

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response

from service.observability.metrics import Metrics
from service.security.api_keys import WatchedKeys
from service.security.authorization import needs
from service.security.sessions import Sessions
from service.ui.csrf import check_form_token
from service.ui.pages import (
    catalogue,
    compare,
    data,
    deployments,
    experiments,
    images,
    items,
    jobs,
    login,
    operations,
    quality,
    replay,
    start,
    users,
)
from service.ui.rendering import ASSETS
from service.ui.routing import error_page, page_router

PAGES: Final = (
    start.router,
    users.router,
    items.router,
    catalogue.router,
    compare.router,
    experiments.router,
    replay.router,
    quality.router,
    data.router,
    images.router,
    deployments.router,
    operations.router,
    jobs.router,
)


def _rest() -> APIRouter:
    """What answers addresses that no page is at."""
    router = page_router()

    @router.get("/{rest:path}")
    async def show_nothing(request: Request) -> Response:
        return error_page(request, HTTPException(404, "No page is at this address."))

    return router


def _guarded() -> APIRouter:
    guarded = APIRouter()
    for router in (*PAGES, _rest()):
        guarded.include_router(router, dependencies=[needs("ui"), Depends(check_form_token)])
    return guarded


GUARDED: Final = _guarded()
"""The pages of every application; FastAPI looks at what they depend on once a process."""


def mount(app: FastAPI, sessions: Sessions, keys: WatchedKeys, metrics: Metrics) -> None:
    """Have an application serve the pages."""
    ASSETS.mount(app)
    app.include_router(login.router(sessions, keys, metrics))
    app.router.routes.extend(GUARDED.routes)
