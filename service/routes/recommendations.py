"""POST /v1/recommendations: for a known user, a history, or both; one at a time, or many."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from pydantic import ValidationError
from pydantic_core import to_json

from service.bodies import BodyRoute
from service.deps import RequestId, Services, ServicesDep
from service.doors import needs
from service.engine import Request
from service.errors import RESPONSES, problem_of, problem_of_faults
from service.recommendation_schemas import BatchAnswer, BatchRequest, RecommendationRequest, Recommendations
from service.requests import to_request, to_wire

router = APIRouter(prefix="/v1", tags=["recommendations"], route_class=BodyRoute)


@router.post(
    "/recommendations",
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (400, 410, 413, 415, 422, 503)},
    response_model=Recommendations,
)
async def recommend(asked: RecommendationRequest, services: ServicesDep, request_id: RequestId) -> Response:
    """The k best items for a user: from the stored history, the history that is sent, or both; else what is popular.

    Items of the history are not returned.
    """
    return as_json(await respond(to_request(asked), services, request_id))


@router.post(
    "/recommendations:batch",
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (400, 413, 415, 422, 503)},
    response_model=BatchAnswer,
)
async def recommend_to_many(asked: BatchRequest, services: ServicesDep, request_id: RequestId) -> Response:
    """Many such requests in one, each with an answer or a problem of its own."""
    _ = services.engine.catalogue  # nothing in service is a problem of all of them
    results = await asyncio.gather(*(_result(one, services, request_id) for one in asked.requests))
    return as_json({"request_id": request_id, "results": list(results)})


def as_json(content: dict[str, Any]) -> Response:
    """A response with the fields of `Recommendations` or `BatchAnswer`; what is no number in JSON is null."""
    return Response(to_json(content, inf_nan_mode="null"), media_type="application/json")


async def respond(request: Request, services: Services, request_id: str) -> dict[str, Any]:
    """Ask the engine, count the answer and put it into the fields of `Recommendations`."""
    page = await services.engine.recommend(request)
    services.metrics.count_answer(page.answer.tier, page.answer.notices)
    return to_wire(page, request_id)


async def _result(one: Any, services: Services, request_id: str) -> dict[str, Any]:
    try:
        request = to_request(RecommendationRequest.model_validate(one))
        return {"status": 200, "answer": await respond(request, services, request_id)}
    except ValidationError as error:
        found = problem_of_faults(error.errors(include_url=False), request_id, inside="body")
    except Exception as error:  # whatever it is, it must not sink the others
        found = problem_of(error, request_id)
    return {"status": found.status, "problem": found}
