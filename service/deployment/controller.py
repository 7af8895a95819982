"""Deployments: what is in service here, kept equal to what the store says is in service everywhere.

    fetch -> verify -> warm up -> write down in the store -> swap          by who is asked (reload, rollback)
    ask the store -> fetch -> verify -> warm up -> swap                    by everybody else

The old set of variants answers until the new one is in its place, and stays there whatever goes wrong before. Loading
happens in a thread, one load at a time. Swapping is one assignment on the event loop: requests under way hold on to
theirs."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from anyio import to_thread

from recsys_vae.errors import BundleError, RecsysError, UnavailableError
from service.deployment.loader import Held, assemble, open_first, open_named, with_source
from service.deployment.variants import VariantSet
from service.errors import BehindError, ConflictError, FieldError, NotReadyError, SourceUnavailableError
from service.settings import Settings
from service.store.deployments import Deployment, DeploymentTable, Plan

logger = logging.getLogger("recsys.service")

LONGEST_PAUSE_SECONDS = 60.0
"""Between attempts to load what is in service and cannot be loaded here."""


async def attempt(step: Callable[[], Awaitable[None]]) -> None:
    """Do something that is done again and again, so that one failure must not end it."""
    try:
        await step()
    except ConflictError as error:
        logger.info("%s", error)  # another replica was faster; the next round follows it
    except RecsysError as error:
        logger.warning("What is in service stays: %s", error)
    except Exception:
        logger.exception("What is in service stays: something unexpected")


class Observer(Protocol):
    """Whoever wants to know what is in service; called on the event loop."""

    def name_lineup(self, variant_set: VariantSet) -> None:
        """This is in service here from now on."""

    def show_behind(self, *, is_behind: bool) -> None:
        """Whether something newer is in service elsewhere."""

    def count_swap(self, result: str) -> None:
        """A bundle was loaded, or was to be: `swapped`, `unchanged`, `rolled-back`, `followed`, `refused`,
        `unavailable`.
        """  # fmt: skip


class Deployments:
    """What is in service here.

    Args:
        settings: which name what to serve, and how often to ask.
        store: what is in service everywhere.
        observer: told of every change.
        variant_set: loaded already; None where nothing is.
    """

    def __init__(
        self, settings: Settings, store: DeploymentTable, observer: Observer, variant_set: VariantSet | None = None
    ) -> None:
        self._settings = settings
        self._store = store
        self._observer = observer
        self._variant_set = variant_set
        self._active = 0
        self._has_met = False
        self._kept: deque[VariantSet] = deque(maxlen=settings.keep_previous)
        self._lock = asyncio.Lock()
        self._pause = 0.0
        self._pause_ends = 0.0

    @property
    def variant_set(self) -> VariantSet:
        """What answers.

        Raises:
            NotReadyError: nothing does yet.
        """
        if self._variant_set is None:
            raise NotReadyError
        return self._variant_set

    @property
    def active(self) -> int:
        """The generation that is in service everywhere, as far as is known here."""
        return self._active

    def check_ready(self) -> None:
        """Whether requests belong here.

        Raises:
            NotReadyError: nothing is in service.
            BehindError: something newer is, and is not loaded yet.
        """
        if self._is_behind:
            raise BehindError(self._active, self.variant_set.generation)
        _ = self.variant_set

    async def begin(self) -> None:
        """Have what the settings name, or what the store says, in service. A store that is down is asked again later.

        Raises:
            BundleError: what the settings name cannot be used.
            UnavailableError: the model registry does not hand it out.
        """
        if self._variant_set is None:
            self._variant_set = await to_thread.run_sync(open_first, self._settings, self._store)
        if self._variant_set is not None:
            self._observer.name_lineup(self._variant_set)
        try:
            async with self._lock:
                await self._meet()
        except UnavailableError as error:
            logger.warning("%s Until it does, stored histories are left out of answers.", error)

    async def run(self) -> None:
        """Ask the store again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            await attempt(self._follow)

    async def reload(self, source: str | None = None, variant: str | None = None) -> bool:
        """Put in service what the settings name, read afresh; or a source as one of the variants. False: it is already.

        Raises:
            FieldError: the source may not be loaded, or there is no such variant.
            BundleError: a bundle cannot be used; what was in service still is.
            SourceUnavailableError: where it is to be taken from does not answer.
            UnavailableError: the store does not answer.
            BehindError: a variant is to be replaced beside others that this replica could not load.
            ConflictError: another load is under way, or something else was put in service meanwhile.
        """
        self._check_idle()
        async with self._lock:
            await self._catch_up()
            if source is None and variant is None:
                variant_set = await self._load(self._named)
            elif self._is_behind:  # the variants that are to stay are not known here
                raise BehindError(self._active, self._generation)
            else:
                held = self._held()
                variant_set = await self._load(
                    lambda: with_source(self.variant_set, source, variant, self._settings, held)
                )
            return await self._put_in_service(variant_set)

    async def rollback(self) -> None:
        """Put in service again what was before.

        Raises:
            ConflictError: nothing was; another load is under way; the earlier bundles cannot be had any more.
            UnavailableError: the store does not answer.
        """
        self._check_idle()
        async with self._lock:
            await self._meet()
            active, target = await to_thread.run_sync(self._before)
            held, sources = self._held(), self._settings.sources
            try:
                variant_set = await to_thread.run_sync(assemble, target, sources, held)
            except BundleError as error:
                self._observer.count_swap("refused")
                raise ConflictError("not-to-be-had", str(error)) from error
            # What aliases name now stays known, else what was rolled back would come again by itself.
            plan = Plan(target.plan.parts, active.plan.aliases)
            made = await to_thread.run_sync(self._store.add, plan, active.generation, target.previous)
            self._swap(replace(variant_set, generation=made.generation, aliases=plan.aliases), "rolled-back")

    def _named(self) -> VariantSet:
        if not self._settings.sources:
            raise FieldError("body.source", "the settings name nothing to load again; name a source")
        return open_named(self._settings.sources, self._held())

    async def _put_in_service(self, variant_set: VariantSet) -> bool:
        current = self._variant_set
        if current is not None and variant_set.plan == current.plan and not self._is_behind:
            self._observer.count_swap("unchanged")
            return False
        after = self._active
        made = await to_thread.run_sync(self._store.add, variant_set.plan, after, after or None)
        self._swap(replace(variant_set, generation=made.generation), "swapped")
        return True

    async def _load(self, load: Callable[[], VariantSet]) -> VariantSet:
        try:
            return await to_thread.run_sync(load)
        except UnavailableError as error:
            self._observer.count_swap("unavailable")
            raise SourceUnavailableError(str(error)) from error
        except BundleError:
            self._observer.count_swap("refused")
            raise

    def _before(self) -> tuple[Deployment, Deployment]:
        """What is in service, and what was before."""
        active = self._store.active()
        target = None if active is None or active.previous is None else self._store.get(active.previous)
        if active is None or target is None:
            raise ConflictError("nothing-before", "Nothing was in service before this that could be gone back to.")
        return active, target

    async def _meet(self) -> None:
        """Settle with the store what is in service, unless that is done."""
        while not self._has_met:
            try:
                await self._settle()
            except ConflictError:  # another one that starts now was faster: look again
                continue
            self._has_met = True

    async def _settle(self) -> None:
        active = await to_thread.run_sync(self._store.active)
        mine = self._variant_set
        if active is not None and mine is not None and active.plan.serves_as(mine.plan):
            self._adopt(replace(mine, generation=active.generation, aliases=active.plan.aliases))
        elif active is not None and (mine is None or self._settings.follow):
            await self._take_over(active)
        elif mine is not None:
            after = 0 if active is None else active.generation
            made = await to_thread.run_sync(self._store.add, mine.plan, after, after or None)
            self._adopt(replace(mine, generation=made.generation))

    async def _follow(self) -> None:
        """Load what the store says is in service, unless this is it."""
        active = await to_thread.run_sync(self._store.active)
        is_here = self._has_met and active is not None and active.generation == self._generation
        if not is_here and asyncio.get_running_loop().time() >= self._pause_ends:
            async with self._lock:
                await self._catch_up()

    async def _catch_up(self) -> None:
        active = await to_thread.run_sync(self._store.active)
        if active is None:  # it is new, or came back empty
            self._has_met = False
        if not self._has_met:
            await self._meet()
        elif active is not None and active.generation != self._generation:
            await self._take_over(active)

    async def _take_over(self, active: Deployment) -> None:
        self._active = active.generation
        self._observer.show_behind(is_behind=self._is_behind)
        try:
            variant_set = await to_thread.run_sync(assemble, active, self._settings.sources, self._held())
        except Exception as error:
            self._observer.count_swap("refused")
            self._pause = min(LONGEST_PAUSE_SECONDS, max(1.0, 2 * self._pause))
            self._pause_ends = asyncio.get_running_loop().time() + self._pause
            logger.error("Generation %d is in service and cannot be loaded here: %s", active.generation, error)
        else:
            self._pause = self._pause_ends = 0.0
            self._swap(variant_set, "followed")

    def _swap(self, variant_set: VariantSet, result: str) -> None:
        if self._variant_set is not None and self._variant_set.catalogues.keys() != variant_set.catalogues.keys():
            self._kept.append(self._variant_set)
        self._adopt(variant_set)
        self._observer.count_swap(result)
        named = ", ".join(f"{variant.name} {variant.version}" for variant in variant_set.variants)
        logger.info("In service (%s), generation %d: %s", result, variant_set.generation, named)

    def _adopt(self, variant_set: VariantSet) -> None:
        self._variant_set, self._active = variant_set, variant_set.generation
        self._observer.name_lineup(variant_set)
        self._observer.show_behind(is_behind=False)

    def _held(self) -> Held:
        variant_sets = [*self._kept, *([] if self._variant_set is None else [self._variant_set])]
        return {
            version: catalogue for variant_set in variant_sets for version, catalogue in variant_set.catalogues.items()
        }

    def _check_idle(self) -> None:
        if self._lock.locked():
            raise ConflictError("load-under-way", "A bundle is being loaded. Ask again when it is done.")

    @property
    def _generation(self) -> int:
        return 0 if self._variant_set is None else self._variant_set.generation

    @property
    def _is_behind(self) -> bool:
        return self._variant_set is not None and self._active != self._variant_set.generation
