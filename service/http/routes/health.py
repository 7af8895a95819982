"""/health: for whoever starts, restarts and routes to the service."""

from fastapi import APIRouter

from service.http.dependencies import ServicesDep
from service.problems import RESPONSES
from service.schemas.common import Health

router = APIRouter(prefix="/health", tags=["operation"])


@router.get("/live")
async def is_live() -> Health:
    """The process answers. Restart it when this fails."""
    return Health(status="ok")


@router.get("/ready", responses={503: RESPONSES[503]})
async def is_ready(services: ServicesDep) -> Health:
    """What is in service is loaded here, verified, and has answered once on every tier. Send requests only while this
    is 200.
    """  # fmt: skip
    services.deployments.check_ready()
    return Health(status="ok")
