"""/v1/items: what is known of an item; what changes about items, at once and everywhere."""

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Response

from service.errors import UnknownItemError
from service.http import item_changes
from service.http.dependencies import AccessDep, RequestId, ServicesDep
from service.http.fast_path import Line, written
from service.http.item_changes import etag, summary_of
from service.problems import RESPONSES
from service.schemas.common import Id
from service.schemas.deployments import ChosenVariant
from service.schemas.items import ItemChanges, ItemDocument, ItemPatch, ItemReceipt, ItemSummary
from service.security.authorization import needs
from service.store.item_records import ItemChange

router = APIRouter(prefix="/v1/items", tags=["items"])

AnyItemId = Annotated[Id, Path(description="Id of an item; the catalogue need not hold it.", examples=["318"])]
IfMatch = Annotated[
    str | None,
    Header(
        alias="if-match", pattern=r'^"[0-9]{1,19}"$', examples=['"7120"'],
        description="`ETag` that the item must have still; else nothing is changed and the answer is 412.",
    ),
]  # fmt: skip
WRITES: Any = {"dependencies": [needs("items")], "responses": {s: RESPONSES[s] for s in (400, 412, 413, 415, 422, 503)}}


@router.get(
    "/{item_id:recsys_id}",
    dependencies=[needs("recommend")],
    responses={status: RESPONSES[status] for status in (404, 422, 503)},
)
async def show_item(
    item_id: AnyItemId, services: ServicesDep, request_id: RequestId, response: Response, variant: ChosenVariant = None
) -> ItemSummary:
    """What is known of an item: what the bundle says, and what was changed since. Of several variants, the first."""
    variant_set = services.deployments.variant_set
    chosen = variant_set.variants[0] if variant is None else variant_set.named(variant)
    found = await to_thread.run_sync(services.items.describe, chosen.catalogue, item_id)
    if found is None or found.is_deleted:
        raise UnknownItemError(item_id)
    told = summary_of(found, item_id, request_id)
    response.headers["ETag"] = etag(told)
    return ItemSummary(**told)


@router.post(
    "",
    dependencies=[needs("items")],
    responses={s: RESPONSES[s] for s in (400, 413, 415, 422, 503)},
    response_model=ItemReceipt,
)
async def change_items(sent: ItemChanges, services: ServicesDep, access: AccessDep) -> Response:
    """Change one item or many. What is accepted is on disk when this answers, and in every next answer.

    Rows are judged one by one. Sending a row again changes nothing and says so; with a timestamp not even what came
    after it.
    """
    return Response(written(await item_changes.post(sent, services, access)), media_type="application/json")


@router.put("/{item_id:recsys_id}", response_model=ItemSummary, **WRITES)
async def replace_item(
    item_id: AnyItemId, sent: ItemDocument, services: ServicesDep, access: AccessDep, if_match: IfMatch = None
) -> Response:
    """Say all that is known of an item: fields that are not named are nothing, whatever the bundle in service says."""
    return _told(await item_changes.put(sent, services, access, item_id, _expected(if_match)))


@router.patch("/{item_id:recsys_id}", response_model=ItemSummary, **WRITES)
async def patch_item(
    item_id: AnyItemId, sent: ItemPatch, services: ServicesDep, access: AccessDep, if_match: IfMatch = None
) -> Response:
    """Change what is named, remove what is null, leave all else as it is (RFC 7396)."""
    return _told(await item_changes.patch(sent, services, access, item_id, _expected(if_match)))


@router.delete("/{item_id:recsys_id}", response_model=ItemSummary, **WRITES)
async def delete_item(
    item_id: AnyItemId, services: ServicesDep, access: AccessDep, if_match: IfMatch = None
) -> Response:
    """Take an item out of all answers, those of later bundles too. Any further change brings it back."""
    change = ItemChange(item_id, "delete", expected=_expected(if_match))
    return _told(await item_changes.change_one(services, change, access))


FAST_PATH = (
    Line("/v1/items", ItemChanges, item_changes.post, "items"),
    Line("/v1/items/{item_id}", ItemPatch, item_changes.patch, "items", "PATCH", etag),
    Line("/v1/items/{item_id}", ItemDocument, item_changes.put, "items", "PUT", etag),
)


def _told(summary: dict[str, Any]) -> Response:
    return Response(written(summary), media_type="application/json", headers={"ETag": etag(summary)})


def _expected(if_match: str | None) -> int | None:
    return None if if_match is None else int(if_match.strip('"'))
