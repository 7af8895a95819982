"""Traces arrive where the settings say, over real HTTP."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from recsys_vae.errors import ConfigError
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.observability.tracing import open_tracer
from service.settings import Settings
from tests.service.tiny import only

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Collector(BaseHTTPRequestHandler):
    """Takes traces as a collector does."""

    got: list[bytes]

    def do_POST(self) -> None:
        from gzip import decompress

        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append(decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    Collector.got = []
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_request_is_a_span_of_its_callers_trace(
    settings: Settings, chain: FallbackChain, collector: HTTPServer
) -> None:
    url = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    with TestClient(create_app(settings.model_copy(update={"trace_url": url}), only(chain))) as client:
        client.get("/v1/users/u0/recommendations", headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    sent = [ExportTraceServiceRequest.FromString(body) for body in Collector.got]
    [span] = [
        span for each in sent for place in each.resource_spans for scope in place.scope_spans for span in scope.spans
    ]
    values = {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}
    assert span.name == "GET /v1/users/{user_id}/recommendations"
    assert span.trace_id.hex() == TRACE
    assert (values["http.response.status_code"], values["recsys.tier"]) == (200, "history")
    assert "u0" not in str(span)


def test_a_collector_that_is_down_stops_no_answer(settings: Settings, chain: FallbackChain) -> None:
    changed = settings.model_copy(update={"trace_url": "http://127.0.0.1:1/v1/traces"})
    with TestClient(create_app(changed, only(chain))) as client:
        assert client.get("/v1/bundle").status_code == 200


def test_without_an_address_the_sdk_of_opentelemetry_is_not_imported() -> None:
    code = (
        "import sys; from service.app import create_app; from service.settings import Settings; create_app(Settings());"
    )
    done = subprocess.run([sys.executable, "-c", f"{code} sys.exit('opentelemetry.sdk' in sys.modules)"], check=False)
    assert done.returncode == 0


def test_without_the_extra_it_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert open_tracer(Settings()) is None
    with pytest.raises(ConfigError, match=r"recsys-vae\[otel\]"):
        open_tracer(Settings(trace_url="http://127.0.0.1:1"))
