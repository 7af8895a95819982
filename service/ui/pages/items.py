"""/ui/items: one item: its fields, who gets it, what is like it; hide it, show it again, edit what is live."""

from typing import Annotated, Any, Final
from urllib.parse import quote

from anyio import to_thread
from fastapi import HTTPException, Path, Request, Response
from fastapi.responses import RedirectResponse

from service.http.dependencies import AccessDep, Services, ServicesDep
from service.http.item_changes import misfit, take
from service.schemas.common import Id
from service.store.item_records import ItemChange
from service.store.items import ItemFate, Outcome
from service.ui.cards import cards, columns_of
from service.ui.forms import form_of
from service.ui.item_edit import KINDS, Edit, boxes_of, read_edit
from service.ui.item_facts import ItemFacts
from service.ui.item_search import find_items
from service.ui.item_view import ItemLook
from service.ui.rendering import page
from service.ui.routing import page_router

FOUND: Final = 20
"""Items that a search shows."""
LATELY: Final = 10
CHANGED: Final = "The item was changed meanwhile. Look at it as it is now, and change it again if it is still wanted."

router = page_router()
ItemId = Annotated[Id, Path()]


@router.get("/items")
async def show_search(request: Request, services: ServicesDep, access: AccessDep, find: str = "") -> Response:
    """Find items by id or by words of their titles; those that were changed last."""
    told: dict[str, Any] = {"found": [], "changed": []}
    if access.opens("recommend"):
        variant_set = services.deployments.variant_set
        catalogue, columns = variant_set.variants[0].catalogue, columns_of(variant_set)
        await to_thread.run_sync(services.items.settle, [catalogue])
        live = services.items.lately(LATELY)
        ids = await find_items(catalogue, find, columns, FOUND) if find else []
        if find and services.items.held(find) is not None and find not in ids:
            ids = [find, *ids]
        held = await to_thread.run_sync(cards, catalogue, [*ids, *(one.item_id for one in live)], columns)
        told = {
            "found": [held[one] for one in ids],
            "changed": [(held[one.item_id], one.record) for one in live],
        }
    return page(request, "items.html", find=find, **told)


@router.get("/items/{item_id:recsys_id}")
async def show_item(
    request: Request, item_id: ItemId, services: ServicesDep, access: AccessDep, variant: str = ""
) -> Response:
    """One item."""
    if not access.opens("recommend"):
        return page(request, "item.html", item_id=item_id, variant=variant, variants=[])
    look, found = await _looked(services, access, item_id, variant)
    told = await look.view(found)
    names = [one.name for one in services.deployments.variant_set.variants]
    return page(request, "item.html", item_id=item_id, variant=variant, variants=names, found=found, **told)


@router.get("/items/{item_id:recsys_id}/edit")
async def show_edit(request: Request, item_id: ItemId, services: ServicesDep, access: AccessDep) -> Response:
    """The form of an item's fields."""
    _demand(access)
    look, found = await _looked(services, access, item_id)
    types, kinds = await _types(look)
    return _form(request, item_id, found, Edit(boxes_of(found, types, kinds)))


@router.post("/items/{item_id:recsys_id}/review")
async def review(request: Request, item_id: ItemId, services: ServicesDep, access: AccessDep) -> Response:
    """What would change, to be confirmed; nothing is changed yet."""
    _demand(access)
    _, found, edit = await _edited(request, services, access, item_id)
    if edit.version != found.described.sequence:
        return _form(request, item_id, found, edit, [CHANGED], 409)
    if edit.has_faults or not edit.changes:
        faults = [] if edit.has_faults else ["Nothing is other than it is."]
        return _form(request, item_id, found, edit, faults, 422)
    if (unfit := misfit(edit.fields, list(services.deployments.variant_set.catalogues.values()))) is not None:
        return _form(request, item_id, found, edit, [unfit.reason or ""], 422)
    return page(request, "item_review.html", item_id=item_id, edit=edit)


@router.post("/items/{item_id:recsys_id}/change")
async def change(request: Request, item_id: ItemId, services: ServicesDep, access: AccessDep) -> Response:
    """Change what was confirmed, unless the item was changed meanwhile."""
    _demand(access)
    _, found, edit = await _edited(request, services, access, item_id)
    if edit.has_faults or not edit.changes:
        return _form(request, item_id, found, edit, ["Nothing was changed."], 422)
    asked = ItemChange(item_id, "merge", edit.fields, edit.hidden, expected=edit.version)
    [outcome] = await take(services, [asked], access)
    assert isinstance(outcome, Outcome)
    if outcome.fate is ItemFate.OUTDATED:
        return _form(request, item_id, found, edit, [CHANGED], 409)
    if outcome.fate is ItemFate.MISFIT:
        return _form(request, item_id, found, edit, [outcome.reason or ""], 422)
    return RedirectResponse(f"/ui/items/{quote(item_id, safe='')}", 303)


def _demand(access: AccessDep) -> None:
    access.demand("recommend", "the fields of items need")
    access.demand("items", "changing items needs")


async def _looked(services: Services, access: AccessDep, item_id: str, variant: str = "") -> tuple[ItemLook, ItemFacts]:
    look = ItemLook(services, access, item_id, variant or None)
    found = await look.facts()
    if found is None:
        raise HTTPException(
            404, "No item has this id, neither in the bundle in service nor among those that came since."
        )
    return look, found


async def _types(look: ItemLook) -> tuple[dict[str, str], dict[str, str]]:
    """Types of the columns in service, and kinds of the fields that were ever given."""
    kinds = await to_thread.run_sync(look.services.item_store.fields)
    return look.catalogue.filters.columns, kinds


async def _edited(
    request: Request, services: Services, access: AccessDep, item_id: str
) -> tuple[ItemLook, ItemFacts, Edit]:
    look, found = await _looked(services, access, item_id)
    types, kinds = await _types(look)
    return look, found, read_edit(await form_of(request), found, types, kinds)


def _form(
    request: Request, item_id: str, found: ItemFacts, edit: Edit, faults: list[str] | None = None, status: int = 200
) -> Response:
    version = found.described.sequence
    told = {"item_id": item_id, "found": found, "edit": edit, "faults": faults or [], "kinds": KINDS}
    return page(request, "item_edit.html", status, item_version=version, **told)
