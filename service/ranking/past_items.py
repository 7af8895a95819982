"""Items as they were after some change, for catalogues of their own: those in service show what they are now."""

from collections.abc import Iterable, Mapping, Sequence

from service.ranking.overlay import BEGINNING
from service.ranking.served_model import Catalogue
from service.store.item_feed import Known
from service.store.item_records import LiveItem


class PastState:
    """All that was known after one change, and nothing since.

    Args:
        items: that something had been changed about, as they were.
        sequence: of that change.
    """

    def __init__(self, items: Sequence[LiveItem], sequence: int) -> None:
        self._sequence = sequence
        self._items = sorted(items, key=lambda item: item.sequence)

    def since(self, position: tuple[int, int]) -> Known:
        """All of it at the beginning, nothing later."""
        return Known(self._items if position == BEGINNING else (), (0, len(self._items)), self._sequence)


class PastItems:
    """Has each catalogue show what was known when its part of a list was made.

    Args:
        states: of the catalogues.
        explore: share of the places of a list for items that the model does not know.

    Attributes:
        explore: as given.
    """

    def __init__(self, states: Mapping[Catalogue, PastState], explore: float) -> None:
        self._states = states
        self.explore = explore

    def count_events(self, catalogue: Catalogue) -> None:
        """Nothing: lists without a user are not made again."""

    def settle(self, catalogues: Iterable[Catalogue]) -> bool:
        """Have catalogues show it."""
        for catalogue in catalogues:
            overlay = catalogue.overlay
            overlay.follow(self._states[catalogue], recommends_new=self.explore > 0 or overlay.places_new)
        return True

    def settle_at_once(self, catalogues: Iterable[Catalogue]) -> bool:
        """The same: nobody is waited for."""
        return self.settle(catalogues)
