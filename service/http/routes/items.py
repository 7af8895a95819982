"""/v1/items: what is known of an item; what changes about items, at once and everywhere."""

from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Response

from service import timestamps
from service.errors import FieldError, OutdatedError, UnknownItemError
from service.http.dependencies import AccessDep, RequestId, Services, ServicesDep
from service.http.item_changes import Taken, receipt, take
from service.problems import RESPONSES
from service.ranking.served_model import Catalogue
from service.schemas.common import Id
from service.schemas.deployments import ChosenVariant
from service.schemas.items import ItemChanges, ItemDocument, ItemPatch, ItemReceipt, ItemSummary
from service.security.access import Access
from service.security.authorization import needs
from service.store.item_records import ItemChange
from service.store.item_rows import read_all
from service.store.items import ItemFate, Outcome

router = APIRouter(prefix="/v1/items", tags=["items"])

ITEMS_A_REQUEST = 50
"""Changes that a rate limit counts as one request."""
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
    found = await _summary(services, item_id, request_id, _variant(services, variant).catalogue)
    if found is None or found.deleted:
        raise UnknownItemError(item_id)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.post("", dependencies=[needs("items")], responses={s: RESPONSES[s] for s in (400, 413, 415, 422, 503)})
async def change_items(sent: ItemChanges, services: ServicesDep, access: AccessDep) -> ItemReceipt:
    """Change one item or many. What is accepted is on disk when this answers, and in every next answer.

    Rows are judged one by one. Sending a row again changes nothing and says so; with a timestamp not even what came
    after it.
    """
    await access.pay(len(sent.items) / ITEMS_A_REQUEST)
    read_and_take = partial(_read_and_take, services, sent.items, access)
    taken = await to_thread.run_sync(read_and_take, limiter=services.writers)
    return receipt(access.request_id, sent.items, taken)


@router.put("/{item_id:recsys_id}", **WRITES)
async def replace_item(
    item_id: AnyItemId,
    sent: ItemDocument,
    services: ServicesDep,
    access: AccessDep,
    response: Response,
    if_match: IfMatch = None,
) -> ItemSummary:
    """Say all that is known of an item: fields that are not named are nothing, whatever the bundle in service says."""
    change = ItemChange(item_id, "replace", sent.fields, sent.hidden, expected=_expected(if_match))
    return await _change(services, change, access, response)


@router.patch("/{item_id:recsys_id}", **WRITES)
async def patch_item(
    item_id: AnyItemId,
    sent: ItemPatch,
    services: ServicesDep,
    access: AccessDep,
    response: Response,
    if_match: IfMatch = None,
) -> ItemSummary:
    """Change what is named, remove what is null, leave all else as it is (RFC 7396)."""
    change = ItemChange(item_id, "merge", sent.fields, sent.hidden, expected=_expected(if_match))
    return await _change(services, change, access, response)


@router.delete("/{item_id:recsys_id}", **WRITES)
async def delete_item(
    item_id: AnyItemId, services: ServicesDep, access: AccessDep, response: Response, if_match: IfMatch = None
) -> ItemSummary:
    """Take an item out of all answers, those of later bundles too. Any further change brings it back."""
    return await _change(services, ItemChange(item_id, "delete", expected=_expected(if_match)), access, response)


def _read_and_take(services: Services, sent: list[Any], access: Access) -> list[Taken]:
    return take(services, read_all(sent), access)


async def _change(services: Services, change: ItemChange, access: Access, response: Response) -> ItemSummary:
    [outcome] = await to_thread.run_sync(partial(take, services, [change], access), limiter=services.writers)
    _check(outcome, change)
    catalogue = services.deployments.variant_set.variants[0].catalogue
    found = await _summary(services, change.item_id, access.request_id, catalogue)
    assert found is not None
    response.headers["ETag"] = f'"{found.version}"'
    return found


def _check(outcome: Taken, change: ItemChange) -> None:
    assert isinstance(outcome, Outcome)
    if outcome.fate is ItemFate.OUTDATED:
        raise OutdatedError(change.item_id, outcome.reason or "")
    if outcome.fate is ItemFate.MISFIT:
        place, _, message = (outcome.reason or "").partition(": ")
        raise FieldError(f"body.{place}", message)


async def _summary(services: Services, item_id: str, request_id: str, catalogue: Catalogue) -> ItemSummary | None:
    found = await to_thread.run_sync(services.items.describe, catalogue, item_id)
    if found is None:
        return None
    return ItemSummary(
        request_id=request_id,
        item_id=item_id,
        version=found.sequence,
        fields=dict(found.fields),
        hidden=found.is_hidden,
        deleted=found.is_deleted,
        in_model=found.is_in_model,
        changed_at=None if found.changed_at is None else timestamps.from_microseconds(found.changed_at),
    )


def _variant(services: Services, name: str | None) -> Any:
    variant_set = services.deployments.variant_set
    return variant_set.variants[0] if name is None else variant_set.named(name)


def _expected(if_match: str | None) -> int | None:
    return None if if_match is None else int(if_match.strip('"'))
