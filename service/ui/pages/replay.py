"""/ui/replay: a list that a user saw, made again beside what was shown."""

from dataclasses import dataclass
from itertools import zip_longest

from anyio import to_thread
from fastapi import Request, Response

from recsys_vae.errors import BundleError
from service.errors import CannotReplayError, NotShownError
from service.http.dependencies import AccessDep, Services, ServicesDep
from service.http.replay import Replay
from service.http.routes.replays import replays
from service.ui.cards import Card, cards, columns_of
from service.ui.rendering import page
from service.ui.routing import page_router

router = page_router()


@dataclass(frozen=True)
class Shown:
    """A list, made again, with cards of its items as they are now.

    Attributes:
        found: both lists.
        places: cards of what was shown and of what was made again, side by side; None where a list has ended.
    """

    found: Replay
    places: tuple[tuple[Card | None, Card | None], ...]


@router.get("/replay")
async def show_replay(
    request: Request, services: ServicesDep, access: AccessDep, request_id: str = "", user_id: str = ""
) -> Response:
    """A form, and what came of it; a list is made again for keys that may ask the API for it."""
    request_id, user_id = request_id.strip(), user_id.strip()
    lists: list[Shown] = []
    refusal = ""
    if request_id and access.opens("admin") and access.opens("histories"):
        try:
            found = await replays(services, request_id, user_id or None)
            lists = await to_thread.run_sync(_with_cards, services, found)
        except (BundleError, CannotReplayError, NotShownError) as error:
            refusal = str(error)
    return page(request, "replay.html", request_id=request_id, user_id=user_id, lists=lists, refusal=refusal)


def _with_cards(services: Services, found: list[Replay]) -> list[Shown]:
    variant_set = services.deployments.variant_set
    catalogue, columns = variant_set.variants[0].catalogue, columns_of(variant_set)
    known = cards(catalogue, [item for one in found for item in (*one.shown, *one.rebuilt)], columns)

    def card_of(item_id: str | None) -> Card | None:
        return None if item_id is None else known[item_id]

    return [
        Shown(one, tuple((card_of(a), card_of(b)) for a, b in zip_longest(one.shown, one.rebuilt))) for one in found
    ]
