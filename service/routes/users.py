"""GET /v1/users/{user_id}/recommendations: for a user whose history is in the event store."""

from typing import Annotated

from fastapi import APIRouter, Path

from service.answers import Query
from service.deps import RequestId, ServicesDep
from service.doors import needs
from service.engine import Request
from service.errors import RESPONSES
from service.routes.recommendations import respond
from service.schemas import Id, K, Recommendations

router = APIRouter(prefix="/v1/users", tags=["recommendations"])

UserId = Annotated[Id, Path(description="Id of the user; one never seen is answered too.", examples=["42"])]


@router.get(
    "/{user_id:path}/recommendations",
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (422, 503)},
)
async def recommend_to_user(
    user_id: UserId, services: ServicesDep, request_id: RequestId, k: K = 20
) -> Recommendations:
    """The k best items for a user of the event store; what is popular for anybody else."""
    return await respond(Request(Query(k), user_id), services, request_id)
