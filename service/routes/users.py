"""GET /v1/users/{user_id}/recommendations: for a user whose history is in the event store."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from service.deps import RequestId, ServicesDep
from service.errors import RESPONSES
from service.recommendation_schemas import CursorText, RecommendationRequest, Recommendations
from service.requests import to_request
from service.routes.recommendations import as_json, respond
from service.schemas import Id, K

router = APIRouter(prefix="/v1/users", tags=["recommendations"])

UserId = Annotated[Id, Path(description="Id of the user; one never seen is answered too.", examples=["42"])]


@router.get(
    "/{user_id:path}/recommendations",
    responses={status: RESPONSES[status] for status in (410, 422, 503)},
    response_model=Recommendations,
)
async def recommend_to_user(
    user_id: UserId, services: ServicesDep, request_id: RequestId, k: K = 20, cursor: CursorText = None
) -> Response:
    """The k best items for a user of the event store; what is popular for anybody else."""
    asked = RecommendationRequest(user_id=user_id, k=k, cursor=cursor)
    return as_json(await respond(to_request(asked), services, request_id))
