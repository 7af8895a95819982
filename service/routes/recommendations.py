"""POST /v1/recommendations: for a known user, a history, or both."""

from fastapi import APIRouter

from service.answers import Answer, Query
from service.deps import RequestId, Services, ServicesDep
from service.doors import needs
from service.engine import Request
from service.errors import RESPONSES
from service.schemas import AnswerWarning, HistoryItem, RecommendationRequest, Recommendations, RecommendedItem

router = APIRouter(prefix="/v1", tags=["recommendations"])


@router.post(
    "/recommendations",
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (400, 413, 415, 422, 503)},
)
async def recommend(asked: RecommendationRequest, services: ServicesDep, request_id: RequestId) -> Recommendations:
    """The k best items for a user: from the stored history, the history that is sent, or both; else what is popular.

    Items of the history are not returned.
    """
    query = Query(asked.k, _weights(asked), asked.exclude, asked.candidates)
    return await respond(Request(query, asked.user_id), services, request_id)


async def respond(request: Request, services: Services, request_id: str) -> Recommendations:
    """Ask the engine, count the answer and put it into its schema."""
    answer = await services.engine.recommend(request)
    services.metrics.count_answer(answer.tier, answer.notices)
    return to_schema(answer, request_id)


def to_schema(answer: Answer, request_id: str) -> Recommendations:
    """An answer as it goes over the wire."""
    return Recommendations(
        request_id=request_id,
        model_version=answer.model_version,
        tier=answer.tier,
        scorer=answer.scorer,
        items=[
            RecommendedItem(rank=item.rank, item_id=item.item_id, score=item.score, source=answer.tier)
            for item in answer.items
        ],
        warnings=[AnswerWarning(code=notice.code, message=notice.message) for notice in answer.notices],
    )


def _weights(asked: RecommendationRequest) -> dict[str, float]:
    weights: dict[str, float] = {}
    for entry in asked.history:
        item = entry if isinstance(entry, HistoryItem) else HistoryItem(item_id=entry)
        weights[item.item_id] = weights.get(item.item_id, 0.0) + item.weight
    return weights
