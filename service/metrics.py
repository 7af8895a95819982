"""Metrics: what the service counts about itself, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from recsys_vae.manifest import Manifest
from service.answers import Notice

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "recsys_request_seconds",
            "Time from the request's head to the answer's end.",
            ("method", "route", "status"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._answers = Counter("recsys_answers", "Lists answered.", ("tier",), registry=self.registry)
        self._warnings = Counter("recsys_warnings", "Warnings given with answers.", ("code",), registry=self.registry)
        self._bundle = Gauge(
            "recsys_bundle_info", "The bundle in service.", ("version", "model"), registry=self.registry
        )
        self._items = Gauge("recsys_bundle_items", "Items that can be recommended.", registry=self.registry)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Tell that a request was answered."""
        self._seconds.labels(method, route, str(status)).observe(seconds)

    def count_answer(self, tier: str, notices: tuple[Notice, ...]) -> None:
        """Tell that a list was answered, and with which warnings."""
        self._answers.labels(tier).inc()
        for notice in notices:
            self._warnings.labels(notice.code).inc()

    def name_bundle(self, manifest: Manifest) -> None:
        """Tell which bundle is in service."""
        self._bundle.clear()
        self._bundle.labels(manifest.version, manifest.model).set(1)
        self._items.set(manifest.n_items)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
