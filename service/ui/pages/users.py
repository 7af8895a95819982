"""/ui/users: what a user gets, why this and why not that; play with history and rules."""

import asyncio
from typing import Annotated, Any, Final
from urllib.parse import quote

from anyio import to_thread
from fastapi import Path, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from recsys_vae.errors import fault_text
from service.errors import FieldError
from service.http.dependencies import AccessDep, ServicesDep
from service.schemas.common import MAX_K, Id
from service.store.users import users_beginning_with, users_of_late
from service.ui import list_views
from service.ui.courtesy import in_turn
from service.ui.item_search import find_items
from service.ui.play import MOST_K, OPERATIONS, Play
from service.ui.rendering import page
from service.ui.routing import page_router
from service.ui.user_lists import Asker
from service.ui.why_not import deep_list, why_not

FOUND: Final = 20
"""Users that a search shows."""
BEFORE: Final = 5
"""Of the list before the changes as many times more places are asked for, to say where an item came from."""
ROW: Final = ("f_column", "f_op", "f_value", "b_column", "b_value", "b_factor", "c_column", "c_n", "find")
"""Fields of the form that are folded into the address."""

router = page_router()
UserId = Annotated[Id, Path()]


@router.get("/users")
async def find_users(request: Request, services: ServicesDep, access: AccessDep, user: str = "") -> Response:
    """Find a user by the beginning of the id, or enter one."""
    found: list[str] = []
    if access.opens("histories"):
        database = services.store.database
        if user:
            found = await to_thread.run_sync(users_beginning_with, database, user, FOUND)
        else:
            found = await to_thread.run_sync(users_of_late, database, FOUND)
    return page(request, "users.html", user=user, found=found)


@router.get("/users/{user_id:recsys_id}")
async def show_user(request: Request, user_id: UserId, services: ServicesDep, access: AccessDep) -> Response:
    """One user: history beside list, and what is changed about the question."""
    play = Play.read(request.query_params)
    asker = await Asker.of(services, access, user_id, play)
    if any(request.query_params.get(name) for name in ROW) or "apply" in request.query_params:
        return await _folded(request, asker)
    shown = await _shown(asker) if access.opens("recommend") else {}
    return page(request, "user.html", user_id=user_id, play=play, **_form(asker), **shown)


async def _folded(request: Request, asker: Asker) -> Response:
    """To the address that says what the form does, or, where several items may be meant, with them to choose from."""
    play, text = asker.play.with_row(request.query_params), request.query_params.get("find", "").strip()
    wants_reason = request.query_params.get("do") == "why"
    if text and asker.access.opens("recommend"):
        found = await find_items(asker.catalogue, text, asker.columns)
        if len(found) != 1:
            place = {"find": text, "do": "why" if wants_reason else "add"}
            shown = await _shown(asker)
            views = await to_thread.run_sync(list_views.cards_of, asker, found)
            return page(
                request, "user.html", user_id=asker.user_id, play=play, **_form(asker), **(shown | place), choices=views
            )
        play = play.asking(found[0]) if wants_reason else play.adding(found[0])
    return RedirectResponse(f"/ui/users/{quote(asker.user_id, safe='')}{play.query}", 303)


async def _shown(asker: Asker) -> dict[str, Any]:
    """The list, what moved, the history, and the answer to why not; or what is wrong with what was typed."""
    try:
        return await _answered(asker)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault_text(fault)}" for fault in error.errors()]
        return {"faults": faults}
    except FieldError as error:
        return {"faults": [str(error)]}


async def _answered(asker: Asker) -> dict[str, Any]:
    play, names = asker.play, asker.columns.names
    explains = play.why and asker.access.opens("explain")
    asked = asker.ask(play, fields=names, explain=explains)
    before = asker.ask(Play(variant=play.variant), k=min(MAX_K, BEFORE * play.k)) if play.changes else _nothing()
    deep = deep_list(asker) if play.item and asker.access.opens("explain") else _nothing()
    answer, former, further = await asyncio.gather(asked, before, deep)
    assert answer is not None
    told = {} if further is None else {"why_not": await why_not(asker, play.item, answer, further)}
    return await in_turn(asker.services.engine, list_views.view, asker, answer, former, told)


async def _nothing() -> None:
    """What nobody asks for."""


def _form(asker: Asker) -> dict[str, Any]:
    """What the form of changes offers."""
    schema = asker.catalogue.chain.bundle.tiers.schema
    return {
        "metadata": dict(asker.play.metadata),
        "columns": list(asker.catalogue.filters.columns),
        "operations": OPERATIONS,
        "fields": [(block.name, block.values) for block in schema.blocks] if schema is not None else [],
        "variants": [one.name for one in asker.variant_set.variants],
        "most_k": MOST_K,
    }
