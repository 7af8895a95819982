"""POST /v1/recommendations: for a known user, a history, or both; one at a time, or many."""

import asyncio
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import Any

from fastapi import APIRouter, Response
from pydantic import ValidationError

from recsys_vae.errors import RecsysError
from service import timestamps
from service.deployment.variants import Assignment, Variant, VariantSet
from service.http.conversion import to_request, to_text, to_wire
from service.http.dependencies import AccessDep, Services, ServicesDep
from service.http.direct_path import HistoryOnly
from service.http.fast_path import Line, written
from service.problems import RESPONSES, problem_of, problem_of_faults
from service.ranking.exploration import seed_of
from service.ranking.interleaving import Teams
from service.ranking.pages import Basis, Page, Request, first_page
from service.ranking.propensities import Chances, mixed
from service.ranking.results import Answer, Query, unnamed
from service.ranking.work import work_of
from service.schemas.common import Problem
from service.schemas.deployments import ChosenVariant
from service.schemas.recommendations import BatchAnswer, BatchRequest, RecommendationRequest, Recommendations
from service.security.access import Access
from service.security.authorization import also, needs
from service.store.impressions import Impression
from service.store.recipes import Recipe

LONGEST_ID = 128
"""Of requests, and so of what events name."""
STORED = 100
"""Items that a stored history is taken to have when a request is weighed for the rate limit, before it is read."""
TELLS = (
    "explain, candidates, boosts of named items and repeat=allow or only (seen=allow) need for a user_id: they tell "
    "what its stored history holds"
)

router = APIRouter(prefix="/v1", tags=["recommendations"])


@router.post(
    "/recommendations",
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (400, 410, 413, 415, 422, 503)},
    response_model=Recommendations,
    openapi_extra=also("recommend", "explain"),
)
async def recommend(
    asked: RecommendationRequest, services: ServicesDep, access: AccessDep, variant: ChosenVariant = None
) -> Response:
    """The k best items for a user: from the stored history, the history that is sent, or both; else what is popular.

    Items of the history are not returned, unless `repeat` allows it, and none that the user dislikes. With `user_id`,
    `explain`, `candidates`, boosts of named items and any other `repeat` than `exclude` tell what the stored history
    holds: they need a key with the scope `explain` too.
    """
    return as_json(await answer_one(asked, services, access, variant))


@router.post(
    "/recommendations:batch",
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (400, 413, 415, 422, 503)},
    response_model=BatchAnswer,
    openapi_extra=also("recommend", "explain"),
)
async def recommend_to_many(
    asked: BatchRequest, services: ServicesDep, access: AccessDep, variant: ChosenVariant = None
) -> Response:
    """Many such requests in one, each with an answer or a problem of its own, from the variant of its own user."""
    return as_json(await answer_many(asked, services, access, variant))


async def answer_one(
    asked: RecommendationRequest, services: Services, access: Access, variant: str | None = None
) -> dict[str, Any] | bytes:
    """The fields of `Recommendations`, or these as JSON."""
    request = to_request(asked, access.caller.name)
    await access.pay(_work(request))
    page, assignment = await _answered(request, services, access, access.request_id, variant)
    return to_text(page, access.request_id, assignment.name)


async def answer_many(
    asked: BatchRequest, services: Services, access: Access, variant: str | None = None
) -> dict[str, Any]:
    """The fields of `BatchAnswer`."""
    variant_set = services.deployments.variant_set  # nothing in service is a problem of all of them
    if variant is not None:
        variant_set.named(variant)  # and so is a variant that is not there
    requests = [_read(one, access) for one in asked.requests]
    await access.pay(sum(_work(request) for request in requests))
    one_by_one = (_result(one, services, access, variant, place) for place, one in enumerate(requests))
    return {"request_id": access.request_id, "results": list(await asyncio.gather(*one_by_one))}


class AtOnce:
    """Requests that bring a history of ids and ask for nothing else, where one catalogue answers everybody by it."""

    def variant(self, services: Services) -> Variant | None:
        """Who answers them all; None where there is more to see to: lists are drawn, or written down."""
        variant_set = services.deployments.served
        if variant_set is None or len(variant_set.variants) > 1 or services.settings.explore_share:
            return None
        (variant,) = variant_set.variants
        return variant if variant.catalogue.goes_by_ids_alone and not is_noted(variant_set, services) else None

    def begin(self, asked: HistoryOnly, services: Services) -> "asyncio.Future[Any]":
        """Ask the engine."""
        return services.engine.begin(asked.variant.catalogue, asked.request)

    def written(self, answer: Answer, asked: HistoryOnly, services: Services, request_id: str) -> bytes:
        """What it has answered, counted, as JSON."""
        page = first_page(answer, asked.request)
        _count(page, asked.variant, services)
        return written(to_text(page, request_id, asked.variant.name))


PLAIN = Line("/v1/recommendations", RecommendationRequest, answer_one, "recommend")
FAST_PATH = (
    PLAIN,
    Line("/v1/recommendations:batch", BatchRequest, answer_many, "recommend"),
)


def as_json(content: dict[str, Any] | bytes) -> Response:
    """A response with the fields of `Recommendations` or `BatchAnswer`."""
    return Response(written(content), media_type="application/json")


async def respond(
    request: Request, services: Services, access: Access, request_id: str, chosen: str | None
) -> dict[str, Any]:
    """The fields of `Recommendations`."""
    page, assignment = await _answered(request, services, access, request_id, chosen)
    return to_wire(page, request_id, assignment.name)


async def _answered(
    request: Request, services: Services, access: Access, request_id: str, chosen: str | None
) -> tuple[Page, Assignment]:
    """Choose a variant, ask the engine, count the answer."""
    variant_set = services.deployments.variant_set
    assignment, request, seed = _assigned(request, variant_set, services, access, request_id, chosen)
    last_erasure = services.exposures.last_erasure  # before the history is read: a later one takes the list along
    others = _others(assignment, variant_set, services, request)
    if others is not None:
        request = replace(request, tells_chances=True)
    beside = asyncio.gather(*(_chances(other, services, request, seed) for other, _ in others)) if others else None
    page = _as_told(await _page(assignment, services, request, seed), request, access)
    _count(page, assignment, services)
    if is_noted(variant_set, services):
        impression = _impression(assignment, page, request.user_id, request_id)
        made = partial(_recipe, request, page.basis, variant_set.generation, services.settings.explore_share)
        impression = impression._replace(recipe=partial(made, seed if assignment.opponent is not None else ""))
        if others is not None:
            shares = [share for _, share in others]
            chances = [page.answer.chances, *(await beside if beside is not None else ())]
            lists = list(zip((1 - sum(shares), *shares), chances, strict=True))
            impression = impression._replace(propensities=mixed(impression.items, lists))
        services.exposures.note(impression._replace(last_erasure=last_erasure))
    return page, assignment


def _count(page: Page, assignment: Assignment | Variant, services: Services) -> None:
    services.metrics.count_answer(page.answer.tier, page.answer.notices)
    services.metrics.count_variant(assignment.name, assignment.version)


async def preview(request: Request, services: Services, access: Access, chosen: str | None = None) -> dict[str, Any]:
    """The list that a user would get now, as the fields of `Recommendations`; it is shown to somebody else, so it is
    neither counted nor written down as shown to the user."""
    await access.pay(_work(request))
    variant_set = services.deployments.variant_set
    assignment, request, seed = _assigned(request, variant_set, services, access, access.request_id, chosen)
    page = _as_told(await _page(assignment, services, request, seed), request, access)
    return to_wire(page, access.request_id, assignment.name)


def _assigned(
    request: Request, variant_set: VariantSet, services: Services, access: Access, request_id: str, chosen: str | None
) -> tuple[Assignment, Request, str]:
    """Who answers, what is asked then, and what lists are drawn by.

    Raises:
        ForbiddenError: the answer would tell what the key may not know.
    """
    if request.user_id is not None and _tells_the_history(request.query):
        access.demand("explain", TELLS)
    key = f"request {request_id}" if request.user_id is None else f"user {request.user_id}"
    version = None if request.cursor is None else request.cursor.model_version
    assignment = variant_set.assign(key, chosen, version)
    if services.settings.explore_share:
        request = replace(request, seed=seed_of(key, timestamps.now()))
    return assignment, request, f"{key} {request_id}"


def _others(
    assignment: Assignment, variant_set: VariantSet, services: Services, request: Request
) -> list[tuple[Assignment, float]] | None:
    """Who else might have been assigned, with their shares; None where it will not be known how likely the items were.

    That is where nobody draws: the caller chose the variant, or a list goes on that was drawn before.
    """
    if not is_noted(variant_set, services) or not assignment.is_dealt or request.cursor is not None:
        return None
    others = [(one, share) for one, share in variant_set.assignments if one.name != assignment.name]
    return others if services.settings.propensities or not others else None


async def _chances(assignment: Assignment, services: Services, request: Request, seed: str) -> Chances | None:
    """How likely items are to be in the list that somebody else would have answered."""
    try:
        return (await _page(assignment, services, request, seed)).answer.chances
    except RecsysError:
        return None


async def _page(assignment: Assignment, services: Services, request: Request, seed: str) -> Page:
    variant, opponent = assignment.variant, assignment.opponent
    if opponent is None:
        return await services.engine.recommend(variant.catalogue, request)
    # The same request, sent again under its id, has the same list drafted.
    teams = Teams((variant.name, opponent.name), (variant.catalogue, opponent.catalogue), seed)
    return await services.engine.recommend_together(teams, request)


def _as_told(page: Page, request: Request, access: Access) -> Page:
    """A page without ids of a stored history, where the key may not know them."""
    if request.user_id is None or not page.answer.notices or access.opens("explain") or access.opens("histories"):
        return page
    return page._replace(answer=replace(page.answer, notices=unnamed(page.answer.notices)))


def _tells_the_history(query: Query) -> bool:
    """Whether the answer, or its difference to another one, says of items whether they are in the history."""
    is_repeat = query.repeat != "exclude"
    return query.explain or is_repeat or query.candidates is not None or any(one.items for one in query.boosts)


def is_noted(variant_set: VariantSet, services: Services) -> bool:
    """Whether what is shown is written down."""
    wanted = services.settings.exposures
    return wanted == "on" or (wanted == "auto" and len(variant_set.variants) > 1)


def _impression(assignment: Assignment, page: Page, user_id: str | None, request_id: str) -> Impression:
    items, name = tuple(item.item_id for item in page.answer.items), assignment.name
    shown = Impression(request_id, user_id, name, assignment.version, assignment.is_dealt, items, timestamps.now())
    return shown._replace(teams=page.answer.teams or None)


def _recipe(request: Request, basis: Basis, generation: int, explore: float, draft: str) -> Recipe:
    """What a list can be made again from; computed when it is written down."""
    assert isinstance(request.asked, RecommendationRequest)
    body = request.asked.model_dump(exclude_unset=True, exclude={"user_id", "explain", "fields"})
    return Recipe(body, *basis, generation, explore, request.seed, draft)


def _list_id(request_id: str, place: int) -> str:
    """Identity of a list of a batch that names no user, the same when the batch is sent again.

    Its neighbours may come from other variants, and an event that follows it has nothing else to tell it by.
    """
    named = f"{request_id}.{place}"
    return named if len(named) <= LONGEST_ID else f"{blake2b(request_id.encode(), digest_size=16).hexdigest()}.{place}"


def _read(one: Any, access: Access) -> Request | Problem:
    """One of many requests, or what is wrong with it."""
    try:
        # Many wait apart from single ones of the same key, which are not to wait for all of them.
        return to_request(RecommendationRequest.model_validate(one), f"{access.caller.name} batch")
    except ValidationError as error:
        return problem_of_faults(error.errors(include_url=False), access.request_id, inside="body")
    except Exception as error:  # whatever it is, it must not sink the others
        return problem_of(error, access.request_id)


def _work(request: Request | Problem) -> float:
    """What it counts as; the stored history has not been read yet."""
    if isinstance(request, Problem):
        return 1.0
    return work_of(request.query, STORED if request.user_id is not None else 0)


async def _result(
    request: Request | Problem, services: Services, access: Access, chosen: str | None, place: int
) -> dict[str, Any]:
    if isinstance(request, Problem):
        return {"status": request.status, "problem": request}
    own_id = _list_id(access.request_id, place) if request.user_id is None else access.request_id
    try:
        return {"status": 200, "answer": await respond(request, services, access, own_id, chosen)}
    except Exception as error:  # whatever it is, it must not sink the others
        found = problem_of(error, access.request_id)
    return {"status": found.status, "problem": found}
