"""/v1/users: recommendations for a user of the event store, what is held about one, and its erasure."""

import json
from datetime import datetime
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Response

from service import timestamps
from service.http.dependencies import AccessDep, RequestId, ServicesDep
from service.http.routes.recommendations import answer_one, as_json
from service.problems import RESPONSES
from service.schemas.common import Id, K
from service.schemas.deployments import ChosenVariant
from service.schemas.events import Erasure, ShownList, StoredEvent, UserSummary
from service.schemas.items import Names
from service.schemas.recommendations import CursorText, RecommendationRequest, Recommendations, RepeatWord
from service.security.authorization import also, needs
from service.store.events import NOT_SAID, HeldEvent
from service.store.impressions import HeldExposure

router = APIRouter(prefix="/v1/users")

UserId = Annotated[Id, Path(description="Id of the user; one never seen is answered too.", examples=["42"])]
Limit = Annotated[int, Query(ge=1, le=1000, description="Events in the page.", examples=[100])]
Before = Annotated[
    int | None, Query(ge=1, le=2**63 - 1, description="`next_before` of the page before this one.", examples=[575200])
]
ShownBefore = Annotated[
    int | None,
    Query(ge=1, le=2**63 - 1, description="`next_shown_before` of the page before this one.", examples=[7100]),
]


@router.get(
    "/{user_id:recsys_id}/recommendations",
    tags=["recommendations"],
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (410, 422, 503)},
    response_model=Recommendations,
    openapi_extra=also("recommend", "explain"),
)
async def recommend_to_user(
    user_id: UserId,
    services: ServicesDep,
    access: AccessDep,
    k: K = 20,
    repeat: RepeatWord = None,
    cursor: CursorText = None,
    fields: Annotated[Names, Query()] = (),
    variant: ChosenVariant = None,
) -> Response:
    """The k best items for a user of the event store; what is popular for anybody else.

    Any other `repeat` than `exclude` tells what the stored history holds: it needs a key with the scope `explain` too.
    """
    asked = RecommendationRequest(user_id=user_id, k=k, repeat=repeat, cursor=cursor, fields=fields)
    return as_json(await answer_one(asked, services, access, variant))


@router.get(
    "/{user_id:recsys_id}",
    tags=["events"],
    dependencies=[needs("histories")],
    responses={status: RESPONSES[status] for status in (422, 503)},
    openapi_extra=also("users"),
)
async def show_user(
    user_id: UserId,
    services: ServicesDep,
    request_id: RequestId,
    limit: Limit = 100,
    before: Before = None,
    shown_before: ShownBefore = None,
) -> UserSummary:
    """What is held about a user: how much, from when and where, the events and the lists shown, page by page."""
    await services.exposures.flush()
    record = await to_thread.run_sync(services.store.record, user_id, limit + 1, before)
    n_shown = await to_thread.run_sync(services.shown.count, user_id)
    shown = await to_thread.run_sync(services.shown.of_user, user_id, limit + 1, shown_before)
    page = record.events[:limit]
    return UserSummary(
        request_id=request_id,
        user_id=user_id,
        events=record.n_events,
        items=record.n_items,
        first=_moment(record.first),
        last=_moment(record.last),
        sources=record.sources,
        history=[_to_schema(event) for event in page],
        next_before=page[-1].sequence if len(record.events) > limit else None,
        exposures=n_shown,
        shown=[_to_shown(one) for one in shown[:limit]],
        next_shown_before=shown[limit - 1].sequence if len(shown) > limit else None,
    )


@router.delete(
    "/{user_id:recsys_id}",
    tags=["events"],
    dependencies=[needs("users")],
    responses={status: RESPONSES[status] for status in (422, 503)},
)
async def erase_user(user_id: UserId, services: ServicesDep, request_id: RequestId) -> Erasure:
    """Erase all that is held about a user. Once more erases nothing more; a new event makes the user known again."""
    await services.exposures.flush()
    erased = await to_thread.run_sync(services.store.erase, user_id)
    services.histories.forget(user_id)
    return Erasure(request_id=request_id, user_id=user_id, erased=erased.events, erased_exposures=erased.exposures)


def _to_schema(event: HeldEvent) -> StoredEvent:
    weight = None if event.weight == NOT_SAID else event.weight
    return StoredEvent(**event._asdict() | {"timestamp": _moment(event.timestamp), "weight": weight})


def _to_shown(impression: HeldExposure) -> ShownList:
    return ShownList(
        **impression._asdict()
        | {
            "items": list(impression.items),
            "answered_at": _moment(impression.answered_at),
            "recipe": None if impression.recipe is None else json.loads(impression.recipe),
        }
    )


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else timestamps.from_microseconds(microseconds)
