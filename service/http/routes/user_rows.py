"""/v1/users/{user_id}/rows: several titled lists for a user. What was shown is noted, as for recommendations."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query

from service import timestamps
from service.http.conversion import to_list_query
from service.http.dependencies import AccessDep, Services, ServicesDep
from service.http.routes.item_lists import as_fields
from service.http.routes.recommendations import STORED, is_noted
from service.http.routes.users import UserId
from service.problems import RESPONSES
from service.ranking.exploration import seed_of
from service.ranking.pages import Request
from service.ranking.results import unnamed
from service.ranking.rows import Rows, RowsQuery
from service.ranking.work import work_of
from service.schemas.common import AnswerWarning, K
from service.schemas.deployments import ChosenVariant
from service.schemas.item_lists import Because, ListedItem, RowAnswer, RowsRequest, UserRows
from service.schemas.items import Names
from service.security.access import Access
from service.security.authorization import also, needs
from service.store.impressions import Impression

router = APIRouter(prefix="/v1/users", tags=["recommendations"])

TELLS = "rows about items of a stored history (because above 0): they tell what it holds"
USUAL_BECAUSE = 2
ROWS: Any = {
    "dependencies": [needs("recommend")],
    "openapi_extra": also("recommend", "explain"),
    "response_model_exclude_unset": True,
}


@router.get("/{user_id:recsys_id}/rows", responses={s: RESPONSES[s] for s in (422, 503)}, **ROWS)
async def show_rows(
    user_id: UserId,
    services: ServicesDep,
    access: AccessDep,
    k: K = 10,
    because: Annotated[Because, Query()] = None,
    fields: Annotated[Names, Query()] = (),
    variant: ChosenVariant = None,
) -> UserRows:
    """Several titled rows for a user of the event store, no item twice: for you, because you watched, trending, new.

    Rows about items of the history tell what it holds: they need a key with the scope `explain` too.
    """
    asked = RowsRequest(k=k, because=because, fields=fields)
    return await answer_rows(user_id, asked, services, access, variant)


@router.post("/{user_id:recsys_id}/rows", responses={s: RESPONSES[s] for s in (400, 413, 415, 422, 503)}, **ROWS)
async def query_rows(
    user_id: UserId, asked: RowsRequest, services: ServicesDep, access: AccessDep, variant: ChosenVariant = None
) -> UserRows:
    """The same with a filter, boosts and caps, which hold for each row."""
    return await answer_rows(user_id, asked, services, access, variant)


async def answer_rows(
    user_id: str, asked: RowsRequest, services: Services, access: Access, chosen: str | None
) -> UserRows:
    """Rows from the variant of a user; where lists are interleaved, from the first of the two."""
    if asked.because:
        access.demand("explain", TELLS)
    because = asked.because
    if because is None:
        because = USUAL_BECAUSE if access.opens("explain") else 0
    query = to_list_query(asked, asked.metadata)
    rows = RowsQuery(query, because, tuple(dict.fromkeys(asked.lists)))
    await access.pay(work_of(query, STORED) * rows.n_rows)
    variant_set, key = services.deployments.variant_set, f"user {user_id}"
    assignment = variant_set.assign(key, chosen)
    seed = seed_of(key, timestamps.now()) if services.settings.explore_share else ""
    last_erasure = services.exposures.last_erasure  # before the history is read: a later one takes the list along
    request = Request(query, user_id, flow=access.caller.name, seed=seed)
    found = await services.engine.rows(assignment.variant.catalogue, rows, request)
    services.metrics.count_answer(found.tier, found.notices)
    services.metrics.count_variant(assignment.variant.name, assignment.variant.version)
    if assignment.opponent is None and is_noted(variant_set, services):
        shown = Impression(
            access.request_id, user_id, assignment.name, assignment.version, assignment.is_dealt,
            tuple(item.item_id for row in found.rows for item in row.items), timestamps.now(),
        )  # fmt: skip
        services.exposures.note(shown._replace(last_erasure=last_erasure))
    if not (access.opens("explain") or access.opens("histories")):
        found = replace(found, notices=unnamed(found.notices))
    return _to_wire(found, access.request_id, assignment.variant.name)


def _to_wire(found: Rows, request_id: str, variant: str) -> UserRows:
    return UserRows(
        request_id=request_id,
        variant=variant,
        model_version=found.model_version,
        tier=found.tier,
        rows=[
            RowAnswer(
                kind=row.kind,
                title=row.title,
                items=[ListedItem(**one) for one in as_fields(row.items, row.fields)],
                **({} if row.name is None else {"name": row.name}),
            )
            for row in found.rows
        ],
        warnings=[AnswerWarning(code=notice.code, message=notice.message) for notice in found.notices],
    )
