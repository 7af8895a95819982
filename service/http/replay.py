"""Replay: a list that a user saw, made again from what was kept with it, and held against what was shown.

What was shown, to whom and by which bundle is in its row; so is its recipe: the request, how far the history had been
read, after which change of items it was made, and what was drawn. The list is made by the engine that makes all lists,
one of its own, which sees history and items as they were.

Scores are float32 numbers whose last bits differ with the size of the batch that they were computed in. Lists that
differ in items alone whose scores are within 1e-5 of each other, the first ones beyond the end among them, are told
apart from others.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from anyio import to_thread

from recsys_vae.data.purchases import DAY
from recsys_vae.data.signal_rules import SignalRules
from recsys_vae.errors import DataError, RecsysError, UnavailableError
from service.deployment.past_bundles import PastBundles
from service.errors import CannotReplayError, NotShownError
from service.http.conversion import to_request
from service.ranking.batches import Limits
from service.ranking.engine import Engine
from service.ranking.interleaving import Teams
from service.ranking.pages import Page
from service.ranking.past_items import PastItems, PastState
from service.ranking.served_model import Catalogue
from service.schemas.recommendations import RecommendationRequest
from service.store.events import EventStore
from service.store.impressions import HeldExposure, ImpressionTable
from service.store.item_versions import items_as_of
from service.store.recipes import Recipe, read_recipe
from service.store.user_history import UserHistory

MOST_LISTS: Final = 100
"""Lists of one request, as of a batch, that are made again at a time."""
BEYOND: Final = 3
"""Items after the end of a list that may have been in it by chance."""
ROUNDING: Final = 1e-5
"""Relative difference of float32 scores up to which their order is chance."""
LIMITS: Final = Limits(compute_threads=1, deadline_seconds=120.0)


@dataclass(frozen=True)
class Replay:
    """A list as it was shown and as it was made again.

    Attributes:
        request_id: of the answer.
        user_id: whom it was for; None where the request named nobody.
        variant: that answered.
        model_version: of its bundle.
        generation: of the deployment that answered.
        answered_at: in microseconds since 1970, UTC.
        shown: ids, best first.
        rebuilt: ids, best first.
        scores: of what was rebuilt.
        beyond: items that come next, with their scores, where what was shown holds others than what was rebuilt.
    """

    request_id: str
    user_id: str | None
    variant: str
    model_version: str
    generation: int
    answered_at: int
    shown: tuple[str, ...]
    rebuilt: tuple[str, ...]
    scores: tuple[float, ...]
    beyond: tuple[tuple[str, float], ...] = ()

    @property
    def is_identical(self) -> bool:
        """Whether it is the same list."""
        return self.shown == self.rebuilt

    @property
    def first_difference(self) -> int | None:
        """The first place, from 1, with another item; None where there is none."""
        if self.is_identical:
            return None
        pairs = zip(self.shown, self.rebuilt, strict=False)
        shorter = min(len(self.shown), len(self.rebuilt))
        return 1 + next((place for place, (one, other) in enumerate(pairs) if one != other), shorter)

    @property
    def is_rounding(self) -> bool:
        """Whether it differs, and only in items whose scores are as good as equal."""
        score = dict(zip(self.rebuilt, self.scores, strict=True)) | dict(self.beyond)
        if self.is_identical or len(self.shown) != len(self.rebuilt) or not set(self.shown) <= score.keys():
            return False
        pairs = ((score[one], score[other]) for one, other in zip(self.shown, self.rebuilt, strict=True))
        return all(abs(one - other) <= ROUNDING * max(abs(one), abs(other)) for one, other in pairs)


class PastHistories:
    """The history that was read for one list.

    Args:
        store: of the events.
        recipe: which says how far it was read.
    """

    def __init__(self, store: EventStore, recipe: Recipe) -> None:
        self._store = store
        self._recipe = recipe

    def at_hand(self, user_id: str, rules: Iterable[SignalRules]) -> UserHistory | None:
        """Nothing is."""
        return None

    def history(self, user_id: str, until: int | None = None) -> UserHistory:
        """The history as it was.

        Raises:
            UnavailableError: it could not be read then, or cannot now.
            CannotReplayError: it is no longer what it was.
        """
        recipe = self._recipe
        if recipe.history is None:
            raise UnavailableError("The store did not answer when the list was made.")
        found = self._store.history(user_id, recipe.history)
        if (found.sequence, len(found.events)) != (recipe.history, recipe.n_events):
            raise CannotReplayError(
                f"The history that this list was made from is no longer held: it had {recipe.n_events:,} events, and "
                f"{len(found.events):,} of them are left."
            )
        return found


@dataclass(frozen=True)
class Replayer:
    """Makes lists again.

    Attributes:
        store: of the events.
        bundles: that were in service.
    """

    store: EventStore
    bundles: PastBundles

    async def lists(self, request_id: str, user_id: str | None = None) -> list[Replay]:
        """Every list that was answered under an id, made again; of one user only, if one is named.

        Raises:
            NotShownError: none is kept.
            CannotReplayError: what one was made from is no longer there.
            BundleError: its bundle is nowhere.
            UnavailableError: the store does not answer.
        """
        table = ImpressionTable(self.store.database)
        shown = await to_thread.run_sync(table.of_request, request_id, user_id, MOST_LISTS)
        if not shown:
            raise NotShownError(request_id)
        return [await self._again(user, one) for user, one in shown]

    async def _again(self, user_id: str | None, shown: HeldExposure) -> Replay:
        if shown.recipe is None:
            raise CannotReplayError(
                "Nothing was kept that this list could be made from again: it is older than that, or holds rows of "
                "several lists."
            )
        recipe = read_recipe(shown.recipe)
        found = await self._made_again(user_id, shown, recipe)
        if set(found.shown) != set(found.rebuilt):
            found = replace(found, beyond=await self._beyond(user_id, shown, recipe, found))
        return found

    async def _beyond(
        self, user_id: str | None, shown: HeldExposure, recipe: Recipe, found: Replay
    ) -> tuple[tuple[str, float], ...]:
        """What comes after a list that was made again; nothing where a longer one begins otherwise."""
        n = len(found.rebuilt)
        longer = replace(recipe, body=recipe.body | {"k": n + BEYOND})
        try:
            made = await self._made_again(user_id, shown, longer)
        except CannotReplayError:
            return ()
        if made.rebuilt[:n] != found.rebuilt:
            return ()
        return tuple(zip(made.rebuilt[n:], made.scores[n:], strict=True))

    async def _made_again(self, user_id: str | None, shown: HeldExposure, recipe: Recipe) -> Replay:
        versions = shown.model_version.split("+")
        catalogues = [await to_thread.run_sync(self._catalogue, version) for version in versions]
        states = {
            catalogue: await to_thread.run_sync(self._state, sequence)
            for catalogue, sequence in zip(catalogues, recipe.items[-len(catalogues) :], strict=True)
        }
        past = PastItems(states, recipe.explore)
        page = await self._made(user_id, shown, recipe, catalogues, past)
        return Replay(
            shown.request_id, user_id, shown.variant, shown.model_version, recipe.generation, shown.answered_at,
            shown.items, tuple(item.item_id for item in page.answer.items),
            tuple(item.score for item in page.answer.items),
        )  # fmt: skip

    async def _made(
        self,
        user_id: str | None,
        shown: HeldExposure,
        recipe: Recipe,
        catalogues: Sequence[Catalogue],
        items: PastItems,
    ) -> Page:
        day = recipe.day or 0
        engine = Engine(PastHistories(self.store, recipe), LIMITS, items=items, clock=lambda: day * DAY)
        try:
            asked = RecommendationRequest.model_validate(recipe.body | {"user_id": user_id})
            request = replace(to_request(asked), seed=recipe.seed)
            if len(catalogues) == 1:
                return await engine.recommend(catalogues[0], request)
            first, second = shown.variant.split("+")
            teams = Teams((first, second), (catalogues[0], catalogues[1]), recipe.draft)
            return await engine.recommend_together(teams, request)
        except (CannotReplayError, UnavailableError):
            raise
        except (RecsysError, ValueError) as error:
            raise CannotReplayError(f"The request is not answered any more: {error}") from error
        finally:
            engine.close()

    def _state(self, sequence: int) -> PastState:
        try:
            return PastState(items_as_of(self.store.database, sequence), sequence)
        except DataError as error:
            raise CannotReplayError(str(error)) from error

    def _catalogue(self, version: str) -> Catalogue:
        """With items of its own: those in service show what they are now."""
        return Catalogue(self.bundles.chain(version))


def replayed(replayer: Replayer, request_id: str, user_id: str | None) -> list[Replay]:
    """The same for whoever has no event loop."""
    return asyncio.run(replayer.lists(request_id, user_id))
