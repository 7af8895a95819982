"""The composition root: settings in, application out. Nothing else puts parts together."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

from anyio import CapacityLimiter, create_task_group, to_thread
from fastapi import Depends, FastAPI
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
from service.ranking.engine import Engine
from service.ranking.live_items import LiveItems
from service.ranking.micro_batcher import Limits
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

WRITERS = 8
"""Requests whose events a process writes at a time; the others wait without a thread. On PostgreSQL one connection is
kept to ask for changes of items, another takes them, and as many are left to reads as the pool keeps open."""
ONE_CORE_SECONDS, SEVERAL_CORES_SECONDS = 0.01, 0.001
"""Processor time up to which a batch of plain requests is computed on the event loop: where there is another core, only
if a thread would not be worth its trouble."""
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
    settings: Settings, variant_set: VariantSet | None = None, clock: Callable[[], int] = timestamps.now
) -> FastAPI:
    """The application. While it starts it opens what the settings or the store name, unless a set of variants is given.

    Where there is neither, it runs, but is not ready. `clock` says from when purchases are seen, in microseconds since
    1970.
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
        engine = Engine(histories, limits_of(settings), EngineMetrics(counts), items, clock)
        deployments = Deployments(settings, DeploymentTable(store.database), counts, variant_set, items.prepare)
        exposures, day = ImpressionWriter(shown, counts.count_exposures), Day()
        await deployments.begin()
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

    sessions, log = _sessions(settings), request_log(settings)
    plain = DirectPath(recommendations.PLAIN, settings, keys, limits, counts, log)
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
    front: ASGIApp = FastPath(app.behind, (*recommendations.FAST_PATH, *items.FAST_PATH))
    front = BodyLimit(front, settings.max_body_bytes, settings.body_seconds)
    front = _outside(authorization.Guard(front, keys, limits, counts, sessions), settings, counts, log)
    tracer = open_tracer(settings)
    app.front = front if tracer is None else Traced(front, tracer)
    problems.install(app)
    _add_routes(app)
    if app.openapi_url is not None:
        show_docs(app)
    if sessions is not None:
        ui.mount(app, sessions, keys, counts)
    authorization.install(app)
    return app


def _outside(guarded: ASGIApp, settings: Settings, counts: Metrics, log: Log) -> ASGIApp:
    """What a request meets before anybody looks at its key."""
    front: ASGIApp = SameOrigin(guarded, settings.cors_origins, counts)
    front = Net(HeadLimit(front, settings.max_headers, settings.hosts))
    if settings.cors_origins:
        front = with_cors(front, settings.cors_origins)
    return Observed(front, counts, log)


def _add_routes(app: FastAPI) -> None:
    for router in ROUTERS:
        # Probes may be sent with anything behind the address.
        app.include_router(router, dependencies=[] if router is health.router else [Depends(check_query)])


def _shows_docs(settings: Settings) -> bool:
    return not has_keys(settings) if settings.docs is None else settings.docs


def _sessions(settings: Settings) -> Sessions | None:
    """Of the pages under /ui; None where there are none."""
    if not has_pages(settings):
        return None
    secret = with_secret(settings).ui_secret
    assert secret is not None
    return Sessions(secret, always_secure=settings.ui_https)


def limits_of(settings: Settings) -> Limits:
    """What the settings let the engine take on."""
    return Limits(
        compute_threads=settings.compute_threads,
        max_batch=settings.max_batch,
        gather_seconds=settings.gather_ms / 1000,
        max_queue=settings.max_queue,
        deadline_seconds=settings.deadline_ms / 1000,
        here_seconds=ONE_CORE_SECONDS if len(os.sched_getaffinity(0)) == 1 else SEVERAL_CORES_SECONDS,
    )
