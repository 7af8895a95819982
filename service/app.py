"""The composition root: settings in, application out. Nothing else puts parts together."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Final

from anyio import CapacityLimiter, create_task_group, to_thread
from fastapi import APIRouter, Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys_vae import __version__
from service import problems, timestamps
from service.deployment.alias_watcher import AliasWatch
from service.deployment.controller import Deployments
from service.deployment.item_watcher import ItemWatch
from service.deployment.variants import VariantSet
from service.http.dependencies import Services, State
from service.http.direct_path import DirectPath
from service.http.fast_path import FastPath
from service.http.limits import BodyLimit, HeadLimit, Net, with_cors
from service.http.queries import check_query
from service.http.routes import (
    admin,
    bundle,
    events,
    health,
    item_lists,
    items,
    metrics,
    recommendations,
    replays,
    user_rows,
    users,
)
from service.http.routes.pages import show_docs
from service.observability.day import Day, keep
from service.observability.logs import request_log
from service.observability.metrics import EngineMetrics, Metrics
from service.observability.request_middleware import Log, Observed
from service.observability.tracing import Traced, open_tracer
from service.ranking.batches import Limits
from service.ranking.engine import Engine
from service.ranking.live_items import LiveItems
from service.ranking.reading import Reading
from service.security import authorization
from service.security.api_keys import WatchedKeys, has_keys
from service.security.rate_limits import RateLimits
from service.security.same_origin import SameOrigin
from service.security.sessions import Sessions, has_pages, with_secret
from service.settings import Settings
from service.store.actions import ActionLog
from service.store.deployments import DeploymentTable
from service.store.events import EventStore
from service.store.history_cache import Histories
from service.store.impression_writer import ImpressionWriter
from service.store.impressions import ImpressionTable
from service.store.item_feed import ItemFeed
from service.store.items import ItemStore
from service.store.logins import LoginTable
from service.ui import routers as ui
from service.ui.forwarding import Forwarded, say_unavailable
from service.ui.rendering import ASSETS

WRITERS = 8
"""Requests whose events a process writes at a time; the others wait without a thread. On PostgreSQL one connection is
kept to ask for changes of items, another takes them, and as many are left to reads as the pool keeps open."""
UNSHARED_BATCH = 256
"""Requests in a batch where nobody waits for it but who asks for all of them, such as the lists of two bundles."""
ONE_CORE_SECONDS, SEVERAL_CORES_SECONDS = 0.03, 0.001
"""Processor time up to which a batch of plain requests is computed on the event loop: where a worker has more than one
core to itself, only if a thread would not be worth its trouble."""
ROUTERS = (
    recommendations.router,
    users.router,
    user_rows.router,
    events.router,
    item_lists.router,
    items.router,
    bundle.router,
    admin.router,
    replays.router,
    health.router,
    metrics.router,
)


def _api() -> APIRouter:
    api = APIRouter()
    for router in ROUTERS:
        # Probes may be sent with anything behind the address.
        api.include_router(router, dependencies=[] if router is health.router else [Depends(check_query)])
    return api


API: Final = _api()
"""The routes that every application has; FastAPI looks at what they depend on once a process."""


class Application(FastAPI):
    """FastAPI, behind what every request meets first; what is answered there costs nothing of FastAPI's.

    Attributes:
        front: what a request meets; it ends with `behind`.
    """

    front: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or the lifespan."""
        await self.front(scope, receive, send)

    async def behind(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What FastAPI does."""
        await super().__call__(scope, receive, send)


def create_app(
    settings: Settings,
    variant_set: VariantSet | None = None,
    clock: Callable[[], int] = timestamps.now,
    *,
    pages_at: str | None = None,
    only_pages: bool = False,
) -> FastAPI:
    """The application. While it starts it opens what the settings or the store name, unless a set of variants is given.

    Where there is neither, it runs, but is not ready.

    Args:
        settings: of the service.
        variant_set: what answers first.
        clock: says from when purchases are seen, in microseconds since 1970.
        pages_at: path of the Unix socket where another process makes the pages; None where this one does.
        only_pages: whether nobody asks this process for anything else.
    """
    counts = Metrics()
    keys = WatchedKeys(settings)
    limits = RateLimits(settings.rate_limit, settings.rate_limit_store, counts, settings.rate_limit_store_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        with closing(EventStore(settings.store_url, counts.count_store_error, settings.store_seconds)) as store:
            async with running(store) as services:
                yield State(services=services)

    @asynccontextmanager
    async def running(store: EventStore) -> AsyncIterator[Services]:
        histories = Histories(store, on_look_up=lambda is_hit: counts.count_history_lookup(is_hit=is_hit))
        item_store, shown = ItemStore(store.database), ImpressionTable(store.database)
        items = LiveItems(ItemFeed(item_store), settings.explore_share, counts.show_live_items, clock)
        engine = _engine(settings, store, histories, counts, items, clock, only_pages=only_pages)
        deployments = Deployments(settings, DeploymentTable(store.database), counts, variant_set, items.prepare)
        exposures, day = ImpressionWriter(shown, counts.count_exposures), Day()
        await deployments.begin()
        if not only_pages:
            counts.count_start()
        async with create_task_group() as tasks:
            tasks.start_soon(deployments.run)
            tasks.start_soon(AliasWatch(settings, deployments).run)
            tasks.start_soon(exposures.run)
            tasks.start_soon(ItemWatch(settings, deployments, items).run)
            if sessions is not None:
                tasks.start_soon(keep, day, counts)
            yield Services(
                settings,
                deployments,
                engine,
                store,
                histories,
                shown,
                exposures,
                counts,
                CapacityLimiter(WRITERS),
                item_store,
                items,
                ActionLog(store.database),
                LoginTable(store.database),
                day,
                plain if tracer is None else None,
            )
            tasks.cancel_scope.cancel()
        engine.close()
        await exposures.close()
        await deployments.close()
        item_store.close()
        items.close()
        await limits.close()
        if tracer is not None:
            await to_thread.run_sync(tracer.close)

    sessions, log = _sessions(settings) if pages_at is None else None, request_log(settings)
    plain = DirectPath(recommendations.PLAIN, recommendations.AtOnce(), settings, keys, limits, counts, log)
    app = Application(
        title="recsys_vae",
        version=__version__,
        lifespan=lifespan,
        description="Recommendations over HTTP.",
        openapi_url="/openapi.json" if _shows_docs(settings) else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the id in the new address would not be encoded as it was in the old one
    )
    app.add_middleware(Net)  # inside, where FastAPI would answer in its own words
    guarded = authorization.Guard(_inside(app, settings), keys, limits, counts, sessions)
    front = _outside(guarded, settings, counts, log)
    tracer = open_tracer(settings)
    app.front = _with_pages(front if tracer is None else Traced(front, tracer), app, pages_at, counts, log)
    problems.install(app)
    app.router.routes.extend(API.routes)
    if app.openapi_url is not None:
        show_docs(app)
    if sessions is not None:
        ui.mount(app, sessions, keys, counts)
    authorization.install(app)
    return app


def _with_pages(front: ASGIApp, app: FastAPI, place: str | None, counts: Metrics, log: Log) -> ASGIApp:
    """Before all else, what hands requests for pages to another process; styles are served here, whether it is there
    or not."""
    if place is None:
        return front
    ASSETS.mount(app)
    return Forwarded(front, place, Observed(say_unavailable, counts, log))


def _inside(app: Application, settings: Settings) -> ASGIApp:
    """What a request meets whose key was looked at."""
    fast = FastPath(app.behind, (*recommendations.FAST_PATH, *items.FAST_PATH))
    return BodyLimit(fast, settings.max_body_bytes, settings.body_seconds)


def _outside(guarded: ASGIApp, settings: Settings, counts: Metrics, log: Log) -> ASGIApp:
    """What a request meets before anybody looks at its key."""
    front: ASGIApp = SameOrigin(guarded, settings.cors_origins, counts)
    front = Net(HeadLimit(front, settings.max_headers, settings.hosts))
    if settings.cors_origins:
        front = with_cors(front, settings.cors_origins)
    return Observed(front, counts, log)


def _shows_docs(settings: Settings) -> bool:
    return not has_keys(settings) if settings.docs is None else settings.docs


def _sessions(settings: Settings) -> Sessions | None:
    """Of the pages under /ui; None where there are none."""
    if not has_pages(settings):
        return None
    secret = with_secret(settings).ui_secret
    assert secret is not None
    return Sessions(secret, always_secure=settings.ui_https)


def _engine(
    settings: Settings,
    store: EventStore,
    histories: Histories,
    counts: Metrics,
    items: LiveItems,
    clock: Callable[[], int],
    *,
    only_pages: bool,
) -> Engine:
    limits, reading = limits_of(settings, is_shared=not only_pages), Reading(is_local=store.database.has_one_writer)
    return Engine(histories, limits, EngineMetrics(counts), items, clock, reading)


def limits_of(settings: Settings, *, is_shared: bool = True) -> Limits:
    """What the settings let the engine take on; `is_shared` as of `Limits`."""
    cores = len(os.sched_getaffinity(0))
    return Limits(
        compute_threads=settings.compute_threads,
        max_batch=settings.max_batch if is_shared else max(settings.max_batch, UNSHARED_BATCH),
        gather_seconds=settings.gather_ms / 1000,
        max_queue=settings.max_queue,
        deadline_seconds=settings.deadline_ms / 1000,
        is_shared=is_shared,
        here_seconds=ONE_CORE_SECONDS if cores <= settings.workers else SEVERAL_CORES_SECONDS,
    )
