"""/ui/operations: requests, errors, latencies, queue, cache, store and memory of the last day."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from os import getpid
from time import time
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from anyio import to_thread
from fastapi import Request, Response
from markupsafe import Markup

from recsys_vae.pages.charts import MOST_SERIES, Series, line, sparkline
from service.http.dependencies import AccessDep, ServicesDep
from service.observability.day import (
    CACHE,
    MEMORY,
    QUEUE,
    ROUTE,
    STATUS,
    STORE,
    TIER,
    UNDER_WAY,
    Array,
    Day,
    Stretch,
    quantile,
)
from service.ui.rendering import page
from service.ui.routing import page_router


class Span(NamedTuple):
    """A stretch of time that may be chosen.

    Attributes:
        label: in words.
        seconds: that it lasts.
        steps: that charts cut it into.
        clock: form of the times beneath a chart.
    """

    label: str
    seconds: int
    steps: int
    clock: str


SPANS: Final = {
    "15m": Span("15 minutes", 900, 30, "%H:%M:%S"),
    "1h": Span("An hour", 3600, 40, "%H:%M"),
    "6h": Span("6 hours", 21_600, 36, "%H:%M"),
    "24h": Span("A day", 86_400, 48, "%H:%M"),
}
ERRORS: Final = (("4xx", "refused (4xx)"), ("5xx", "failed (5xx)"), ("left", "caller left"))
"""How requests end that go wrong, and in words."""
MEGA: Final = 1e6
MINUTE: Final = 60

router = page_router()


class Route(NamedTuple):
    """A row of the table of routes; latencies in seconds."""

    name: str
    requests: int
    refused: int
    failed: int
    median: float | None
    slowest: float | None
    trend: Markup


@router.get("/operations")
async def show_operations(
    request: Request,
    services: ServicesDep,
    access: AccessDep,
    span: Literal["15m", "1h", "6h", "24h"] = "1h",
    live: Literal["yes", "no"] = "yes",
) -> Response:
    """Charts of a stretch of time until now; needs the scope `metrics`."""
    told: dict[str, Any] = {}
    if access.opens("metrics"):
        told = await to_thread.run_sync(_told, services.day, SPANS[span], time())
    workers, is_apart = services.settings.workers, not services.engine.is_shared
    return page(
        request,
        "operations.html",
        span=span,
        spans=SPANS,
        live=live,
        process=getpid(),
        workers=workers,
        is_apart=is_apart,
        **told,
    )


def _told(day: Day, span: Span, now: float) -> dict[str, Any]:
    stretch = day.stretch(span.seconds, span.steps, now)
    labels = [datetime.fromtimestamp(start, UTC).strftime(span.clock) for start in stretch.starts]
    timed = [found for (kind, _), found in stretch.added.items() if kind == ROUTE]
    buckets: Array = np.sum(timed, axis=(0, 1)) if timed else np.zeros(1)
    covered, requests = float(stretch.seconds.sum()), float(buckets.sum())
    lookups = {label: float(stretch.count(CACHE, label).sum()) for label in ("hit", "miss")}
    return {
        "has_samples": covered > 0,
        "charts": _charts(stretch, labels),
        "routes": [_route(stretch, name) for name in stretch.labels(ROUTE)],
        "requests": requests,
        "rate": requests / covered if covered else None,
        "failed": float(stretch.count(STATUS, "5xx").sum()) / requests if requests else None,
        "median": quantile(buckets, 0.5),
        "slowest": quantile(buckets, 0.99),
        "hits": lookups["hit"] / sum(lookups.values()) if any(lookups.values()) else None,
        "store_errors": sum(float(stretch.count(STORE, label).sum()) for label in stretch.labels(STORE)),
        "memory": _last(stretch.gauges.get(MEMORY)),
    }


def _charts(stretch: Stretch, labels: Sequence[str]) -> list[Markup]:
    tiers = stretch.labels(TIER)[:MOST_SERIES]
    zero = np.zeros(len(labels))
    everything = sum((stretch.count(ROUTE, name) for name in stretch.labels(ROUTE)), zero)
    lists = sum((stretch.count(TIER, name) for name in stretch.labels(TIER)), zero)
    hits, lookups = 100 * stretch.count(CACHE, "hit"), stretch.count(CACHE, "hit") + stretch.count(CACHE, "miss")
    failures = [_rate(stretch, one, stretch.count(STORE, one), MINUTE) for one in ("read", "write")]
    gauges = {name: _known(stretch.gauges.get(name, zero * np.nan)) for name in (QUEUE, UNDER_WAY, MEMORY)}
    megabytes = [None if value is None else value / MEGA for value in gauges[MEMORY]]
    waiting = [Series("waiting", gauges[QUEUE]), Series("under way", gauges[UNDER_WAY])]
    drawn: list[tuple[str, list[Series], int]] = [
        ("Requests a second", [_rate(stretch, "all", everything), _rate(stretch, "lists", lists)], 2),
        ("Errors a minute", [_rate(stretch, name, stretch.count(STATUS, kind), MINUTE) for kind, name in ERRORS], 1),
        ("Lists by tier: median, in ms", [_latency(stretch, tier, 0.5) for tier in tiers], 1),
        ("Lists by tier: 99th percentile, in ms", [_latency(stretch, tier, 0.99) for tier in tiers], 1),
        ("Requests that wait for the engine, and under way", waiting, 0),
        ("Histories found in the cache, in %", [Series("hits", _divided(hits, lookups))], 1),
        ("Failures of the event store a minute", failures, 1),
        ("Memory of this process, in MB", [Series("memory", megabytes)], 0),
    ]
    return [line(title, labels, series, digits, from_zero=True) for title, series, digits in drawn]


def _rate(stretch: Stretch, name: str, added: Array, factor: float = 1.0) -> Series:
    return Series(name, _divided(factor * added, stretch.seconds))


def _latency(stretch: Stretch, tier: str, share: float) -> Series:
    found = [quantile(counts, share) for counts in stretch.added[TIER, tier]]
    return Series(tier, [None if seconds is None else 1000 * seconds for seconds in found])


def _route(stretch: Stretch, name: str) -> Route:
    counts = stretch.added[ROUTE, name]
    buckets = counts.sum(axis=0)
    refused, failed = (int(stretch.count(f"{ROUTE} {kind}", name).sum()) for kind in ("4xx", "5xx"))
    trend = sparkline(f"requests to {name} over time", _divided(counts.sum(axis=1), stretch.seconds))
    return Route(name, int(buckets.sum()), refused, failed, quantile(buckets, 0.5), quantile(buckets, 0.99), trend)


def _divided(upper: Array, lower: Array) -> list[float | None]:
    return [float(one) / float(other) if other else None for one, other in zip(upper, lower, strict=True)]


def _known(found: Iterable[float]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in found]


def _last(found: Array | None) -> float | None:
    return next((value for value in reversed(_known(found if found is not None else [])) if value is not None), None)
