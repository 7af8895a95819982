"""POST /v1/recommendations: for a known user, a history, or both; one at a time, or many."""

import asyncio
from hashlib import blake2b
from typing import Any

from fastapi import APIRouter, Response
from pydantic import ValidationError

from service import timestamps
from service.deployment.variants import Assignment, VariantSet
from service.http.conversion import to_request, to_wire
from service.http.dependencies import RequestId, Services, ServicesDep
from service.http.fast_path import Line, written
from service.problems import RESPONSES, problem_of, problem_of_faults
from service.ranking.engine import Page, Request
from service.schemas.deployments import ChosenVariant
from service.schemas.recommendations import BatchAnswer, BatchRequest, RecommendationRequest, Recommendations
from service.security.authorization import needs
from service.store.impressions import Impression

LONGEST_ID = 128
"""Of requests, and so of what events name."""

router = APIRouter(prefix="/v1", tags=["recommendations"])


@router.post(
    "/recommendations",
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (400, 410, 413, 415, 422, 503)},
    response_model=Recommendations,
)
async def recommend(
    asked: RecommendationRequest, services: ServicesDep, request_id: RequestId, variant: ChosenVariant = None
) -> Response:
    """The k best items for a user: from the stored history, the history that is sent, or both; else what is popular.

    Items of the history are not returned.
    """
    return as_json(await answer_one(asked, services, request_id, variant))


@router.post(
    "/recommendations:batch",
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (400, 413, 415, 422, 503)},
    response_model=BatchAnswer,
)
async def recommend_to_many(
    asked: BatchRequest, services: ServicesDep, request_id: RequestId, variant: ChosenVariant = None
) -> Response:
    """Many such requests in one, each with an answer or a problem of its own, from the variant of its own user."""
    return as_json(await answer_many(asked, services, request_id, variant))


async def answer_one(
    asked: RecommendationRequest, services: Services, request_id: str, variant: str | None = None
) -> dict[str, Any]:
    """The fields of `Recommendations`."""
    return await respond(to_request(asked), services, request_id, variant)


async def answer_many(
    asked: BatchRequest, services: Services, request_id: str, variant: str | None = None
) -> dict[str, Any]:
    """The fields of `BatchAnswer`."""
    variant_set = services.deployments.variant_set  # nothing in service is a problem of all of them
    if variant is not None:
        variant_set.named(variant)  # and so is a variant that is not there
    one_by_one = (_result(one, services, request_id, variant, place) for place, one in enumerate(asked.requests))
    return {"request_id": request_id, "results": list(await asyncio.gather(*one_by_one))}


FAST_PATH = (
    Line("/v1/recommendations", RecommendationRequest, answer_one, "recommend"),
    Line("/v1/recommendations:batch", BatchRequest, answer_many, "recommend"),
)


def as_json(content: dict[str, Any]) -> Response:
    """A response with the fields of `Recommendations` or `BatchAnswer`."""
    return Response(written(content), media_type="application/json")


async def respond(request: Request, services: Services, request_id: str, chosen: str | None) -> dict[str, Any]:
    """Choose a variant, ask the engine, count the answer, give the fields of `Recommendations`."""
    variant_set = services.deployments.variant_set
    key = f"request {request_id}" if request.user_id is None else f"user {request.user_id}"
    version = None if request.cursor is None else request.cursor.model_version
    assignment = variant_set.assign(key, chosen, version)
    last_erasure = services.exposures.last_erasure  # before the history is read: a later one takes the list along
    page = await services.engine.recommend(assignment.variant.catalogue, request)
    services.metrics.count_answer(page.answer.tier, page.answer.notices)
    services.metrics.count_variant(assignment.variant.name, assignment.variant.version)
    if _is_noted(variant_set, services):
        impression = _impression(assignment, page, request.user_id, request_id)
        services.exposures.note(impression._replace(last_erasure=last_erasure))
    return to_wire(page, request_id, assignment.variant.name)


def _is_noted(variant_set: VariantSet, services: Services) -> bool:
    wanted = services.settings.exposures
    return wanted == "on" or (wanted == "auto" and len(variant_set.variants) > 1)


def _impression(assignment: Assignment, page: Page, user_id: str | None, request_id: str) -> Impression:
    variant = assignment.variant
    items = tuple(item.item_id for item in page.answer.items)
    return Impression(request_id, user_id, variant.name, variant.version, assignment.is_dealt, items, timestamps.now())


def _list_id(request_id: str, place: int) -> str:
    """Identity of a list of a batch that names no user, the same when the batch is sent again.

    Its neighbours may come from other variants, and an event that follows it has nothing else to tell it by.
    """
    named = f"{request_id}.{place}"
    return named if len(named) <= LONGEST_ID else f"{blake2b(request_id.encode(), digest_size=16).hexdigest()}.{place}"


async def _result(one: Any, services: Services, request_id: str, chosen: str | None, place: int) -> dict[str, Any]:
    try:
        request = to_request(RecommendationRequest.model_validate(one))
        own_id = _list_id(request_id, place) if request.user_id is None else request_id
        return {"status": 200, "answer": await respond(request, services, own_id, chosen)}
    except ValidationError as error:
        found = problem_of_faults(error.errors(include_url=False), request_id, inside="body")
    except Exception as error:  # whatever it is, it must not sink the others
        found = problem_of(error, request_id)
    return {"status": found.status, "problem": found}
