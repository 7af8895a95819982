"""Lists without a user: /v1/lists, similar items, what is bought together. GET for what is plain, POST for the rest."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from service.http.conversion import to_list_query
from service.http.dependencies import AccessDep, Services, ServicesDep
from service.problems import RESPONSES
from service.ranking.item_lists import NAMED, SIMILAR, TOGETHER, ListQuery, Source
from service.ranking.results import Query as Asked
from service.ranking.results import RankedItem
from service.ranking.work import work_of
from service.schemas.common import AnswerWarning, Id, K, SimilarItem, SimilarItemsList
from service.schemas.deployments import ChosenVariant
from service.schemas.item_lists import ItemListAnswer, ItemsRequest, ListedItem, ListName, ListRequest
from service.schemas.items import Names
from service.security.access import Access
from service.security.authorization import needs

router = APIRouter(prefix="/v1")

Fields = Annotated[Names, Query()]
ItemId = Annotated[Id, Path(description="Id of an item of the catalogue.", examples=["318"])]
Name = Annotated[ListName, Path(description="Of the list.", examples=["trending"])]


def _reads(*statuses: int) -> Any:
    """What routes of lists have in common; fields that were not asked for are left out."""
    return {
        "dependencies": [needs("recommend")],
        "responses": {status: RESPONSES[status] for status in (404, 422, 503, *statuses)},
        "response_model_exclude_unset": True,
    }


SENT = (400, 413, 415)


@router.get("/lists/{name}", tags=["lists"], **_reads())
async def show_list(
    name: Name, services: ServicesDep, access: AccessDep, k: K = 20, fields: Fields = (), variant: ChosenVariant = None
) -> ItemListAnswer:
    """The first k items of a list: `popular`, `recent`, `trending` or `new`. Of several variants, the first one says.

    All but `popular` need events with times.
    """
    return await _list(name, Asked(k, fields=fields), "query", services, access, variant)


@router.post("/lists/{name}", tags=["lists"], **_reads(*SENT))
async def query_list(
    name: Name, asked: ListRequest, services: ServicesDep, access: AccessDep, variant: ChosenVariant = None
) -> ItemListAnswer:
    """The same by segment and filter, with boosts and caps."""
    return await _list(name, to_list_query(asked, asked.metadata), "body", services, access, variant)


@router.get("/items/{item_id:recsys_id}/similar", tags=["items"], **_reads())
async def list_similar(
    item_id: ItemId,
    services: ServicesDep,
    access: AccessDep,
    k: K = 20,
    fields: Fields = (),
    variant: ChosenVariant = None,
) -> SimilarItemsList:
    """The k items most similar to one: by what users see beside it, then by the model.

    Of several variants, the first one says.
    """
    return await _beside(SIMILAR, item_id, Asked(k, fields=fields), "query", services, access, variant)


@router.post("/items/{item_id:recsys_id}/similar", tags=["items"], **_reads(*SENT))
async def query_similar(
    item_id: ItemId, asked: ItemsRequest, services: ServicesDep, access: AccessDep, variant: ChosenVariant = None
) -> SimilarItemsList:
    """The same with a filter, boosts and caps."""
    return await _beside(SIMILAR, item_id, to_list_query(asked), "body", services, access, variant)


@router.get("/items/{item_id:recsys_id}/bought-together", tags=["items"], **_reads())
async def list_bought_together(
    item_id: ItemId,
    services: ServicesDep,
    access: AccessDep,
    k: K = 20,
    fields: Fields = (),
    variant: ChosenVariant = None,
) -> SimilarItemsList:
    """Items that come in one session with this one more often than chance would bring, by lift."""
    return await _beside(TOGETHER, item_id, Asked(k, fields=fields), "query", services, access, variant)


@router.post("/items/{item_id:recsys_id}/bought-together", tags=["items"], **_reads(*SENT))
async def query_bought_together(
    item_id: ItemId, asked: ItemsRequest, services: ServicesDep, access: AccessDep, variant: ChosenVariant = None
) -> SimilarItemsList:
    """The same with a filter, boosts and caps."""
    return await _beside(TOGETHER, item_id, to_list_query(asked), "body", services, access, variant)


async def _list(
    name: str, query: Asked, place: str, services: Services, access: Access, chosen: str | None
) -> ItemListAnswer:
    told, items = await found_list(Source(NAMED, name), query, place, services, access, chosen)
    return ItemListAnswer(**told, name=name, items=[ListedItem(**one) for one in items])


async def _beside(
    kind: str, item_id: str, query: Asked, place: str, services: Services, access: Access, chosen: str | None
) -> SimilarItemsList:
    told, items = await found_list(Source(kind, item_id), query, place, services, access, chosen)
    return SimilarItemsList(**told, item_id=item_id, items=[SimilarItem(**one) for one in items])


async def found_list(
    source: Source, query: Asked, place: str, services: Services, access: Access, chosen: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What every answer says, and the fields of its items."""
    variant_set = services.deployments.variant_set
    variant = variant_set.variants[0] if chosen is None else variant_set.named(chosen)
    await access.pay(work_of(query))
    asked = ListQuery(source, query, place)
    found = await services.engine.list_items(variant.catalogue, asked, flow=access.caller.name)
    told = {
        "request_id": access.request_id,
        "variant": variant.name,
        "model_version": found.model_version,
        "warnings": [AnswerWarning(code=notice.code, message=notice.message) for notice in found.notices],
    }
    return told, as_fields(found.items, found.fields)


def as_fields(items: Sequence[RankedItem], told: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Fields of the items of a list, columns only where some were asked for."""
    plain = [{"rank": item.rank, "item_id": item.item_id, "score": item.score} for item in items]
    return [one | {"fields": values} for one, values in zip(plain, told, strict=True)] if told else plain
