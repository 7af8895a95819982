"""Engine: from a request to an answer, off the event loop."""

from dataclasses import dataclass, replace

from anyio import CapacityLimiter, to_thread

from recsys_vae.errors import UnavailableError
from recsys_vae.ladder import Ladder
from service.answers import Answer, Notice, Query, SimilarItems, answer, similar
from service.errors import NotReadyError, UnknownItemError
from service.events import UserHistory
from service.histories import Histories


@dataclass(frozen=True)
class Request:
    """A query about somebody.

    Attributes:
        query: what came with the request.
        user_id: whose stored history is joined to it; None for nobody's.
    """

    query: Query
    user_id: str | None = None


class Engine:
    """Answers requests with the bundle that is in service.

    Args:
        histories: of known users.
        compute_threads: requests that are computed at the same time.
    """

    def __init__(self, histories: Histories, compute_threads: int = 1) -> None:
        self._histories = histories
        self._limiter = CapacityLimiter(compute_threads)
        self._ladder: Ladder | None = None

    @property
    def ladder(self) -> Ladder:
        """What is in service.

        Raises:
            NotReadyError: nothing is.
        """
        if self._ladder is None:
            raise NotReadyError
        return self._ladder

    @property
    def is_ready(self) -> bool:
        """Whether anything is in service."""
        return self._ladder is not None

    def put_in_service(self, ladder: Ladder) -> None:
        """From now on answer with this one. Requests under way end with the one that they began with."""
        self._ladder = ladder

    async def recommend(self, request: Request) -> Answer:
        """Rank items for one user.

        Raises:
            NotReadyError: nothing is in service.
        """
        ladder = self.ladder
        query, notices = await self._joined(request)
        found = await to_thread.run_sync(answer, ladder, query, limiter=self._limiter)
        return replace(found, notices=notices + found.notices)

    async def similar(self, item_id: str, k: int) -> SimilarItems:
        """The items most similar to one.

        Raises:
            NotReadyError: nothing is in service.
            UnknownItemError: the catalogue does not hold the item.
        """
        found = await to_thread.run_sync(similar, self.ladder, item_id, k, limiter=self._limiter)
        if found is None:
            raise UnknownItemError(item_id)
        return found

    async def _joined(self, request: Request) -> tuple[Query, tuple[Notice, ...]]:
        if request.user_id is None:
            return request.query, ()
        return await to_thread.run_sync(self._with_stored_history, request.query, request.user_id)

    def _with_stored_history(self, query: Query, user_id: str) -> tuple[Query, tuple[Notice, ...]]:
        try:
            stored = self._histories.history(user_id)
        except UnavailableError:
            message = "The event store does not answer: this user's stored history could not be taken into account."
            return query, (Notice("store_unavailable", message),)
        if not stored.item_ids:
            return query, (Notice("unknown_user", "The event store holds no event of this user."),)
        return replace(query, history=_union(stored, query)), ()


def _union(stored: UserHistory, query: Query) -> dict[str, float]:
    joined = dict(zip(stored.item_ids, stored.weights, strict=True))
    for item_id, weight in query.history.items():
        joined[item_id] = joined.get(item_id, 0.0) + weight
    return joined
