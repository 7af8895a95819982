"""Items as they were after some change, for catalogues of their own: those in service show what they are now."""

from collections.abc import Iterable, Sequence

from service.ranking.served_model import Catalogue
from service.store.item_records import LiveItem


class PastItems:
    """Has catalogues show what was known then, and nothing since.

    Args:
        items: that something had been changed about, as they were.
        sequence: of the last change that was known.
        explore: share of the places of a list for items that the model does not know.

    Attributes:
        sequence: as given.
        explore: as given.
    """

    def __init__(self, items: Sequence[LiveItem], sequence: int, explore: float) -> None:
        self.sequence, self.explore = sequence, explore
        self._items = sorted(items, key=lambda item: item.sequence)

    @property
    def position(self) -> tuple[int, int]:
        """Where the changes end."""
        return 0, len(self._items)

    def since(self, position: tuple[int, int]) -> tuple[Sequence[LiveItem], tuple[int, int]]:
        """All of them at the beginning, none later; and the position after them."""
        return (self._items if position != self.position else ()), self.position

    def count_events(self, catalogue: Catalogue) -> None:
        """Nothing: lists without a user are not made again."""

    def settle(self, catalogues: Iterable[Catalogue]) -> bool:
        """Have catalogues show them."""
        for catalogue in catalogues:
            overlay = catalogue.overlay
            overlay.follow(self, recommends_new=self.explore > 0 or overlay.places_new)
        return True
