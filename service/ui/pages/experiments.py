"""/ui/experiments: whether a variant is better, how sure that is, and how long still."""

from functools import partial
from typing import Final

from fastapi import Request, Response

from service.http.dependencies import AccessDep, ServicesDep
from service.ui.experiment_views import View, view
from service.ui.remembered import Remembered
from service.ui.rendering import page
from service.ui.routing import page_router

REMEMBERED: Final[Remembered[View]] = Remembered()

router = page_router()


@router.get("/experiments")
async def show_experiments(request: Request, services: ServicesDep, access: AccessDep) -> Response:
    """How variants fare, counted once a minute; shown to keys that may read what it is counted from."""
    found = None
    if access.opens("histories"):
        await services.exposures.flush()
        count = partial(view, services.store.database, services.deployments.variant_set)
        found = await REMEMBERED.of(services.store, count)
    return page(request, "experiments.html", found=found)
