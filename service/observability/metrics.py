"""Metrics: what the service counts about itself, for Prometheus.

One worker keeps them in memory. Several keep them in files of one directory (`PROMETHEUS_MULTIPROC_DIR`, set by
`recsys serve --workers`), and whichever is asked answers for all. There the numbers of a worker that died go on being
counted, and its gauges go.
"""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from service.observability.request_context import CURRENT
from service.schemas.common import METHODS

if TYPE_CHECKING:  # who supervises workers reads this file, and computes nothing
    from service.deployment.variants import VariantSet
    from service.ranking.results import Notice

OTHER = "other"
"""Label of methods that are none of these: a label with what strangers send would be a time series each."""
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
WAITS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
Counted = TypeVar("Counted", Counter, Histogram)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def known_method(method: str) -> str:
    """The method as a label."""
    return method if method in METHODS else OTHER


class EngineMetrics:
    """What an engine tells of its batches, counted; see `batches.Observer`."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics

    def batch_computed(self, waited: Sequence[float], computing: float, still_waiting: int) -> None:
        """Count a batch."""
        self._metrics.count_batch(waited, computing)
        self._metrics.show_queue(still_waiting)

    def request_refused(self, reason: str) -> None:
        """Count a request that was turned away."""
        self._metrics.count_queue_refusal(reason)


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._deployed: dict[Gauge, set[tuple[str, ...]]] = {}
        self._children: dict[tuple[object, ...], Any] = {}
        self._make_request_metrics()
        self._make_engine_metrics()
        self._make_bundle_metrics()

    def _make_request_metrics(self) -> None:
        labels = ("method", "route", "status", "tier")
        self._seconds = self._histogram(
            "request_seconds", "From a request's head to its answer's end.", labels, BUCKETS
        )
        self._under_way = self._gauge("requests_under_way", "Requests that are being answered.", "livesum")
        self._answers = self._counter("answers", "Lists answered.", ("tier",))
        self._warnings = self._counter("warnings", "Warnings given with answers.", ("code",))
        self._refused = self._counter("refused_requests", "Requests turned away before a route.", ("reason",))
        self._limited = self._counter("rate_limited_requests", "Requests past the rate limit of their key.", ("key",))
        self._unchecked = self._counter("rate_limit_unchecked", "Requests served uncounted: Redis did not answer.")

    def _make_engine_metrics(self) -> None:
        self._depth = self._gauge("queue_depth", "Requests that wait for the engine.", "livesum")
        self._overfull = self._counter(
            "queue_refused_requests", "Requests turned away: the queue was full, or it took too long.", ("reason",)
        )
        self._sizes = self._histogram("batch_size", "Requests computed together.", (), SIZES)
        self._waiting = self._histogram("queue_wait_seconds", "From the queue's end to its head.", (), WAITS)
        self._computing = self._histogram("compute_seconds", "Time that a batch is computed.", (), WAITS)
        self._lookups = self._counter("history_lookups", "Stored histories asked for, by where they were.", ("result",))
        self._store_errors = self._counter("store_errors", "Failures of the event store.", ("operation",))

    def _make_bundle_metrics(self) -> None:
        self._bundles = self._gauge("bundle_info", "The bundles in service.", "livemax", ("version", "model"))
        self._items = self._gauge("bundle_items", "Items that can be recommended.", "livemax", ("version",))
        self._shares = self._gauge(
            "deployment", "Share of the users that a variant is assigned to.", "livemax", ("variant", "version")
        )
        # Of several workers, the one that lags is what matters.
        self._generation = self._gauge("deployment_generation", "Generation of what is in service.", "livemin")
        self._behind = self._gauge("deployment_behind", "Workers that have not loaded what is in service.", "livesum")
        self._swaps = self._counter("swaps", "Bundles loaded, or that were to be, by what came of it.", ("result",))
        self._variant_answers = self._counter("variant_answers", "Lists answered, by variant.", ("variant", "version"))
        self._exposures = self._counter("exposures", "Answered lists, by what became of their record.", ("result",))
        self._item_changes = self._counter("item_changes", "Changes of items sent, by what came of them.", ("result",))
        self._live_items = self._gauge("live_items", "Items that something was changed about.", "livemax")
        self._workers = self._gauge("workers", "Workers that run.", "livesum")
        self._starts = self._counter("worker_starts", "Workers started, those that replace others included.")

    def count_request(self, method: str, route: str, status: int, seconds: float, tier: str = "") -> None:
        """Tell that a request was answered."""
        self._child(self._seconds, known_method(method), route, str(status), tier).observe(seconds)

    def count_under_way(self, change: int) -> None:
        """Tell that a request came (1) or went (-1)."""
        self._under_way.inc(change)

    def count_answer(self, tier: str, notices: "tuple[Notice, ...]") -> None:
        """Tell that a list was answered, and with which warnings."""
        self._child(self._answers, tier).inc()
        for notice in notices:
            self._child(self._warnings, notice.code).inc()
        if record := CURRENT.get():
            record.note_tier(tier)

    def count_refusal(self, reason: str) -> None:
        """Tell that a request was turned away before it reached a route: `no-key`, `wrong-key`, `scope` and so on."""
        self._refused.labels(reason).inc()

    def count_rate_limited(self, key: str) -> None:
        """Tell that a key asked more often than it may."""
        self._limited.labels(key).inc()

    def count_unchecked_request(self) -> None:
        """Tell that Redis did not say whether a request was one too many."""
        self._unchecked.inc()

    def show_queue(self, depth: int) -> None:
        """Tell how many requests wait."""
        self._depth.set(depth)

    def count_queue_refusal(self, reason: str) -> None:
        """Tell that the engine turned a request away: `overloaded` or `deadline`."""
        self._child(self._overfull, reason).inc()

    def count_batch(self, waited_seconds: Sequence[float], computed_seconds: float) -> None:
        """Tell that requests were computed together: how long each of them waited, and how long it took."""
        for seconds in waited_seconds:
            self._waiting.observe(seconds)
        self._sizes.observe(len(waited_seconds))
        self._computing.observe(computed_seconds)

    def count_history_lookup(self, *, is_hit: bool) -> None:
        """Tell that a stored history was asked for, and whether the cache held it."""
        self._lookups.labels("hit" if is_hit else "miss").inc()

    def count_store_error(self, operation: str) -> None:
        """Tell that the event store failed: `read` or `write`."""
        self._store_errors.labels(operation).inc()

    def count_start(self) -> None:
        """Tell that this worker runs."""
        self._starts.inc()
        self._workers.set(1)

    def name_lineup(self, variant_set: "VariantSet") -> None:
        """Tell what is in service."""
        manifests = {one.version: one.catalogue.chain.bundle.manifest for one in variant_set.variants}
        self._show(self._bundles, {(version, manifest.model): 1.0 for version, manifest in manifests.items()})
        self._show(self._items, {(version,): manifest.n_items for version, manifest in manifests.items()})
        self._show(self._shares, {(one.name, one.version): variant_set.share(one) for one in variant_set.variants})
        self._generation.set(variant_set.generation)

    def show_behind(self, *, is_behind: bool) -> None:
        """Tell whether this worker answers with something else than what is in service."""
        self._behind.set(is_behind)

    def count_swap(self, result: str) -> None:
        """Tell that a bundle was loaded, or was to be."""
        self._swaps.labels(result).inc()

    def count_variant(self, variant: str, version: str) -> None:
        """Tell which variant answered with a list."""
        self._child(self._variant_answers, variant, version).inc()

    def count_exposures(self, result: str, number: int) -> None:
        """Tell what became of the records of lists: `written`, `erased` (the user was, meanwhile) or `dropped`."""
        self._exposures.labels(result).inc(number)

    def count_item_changes(self, result: str, number: int) -> None:
        """Tell what became of changes of items: `accepted`, `duplicate` or `rejected`."""
        self._item_changes.labels(result).inc(number)

    def show_live_items(self, number: int) -> None:
        """Tell how many items something was changed about."""
        self._live_items.set(number)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format, of every worker."""
        return generate_latest(self._of_everybody())

    def families(self) -> Iterable[Metric]:
        """All metrics as they are now, of every worker."""
        return self._of_everybody().collect()

    def _of_everybody(self) -> CollectorRegistry:
        if directory := os.environ.get(DIRECTORY):
            everybody = CollectorRegistry()
            MultiProcessCollector(everybody, directory)  # type: ignore[no-untyped-call]
            return everybody
        return self.registry

    def _show(self, gauge: Gauge, values: dict[tuple[str, ...], float]) -> None:
        """Values by labels; what has no value any more is not shown."""
        before = self._deployed.get(gauge, set())
        for labels in before - values.keys():
            if DIRECTORY in os.environ:
                gauge.labels(*labels).set(0)  # files of several workers keep a label for good
            else:
                gauge.remove(*labels)
        for labels, value in values.items():
            gauge.labels(*labels).set(value)
        self._deployed[gauge] = set(values)

    def _child(self, metric: Counted, *labels: str) -> Counted:
        """What `metric.labels` gives, which checks them and takes a lock; for what is counted with every request."""
        found: Counted | None = self._children.get((metric, *labels))
        if found is None:
            found = self._children[metric, *labels] = metric.labels(*labels)
        return found

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"recsys_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, mode: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"recsys_{name}", text, labels, registry=self.registry, multiprocess_mode=mode)  # type: ignore[arg-type]

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"recsys_{name}", text, labels, registry=self.registry, buckets=buckets)
