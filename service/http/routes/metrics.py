"""GET /metrics: for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.http.dependencies import ServicesDep
from service.security.authorization import needs

router = APIRouter(tags=["operation"])


@router.get(
    "/metrics",
    dependencies=[needs("metrics")],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def show_metrics(services: ServicesDep) -> Response:
    """Latencies by route, answers by tier, warnings, and the bundle in service."""
    return Response(services.metrics.text(), media_type=CONTENT_TYPE_LATEST)
