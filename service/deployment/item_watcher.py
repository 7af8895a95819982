"""The watch on items: what is changed while nobody asks is taken over meanwhile, so that whoever asks next need not
wait for it. No answer depends on it."""

import asyncio

from anyio import to_thread

from service.deployment.controller import Deployments, attempt
from service.errors import NotReadyError
from service.ranking.live_items import LiveItems
from service.settings import Settings


class ItemWatch:
    """Keeps what is in service up to date while nobody asks."""

    def __init__(self, settings: Settings, deployments: Deployments, items: LiveItems) -> None:
        self._seconds = settings.poll_seconds
        self._deployments = deployments
        self._items = items

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            await attempt(self._look)

    async def _look(self) -> None:
        try:
            catalogues = list(self._deployments.variant_set.catalogues.values())
        except NotReadyError:
            return
        await to_thread.run_sync(self._items.settle, catalogues)
