"""Traces: a span a request, sent by OpenTelemetry's protocol; off unless the settings name an address.

OpenTelemetry is imported only then: it is the extra `otel`.
"""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys_vae import __version__
from recsys_vae.errors import ConfigError
from service.observability.metrics import known_method
from service.observability.request_middleware import route_of
from service.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "recsys"
FLUSH_MILLISECONDS = 2000


class Tracer:
    """Makes spans, and sends them in the background.

    Args:
        provider: where they go.
    """

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self.spans = provider.get_tracer("recsys.service", __version__)
        self.propagator = TraceContextTextMapPropagator()

    def close(self) -> None:
        """Send what is left."""
        self._provider.force_flush(FLUSH_MILLISECONDS)
        self._provider.shutdown()


def open_tracer(settings: Settings) -> Tracer | None:
    """What sends traces to the address of the settings; None where they name none.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    if settings.trace_url is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError("Traces need OpenTelemetry: pip install 'recsys-vae[otel]'.") from error
    resource = Resource.create({"service.name": SERVICE, "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.trace_url)))
    return Tracer(provider)


class Traced:
    """Makes a span of every request, within the trace that the caller names in `traceparent`."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode

        carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"}
        status = 0

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        parent = self._tracer.propagator.extract(carrier)
        method = known_method(scope["method"])
        with self._tracer.spans.start_as_current_span(method, parent, SpanKind.SERVER) as span:
            scope.setdefault("state", {})["trace_id"] = f"{span.get_span_context().trace_id:032x}"
            await self._app(scope, receive, send_seen)
            record = scope["state"]["record"]
            span.update_name(f"{method} {route_of(scope)}")
            known = {"http.request.method": method, "http.route": route_of(scope), "recsys.tier": record.tier}
            span.set_attributes(known | {"http.response.status_code": status, "recsys.request_id": record.request_id})
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
