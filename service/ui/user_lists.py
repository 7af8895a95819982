"""Lists for a page: asked of the engine as the API asks it, with a history that a person may have changed.

Without a change of the history, the request names the user, as one to the API does. An item of a stored history can
only be left out by whoever may read it: then the stored events but for those of the item are sent, and no user is
named.
"""

from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, Final

from anyio import to_thread

from recsys_vae.data.histories import History
from service.deployment.variants import Assignment, VariantSet
from service.http.conversion import to_request
from service.http.dependencies import Services
from service.http.routes.recommendations import preview
from service.ranking.pages import Request
from service.ranking.served_model import NO_RULES, Catalogue
from service.schemas.recommendations import RecommendationRequest
from service.security.access import Access
from service.store.user_history import UserEvents, UserHistory, history_of
from service.ui.cards import Columns, columns_of
from service.ui.play import Play

FLOW: Final = "ui"


@dataclass(frozen=True)
class Asker:
    """Asks for lists of one user, all with the variants that are in service now.

    Attributes:
        services: of the application.
        access: of the key that asks.
        user_id: whose lists.
        play: what is changed.
        variant_set: what is in service.
        stored: what is known of the user; None where the key may not read it.
    """

    services: Services
    access: Access
    user_id: str
    play: Play
    variant_set: VariantSet
    stored: UserHistory | None

    @classmethod
    async def of(cls, services: Services, access: Access, user_id: str, play: Play) -> "Asker":
        """With the user's history, where the key may read it."""
        stored = None
        if access.opens("histories"):
            stored = await to_thread.run_sync(services.histories.history, user_id)
        return cls(services, access, user_id, play, services.deployments.variant_set, stored)

    @property
    def assignment(self) -> Assignment:
        """The variant that answers the user."""
        return self.variant_set.assign(f"user {self.user_id}", self.play.variant or None)

    @property
    def catalogue(self) -> Catalogue:
        """Of that variant."""
        return self.assignment.variant.catalogue

    @property
    def columns(self) -> Columns:
        """That cards show."""
        return columns_of(self.variant_set)

    async def ask(self, play: Play, **changes: Any) -> dict[str, Any]:
        """The fields of `Recommendations`.

        Args:
            play: what is changed.
            changes: of the request's body.

        Raises:
            ValidationError: what was typed is no request.
        """
        body = play.body(self.catalogue.filters.columns) | {"user_id": self.user_id, "history": list(play.add)}
        sent = RecommendationRequest.model_validate(body | changes)
        request = to_request(sent, f"{self.access.caller.name} {FLOW}")
        chosen = play.variant or None
        if play.drop and self.stored is not None:
            request, chosen = self._without(request, self.stored.events, play), self.assignment.variant.name
        return await preview(request, self.services, self.access, chosen)

    def history(self) -> tuple[UserEvents, History]:
        """Stored events, and the signed weights that the bundle's rules make of them."""
        assert self.stored is not None
        return self.stored.events, self.stored.under(self.catalogue.rules)

    def _without(self, request: Request, events: UserEvents, play: Play) -> Request:
        """A request that sends the stored history without what was taken out of it."""
        keeps = [item_id not in play.drop for item_id in events.item_ids]
        left = UserEvents(
            tuple(compress(events.item_ids, keeps)),
            tuple(compress(events.kinds, keeps)),
            tuple(compress(events.values, keeps)),
            tuple(compress(events.times, keeps)),
            tuple(compress(events.are_final, keeps)),
        )
        sent = left.then(UserEvents.of_ids(play.add))
        history = history_of(sent, NO_RULES)
        return replace(request, user_id=None, sent=sent, query=replace(request.query, history=history))
