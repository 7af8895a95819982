"""The composition root: settings in, application out. Nothing else puts parts together."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from recsys_vae import __version__
from recsys_vae.errors import UnavailableError
from recsys_vae.ladder import Ladder
from service import errors
from service.batches import Limits
from service.bundles import open_ladder
from service.deps import Services, State
from service.engine import Engine
from service.events import EventStore
from service.histories import Histories
from service.metrics import Metrics
from service.middleware import BodyLimit, Observed
from service.routes import bundle, events, health, items, metrics, recommendations, users
from service.settings import Settings

logger = logging.getLogger("recsys.service")

ROUTERS = (
    recommendations.router,
    users.router,
    events.router,
    items.router,
    bundle.router,
    health.router,
    metrics.router,
)


def create_app(settings: Settings, ladder: Ladder | None = None) -> FastAPI:
    """The application. While it starts it opens the bundle that the settings name, unless a ladder is given.

    Where there is neither, it runs, but is not ready.
    """
    counts = Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        store = EventStore(settings.store_url)
        await to_thread.run_sync(_warn_if_unreachable, store)
        histories = Histories(store)
        engine = Engine(histories, limits_of(settings))
        opened = ladder or await to_thread.run_sync(open_ladder, settings)
        if opened is not None:
            engine.put_in_service(opened)
            counts.name_bundle(opened.bundle.manifest)
        yield State(services=Services(settings, engine, store, histories, counts))
        engine.close()
        store.close()

    app = FastAPI(title="recsys_vae", version=__version__, lifespan=lifespan, description="Recommendations over HTTP.")
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(Observed, metrics=counts)
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


def limits_of(settings: Settings) -> Limits:
    """What the settings let the engine take on."""
    return Limits(
        compute_threads=settings.compute_threads,
        max_batch=settings.max_batch,
        gather_seconds=settings.gather_ms / 1000,
        max_queue=settings.max_queue,
        deadline_seconds=settings.deadline_ms / 1000,
    )


def _warn_if_unreachable(store: EventStore) -> None:
    try:
        store.check()
    except UnavailableError as error:
        logger.warning("%s Until it does, stored histories are left out of answers.", error)
