"""GET /v1/admin/replay: a list that a user saw, made again."""

from asyncio import Lock
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from service import timestamps
from service.deployment.past_bundles import PastBundles
from service.http.dependencies import AccessDep, Services, ServicesDep
from service.http.replay import Replay, Replayer
from service.problems import RESPONSES
from service.schemas.common import Id
from service.schemas.replays import ReplayAnswer, ReplayedList
from service.security.authorization import also, needs
from service.store.deployments import DeploymentTable

HISTORIES: Final = "making a list again needs: it tells what was shown to a user"

router = APIRouter(prefix="/v1/admin", tags=["operation"])


@router.get(
    "/replay/{request_id:recsys_id}",
    dependencies=[needs("admin")],
    responses={status: RESPONSES[status] for status in (404, 409, 422, 503)},
    openapi_extra=also("admin", "histories"),
)
async def replay(
    request_id: Annotated[Id, Path(description="Of the answer, as events name it.", examples=["9c01"])],
    services: ServicesDep,
    access: AccessDep,
    user_id: Annotated[
        Id | None, Query(description="Whose list, of a batch; if not given, the first 100.", examples=["42"])
    ] = None,
) -> ReplayAnswer:
    """Make a list again from what was kept with it, and say whether it is identical; nothing is counted or kept.

    Needs the scope `histories` too. 409 where what it was made from is no longer there.
    """
    access.demand("histories", HISTORIES)
    found = await replays(services, request_id, user_id)
    return ReplayAnswer(
        request_id=access.request_id,
        replayed=request_id,
        identical=all(one.is_identical for one in found),
        lists=[_listed(one) for one in found],
    )


async def replays(services: Services, request_id: str, user_id: str | None = None) -> list[Replay]:
    """The lists of a request, made again, one request after the other.

    Raises:
        NotShownError: none is kept.
        CannotReplayError: what one was made from is no longer there.
        BundleError: its bundle is nowhere.
        UnavailableError: the store does not answer.
    """
    await services.exposures.flush()
    bundles = PastBundles(DeploymentTable(services.store.database), services.settings, services.deployments.held())
    async with _ONE_AT_A_TIME:
        return await Replayer(services.store, bundles).lists(request_id, user_id)


_ONE_AT_A_TIME: Final = Lock()
"""Each has a catalogue of its own, with the metadata of all items."""


def _listed(one: Replay) -> ReplayedList:
    return ReplayedList(
        user_id=one.user_id,
        variant=one.variant,
        model_version=one.model_version,
        generation=one.generation,
        answered_at=timestamps.from_microseconds(one.answered_at),
        identical=one.is_identical,
        rounding_only=one.is_rounding,
        first_difference=one.first_difference,
        shown=list(one.shown),
        rebuilt=list(one.rebuilt),
    )
