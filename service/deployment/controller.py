"""Deployments: what is in service here, kept equal to what the store says is in service everywhere.

    fetch -> verify -> warm up -> write down in the store -> swap          by who is asked (reload, rollback)
    ask the store -> fetch -> verify -> warm up -> swap                    by everybody else

The old set of variants answers until the new one is in its place, and stays there whatever goes wrong before. Loading
happens in the background. Swapping is one assignment on the event loop: requests under way hold on to theirs. Of loads
that were begun beside each other, the store lets one have its way: a deployment says which one it replaces. So nothing
waits for a reload that hangs, a rollback least of all."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from socket import gethostname
from typing import Final, Protocol
from uuid import uuid4

from anyio import create_task_group, to_thread

from recsys_vae.data.signal_rules import SignalRules
from recsys_vae.errors import BundleError, RecsysError, UnavailableError
from service.deployment.background import in_background
from service.deployment.loader import Held, assemble, open_first, open_named, patience_of, with_source
from service.deployment.variants import VariantSet
from service.errors import BehindError, ConflictError, FieldError, NotReadyError, SourceUnavailableError
from service.ranking.served_model import Catalogue
from service.settings import Settings
from service.store.deployments import Deployment, DeploymentTable, Replicas

logger = logging.getLogger("recsys.service")

LONGEST_PAUSE_SECONDS = 60.0
"""Between attempts to load what is in service and cannot be loaded here."""
HEARTBEAT_SECONDS: Final = 5.0
"""How often a replica tells the store that it runs, and at once when it answers with something else."""
LOOK_SECONDS: Final = 0.1
"""How often the store is asked whether all replicas follow, by who waits for that."""


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
        prepare: called beside the event loop with what is loaded, before it answers.
    """

    def __init__(
        self,
        settings: Settings,
        store: DeploymentTable,
        observer: Observer,
        variant_set: VariantSet | None = None,
        prepare: Callable[[Iterable[Catalogue]], None] = lambda catalogues: None,
    ) -> None:
        self._prepare = prepare
        self._settings = settings
        self._store = store
        self._observer = observer
        self._variant_set = variant_set
        self._active = 0
        self._has_met = False
        self._kept: deque[VariantSet] = deque(maxlen=settings.keep_previous)
        self._is_reloading = False
        self._following = asyncio.Lock()
        self._pause = 0.0
        self._pause_ends = 0.0
        self._replica = f"{gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._told = 0

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
    def served(self) -> VariantSet | None:
        """The same; None where nothing answers yet."""
        return self._variant_set

    @property
    def rules(self) -> list[SignalRules]:
        """What the bundles in service make of events; none where nothing is in service."""
        served = self._variant_set
        return [] if served is None else [one.rules for one in served.catalogues.values()]

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
            BundleError: what the settings name cannot be used, or what the store says cannot be had.
            UnavailableError: the model registry does not hand it out.
        """
        if self._variant_set is None:
            self._variant_set = await in_background(lambda: open_first(self._settings, self._store))
        if (first := self._variant_set) is not None:
            await in_background(lambda: self._prepared(first))
        if self._variant_set is not None:
            self._observer.name_lineup(self._variant_set)
        try:
            async with self._following:
                await self._meet()
        except UnavailableError as error:
            logger.warning("%s Until it does, stored histories are left out of answers.", error)
        await attempt(self._tell)

    async def run(self) -> None:
        """Ask the store again and again, and tell it that this replica runs, until cancelled."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._repeat, self._settings.poll_seconds, self._follow)
            tasks.start_soon(self._repeat, HEARTBEAT_SECONDS, self._tell)

    async def close(self) -> None:
        """Have the store take note that this replica stops; nobody waits for it any more."""
        try:
            await to_thread.run_sync(self._store.drop_replica, self._replica)
        except RecsysError:
            logger.info("The store did not take note that this replica stops; it will miss it.")

    async def reload(self, source: str | None = None, variant: str | None = None) -> bool:
        """Put in service what the settings name, read afresh; or a source as one of the variants. False: it is already.

        Raises:
            FieldError: the source may not be loaded, or there is no such variant.
            BundleError: a bundle cannot be used; what was in service still is.
            SourceUnavailableError: where it is to be taken from does not answer.
            UnavailableError: the store does not answer.
            BehindError: a variant is to be replaced beside others that this replica could not load.
            ConflictError: another reload is under way, or something else was put in service meanwhile.
        """
        if self._is_reloading:
            raise _load_under_way()
        self._is_reloading = True
        try:
            await self._catch_up()
            after = self._active
            variant_set = await self._load(self._wanted(source, variant))
            return await self._put_in_service(variant_set, after)
        finally:
            self._is_reloading = False

    async def weigh(self, weights: Mapping[str, float]) -> bool:
        """Give the variants in service other weights; bundles stay as they are. False: they have these already.

        Raises:
            FieldError: these are no weights of these variants.
            UnavailableError: the store does not answer.
            BehindError: this replica could not load what is in service.
            ConflictError: a reload is under way, or something else was put in service meanwhile.
        """
        if self._is_reloading:
            raise _load_under_way()
        self._is_reloading = True
        try:
            await self._catch_up()
            if self._is_behind:
                raise BehindError(self._active, self._generation)
            return await self._put_in_service(self.variant_set.weighed(weights), self._active)
        finally:
            self._is_reloading = False

    async def rollback(self) -> None:
        """Put in service again what was before, whatever is being loaded meanwhile.

        Raises:
            ConflictError: nothing was; the earlier bundles cannot be had any more; something else was put in service
                meanwhile.
            UnavailableError: the store does not answer.
        """
        if not self._has_met:
            async with self._following:
                await self._meet()
        active, target = await to_thread.run_sync(self._before)
        held, sources, patience = self.held(), self._settings.sources, patience_of(self._settings)
        try:
            variant_set = await in_background(lambda: self._prepared(assemble(target, sources, held, patience)))
        except BundleError as error:
            self._observer.count_swap("refused")
            raise ConflictError("not-to-be-had", str(error)) from error
        # What aliases name now stays known, else what was rolled back would come again by itself.
        plan = replace(target.plan, aliases=active.plan.aliases)
        made = await to_thread.run_sync(self._store.add, plan, active.generation, target.previous)
        self._swap(replace(variant_set, generation=made.generation, aliases=plan.aliases), "rolled-back")
        await attempt(self._tell)

    def recorded(self, n: int) -> list[Deployment]:
        """The last deployments, latest first; waits for the store.

        Raises:
            UnavailableError: the store does not answer.
        """
        return self._store.from_generation(max(1, self._active - n + 1))[::-1][:n]

    def before(self) -> Deployment:
        """What a rollback puts in service; waits for the store.

        Raises:
            ConflictError: nothing was before.
            UnavailableError: the store does not answer.
        """
        return self._before()[1]

    async def replicas(self, patience: float = 0.0) -> Replicas | None:
        """Who answers from this store, and who does not yet answer with what does here; None where the store is silent.

        Args:
            patience: seconds to wait for all of them to follow.
        """
        loop, generation = asyncio.get_running_loop(), self._generation
        deadline = loop.time() + patience
        while True:
            try:
                found = await to_thread.run_sync(self._store.replicas, generation)
            except UnavailableError as error:
                logger.warning("How many replicas follow is not known: %s", error)
                return None
            if not found.behind or loop.time() >= deadline:
                return found
            await asyncio.sleep(LOOK_SECONDS)

    def _wanted(self, source: str | None, variant: str | None) -> Callable[[], VariantSet]:
        held = self.held()
        if source is None and variant is None:
            if not self._settings.sources:
                raise FieldError("body.source", "the settings name nothing to load again; name a source")
            return lambda: open_named(
                self._settings.sources, held, patience_of(self._settings), self._settings.interleave
            )
        if self._is_behind:  # the variants that are to stay are not known here
            raise BehindError(self._active, self._generation)
        current = self.variant_set
        return lambda: with_source(current, source, variant, self._settings, held)

    async def _put_in_service(self, variant_set: VariantSet, after: int) -> bool:
        current = self._variant_set
        is_last = after == self._active and not self._is_behind  # nothing else was put in service meanwhile
        if current is not None and variant_set.plan == current.plan and is_last:
            self._observer.count_swap("unchanged")
            return False
        made = await to_thread.run_sync(self._store.add, variant_set.plan, after, after or None)
        self._swap(replace(variant_set, generation=made.generation), "swapped")
        await attempt(self._tell)
        return True

    async def _load(self, load: Callable[[], VariantSet]) -> VariantSet:
        try:
            return await in_background(lambda: self._prepared(load()))
        except UnavailableError as error:
            self._observer.count_swap("unavailable")
            raise SourceUnavailableError(str(error)) from error
        except BundleError:
            self._observer.count_swap("refused")
            raise

    def _prepared(self, variant_set: VariantSet) -> VariantSet:
        self._prepare(variant_set.catalogues.values())
        return variant_set

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

    async def _repeat(self, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await attempt(step)

    async def _tell(self) -> None:
        """Tell the store that this replica runs, and what it answers with."""
        if self._variant_set is not None:
            generation = self._generation
            await to_thread.run_sync(self._store.note_replica, self._replica, generation)
            self._told = generation

    async def _follow(self) -> None:
        """Load what the store says is in service, unless this is it."""
        active = await to_thread.run_sync(self._store.active)
        is_here = self._has_met and active is not None and active.generation == self._generation
        if not is_here and asyncio.get_running_loop().time() >= self._pause_ends:
            await self._catch_up()
        if self._told != self._generation:
            await self._tell()

    async def _catch_up(self) -> None:
        async with self._following:
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
        held, sources, patience = self.held(), self._settings.sources, patience_of(self._settings)
        try:
            variant_set = await in_background(lambda: self._prepared(assemble(active, sources, held, patience)))
        except Exception as error:
            self._observer.count_swap("refused")
            self._pause = min(LONGEST_PAUSE_SECONDS, max(1.0, 2 * self._pause))
            self._pause_ends = asyncio.get_running_loop().time() + self._pause
            logger.error("Generation %d is in service and cannot be loaded here: %s", active.generation, error)
        else:
            self._pause = self._pause_ends = 0.0
            self._swap(variant_set, "followed")

    def _swap(self, variant_set: VariantSet, result: str) -> None:
        self._observer.count_swap(result)
        if variant_set.generation < self._active:
            return  # another one was put in service meanwhile, and is here, or is followed next
        if self._variant_set is not None and self._variant_set.catalogues.keys() != variant_set.catalogues.keys():
            self._kept.append(self._variant_set)
        self._adopt(variant_set)
        named = ", ".join(f"{variant.name} {variant.version}" for variant in variant_set.variants)
        logger.info("In service (%s), generation %d: %s", result, variant_set.generation, named)

    def _adopt(self, variant_set: VariantSet) -> None:
        self._variant_set, self._active = variant_set, variant_set.generation
        self._observer.name_lineup(variant_set)
        self._observer.show_behind(is_behind=False)

    def held(self) -> Held:
        """What is in memory: what answers, and what did before."""
        variant_sets = [*self._kept, *([] if self._variant_set is None else [self._variant_set])]
        return {
            version: catalogue for variant_set in variant_sets for version, catalogue in variant_set.catalogues.items()
        }

    @property
    def _generation(self) -> int:
        return 0 if self._variant_set is None else self._variant_set.generation

    @property
    def _is_behind(self) -> bool:
        return self._variant_set is not None and self._active != self._variant_set.generation


def _load_under_way() -> ConflictError:
    return ConflictError("load-under-way", "A bundle is being loaded. Ask again when it is done.")
