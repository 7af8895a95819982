"""The watch on aliases: when one of the settings names another version of its model, that is put in service."""

import asyncio
from random import uniform

from recsys_vae.errors import BundleError
from service.deployment.background import in_background
from service.deployment.bundle_sources import is_alias
from service.deployment.controller import Deployments, attempt
from service.deployment.loader import aliases_of, patience_of
from service.settings import Settings


class AliasWatch:
    """Asks the model registry what the aliases name.

    A change is one since what is in service was put there, as its record in the store tells: so one replica acts on it,
    the others follow, and a rollback is not undone.
    """

    def __init__(self, settings: Settings, deployments: Deployments) -> None:
        self._seconds = settings.alias_poll_seconds
        self._sources = [named for named in settings.sources if is_alias(named.source)]
        self._deployments = deployments
        self._patience = patience_of(settings)
        self._first_seen: dict[str, str] = {}
        self._refused: tuple[tuple[str, str], ...] = ()

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while self._sources:
            await asyncio.sleep(self._seconds * uniform(0.8, 1.2))  # not all replicas at once
            await attempt(self._look)

    async def _look(self) -> None:
        now = await in_background(lambda: aliases_of(self._sources, self._patience))
        if now == self._refused or not self._has_changed(now):
            return
        try:
            await self._deployments.reload()
        except BundleError:
            self._refused = now  # not fetched again before the alias names something else
            raise

    def _has_changed(self, aliases: tuple[tuple[str, str], ...]) -> bool:
        for alias, version in aliases:
            self._first_seen.setdefault(alias, version)
        known = self._first_seen | dict(self._deployments.variant_set.aliases)
        return any(known[alias] != version for alias, version in aliases)
