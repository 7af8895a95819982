"""GET /v1/items/{item_id}/similar: what is close to an item."""

from typing import Annotated

from fastapi import APIRouter, Path

from service.http.dependencies import AccessDep, ServicesDep
from service.problems import RESPONSES
from service.ranking.work import work_of_similar
from service.schemas.common import AnswerWarning, Id, K, SimilarItem, SimilarItemsList
from service.schemas.deployments import ChosenVariant
from service.security.authorization import needs

router = APIRouter(prefix="/v1/items", tags=["items"])

ItemId = Annotated[Id, Path(description="Id of an item of the catalogue.", examples=["318"])]


@router.get(
    "/{item_id:recsys_id}/similar",
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (404, 422, 503)},
)
async def list_similar(
    item_id: ItemId, services: ServicesDep, access: AccessDep, k: K = 20, variant: ChosenVariant = None
) -> SimilarItemsList:
    """The k items most similar to one. Of several variants, the first one says."""
    variant_set = services.deployments.variant_set
    asked = variant_set.variants[0] if variant is None else variant_set.named(variant)
    await access.pay(work_of_similar(k))
    found = await services.engine.similar(asked.catalogue, item_id, k, access.caller.name)
    return SimilarItemsList(
        request_id=access.request_id,
        variant=asked.name,
        model_version=found.model_version,
        item_id=item_id,
        items=[SimilarItem(rank=item.rank, item_id=item.item_id, score=item.score) for item in found.items],
        warnings=[AnswerWarning(code=notice.code, message=notice.message) for notice in found.notices],
    )
