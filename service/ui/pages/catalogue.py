"""/ui/catalogue: all items: found, filtered and sorted, a page at a time; cold ones, never shown ones, hidden ones."""

from typing import Any

from anyio import to_thread
from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from recsys_vae.errors import fault_text
from service.errors import FieldError
from service.http.dependencies import AccessDep, Services, ServicesDep
from service.http.routes.recommendations import is_noted
from service.ranking.served_model import Catalogue
from service.ui.browse import OF_RECORD, SHOWN, SHOWS, UNKNOWN, Browse
from service.ui.cards import columns_of
from service.ui.catalogue_view import Line, Rows, lines_of, mask_of, page_of, shown_of, sorts_of, spread, unknown_lines
from service.ui.item_search import SEARCHERS
from service.ui.play import OPERATIONS
from service.ui.rendering import page
from service.ui.routing import page_router

router = page_router()


@router.get("/catalogue")
async def show_catalogue(request: Request, services: ServicesDep, access: AccessDep) -> Response:
    """A page of items, and what holds of all of them."""
    asked = Browse.read(request.query_params)
    if not access.opens("recommend"):
        return page(request, "catalogue.html", asked=asked)
    if request.query_params.get("apply"):
        return RedirectResponse(f"/ui/catalogue{asked.first.query}", 303)
    variant_set = services.deployments.variant_set
    chosen = variant_set.named(asked.variant) if asked.variant else variant_set.variants[0]
    if access.opens("histories"):
        await services.exposures.flush()
    may_look = access.opens("histories")
    told = await to_thread.run_sync(_told, services, chosen.catalogue, asked, may_look, limiter=SEARCHERS)
    return page(
        request,
        "catalogue.html",
        asked=asked,
        variants=[one.name for one in variant_set.variants],
        is_noted=is_noted(variant_set, services),
        shows=list(SHOWS.items()),
        operations=OPERATIONS,
        of_record=OF_RECORD,
        **told,
    )


def _told(services: Services, catalogue: Catalogue, asked: Browse, may_look: bool) -> dict[str, Any]:
    """What the template shows of the items; beside the event loop."""
    services.items.settle([catalogue])
    columns = columns_of(services.deployments.variant_set)
    shown, outage = shown_of(services, catalogue) if may_look else (None, "")
    rows, unknown = Rows(catalogue, shown), services.items.unknown(catalogue)
    lines, faults, n_found = list[Line](), list[str](), 0
    before = after = None
    try:
        if asked.show == UNKNOWN:
            lines, n_found, before, after = unknown_lines(services, unknown, asked, columns)
        else:
            mask = mask_of(rows, asked, columns)
            chosen, before, after = page_of(rows, asked, mask)
            lines, n_found = lines_of(rows, chosen, columns), int(mask.sum())
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault_text(fault)}" for fault in error.errors()]
    except (FieldError, ValueError) as error:
        faults = [str(error)]
    return {
        "lines": lines,
        "n_found": n_found,
        "before": None if before is None else f"/ui/catalogue{asked.page(before=before).query}",
        "after": None if after is None else f"/ui/catalogue{asked.page(after=after).query}",
        "faults": faults,
        "totals": rows.totals(len(unknown)),
        "shown": shown,
        "outage": outage,
        "columns": list(catalogue.filters.columns),
        "sorts": sorts_of(catalogue, shown),
        "is_unsorted": asked.sort == SHOWN and shown is None,
        "spreads": _spreads(rows),
    }


def _spreads(rows: Rows) -> list[Any]:
    charts = [spread(rows.popularity, "Items by how many users they were learned from")]
    if rows.shown is not None:
        charts.append(spread(rows.shown.lists[rows.showable], "Items by how many of the lists held them"))
    return charts
