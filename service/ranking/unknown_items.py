"""Items that changes speak of and a bundle does not hold, kept up to date by what was changed since the last look."""

from threading import Lock

from service.ranking.overlay import BEGINNING
from service.ranking.served_model import Catalogue
from service.store.item_feed import ItemFeed


class UnknownItems:
    """Of one catalogue; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._position = BEGINNING
        self._ids: dict[str, None] = {}

    def follow(self, feed: ItemFeed, catalogue: Catalogue) -> list[str]:
        """Their ids, first changed first."""
        with self._lock:
            known, before = feed.since(self._position), self._position
            items, self._position = known.items, known.position
            if self._position[0] != before[0]:
                self._ids = {}
            rows = catalogue.rows([item.item_id for item in items]).tolist()
            self._ids |= {item.item_id: None for item, row in zip(items, rows, strict=True) if row < 0}
            return list(self._ids)
