"""/health: for whoever starts, restarts and routes to the service."""

from fastapi import APIRouter

from service.deps import ServicesDep
from service.errors import RESPONSES, NotReadyError
from service.schemas import Health

router = APIRouter(prefix="/health", tags=["operation"])


@router.get("/live")
async def is_live() -> Health:
    """The process answers. Restart it when this fails."""
    return Health(status="ok")


@router.get("/ready", responses={503: RESPONSES[503]})
async def is_ready(services: ServicesDep) -> Health:
    """A bundle is loaded, verified, and has answered once on every tier. Send requests only while this is 200."""
    if not services.engine.is_ready:
        raise NotReadyError
    return Health(status="ok")
