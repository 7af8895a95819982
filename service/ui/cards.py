"""Cards: items as pages show them: title, picture and a few fields, as they are now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from service.deployment.variants import VariantSet
from service.ranking.served_model import Catalogue

TITLES: Final = ("title", "name", "product_name", "item_name", "headline", "label")
PICTURES: Final = ("image", "image_url", "picture", "picture_url", "thumbnail", "poster", "poster_url", "cover", "img")
MOST_FIELDS: Final = 4
SHOWABLE: Final = ("https://", "data:image/")
"""What the policy of pages lets a picture begin with."""


@dataclass(frozen=True)
class Columns:
    """Which columns of the items' metadata cards show.

    Attributes:
        title: that names items; None where ids have to do.
        picture: that holds addresses of pictures; None for none.
        others: shown beside.
    """

    title: str | None
    picture: str | None
    others: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(name for name in (self.title, self.picture, *self.others) if name is not None)


@dataclass(frozen=True)
class Card:
    """An item."""

    item_id: str
    title: str
    picture: str | None = None
    fields: tuple[tuple[str, Any], ...] = ()

    @property
    def initial(self) -> str:
        """What stands in the place of a picture."""
        return next((letter for letter in self.title if letter.isalnum()), "?").upper()


def columns_of(variant_set: VariantSet) -> Columns:
    """The columns that cards show, of those that all bundles in service have."""
    catalogues = list(variant_set.catalogues.values())
    names = [name for name in catalogues[0].filters.columns if all(name in one.filters.columns for one in catalogues)]
    lower = {name.lower(): name for name in reversed(names)}
    title = next((lower[name] for name in TITLES if name in lower), None)
    picture = next((lower[name] for name in PICTURES if name in lower), None)
    others = [name for name in names if name not in (title, picture, "popularity")]
    return Columns(title, picture, tuple(others[:MOST_FIELDS]))


def card(item_id: str, values: Mapping[str, Any] | None, columns: Columns) -> Card:
    """The card of an item whose metadata are these."""
    found = values or {}
    title = found.get(columns.title) if columns.title else None
    picture = found.get(columns.picture) if columns.picture else None
    return Card(
        item_id,
        str(title) if title not in (None, "") else item_id,
        picture if isinstance(picture, str) and picture.startswith(SHOWABLE) else None,
        tuple((name, found[name]) for name in columns.others if found.get(name) is not None),
    )


def cards(catalogue: Catalogue, item_ids: Iterable[str], columns: Columns) -> dict[str, Card]:
    """Cards by id; items that the catalogue does not hold have nothing but their id."""
    ids = list(dict.fromkeys(item_ids))
    known = [(item_id, row) for item_id, row in zip(ids, catalogue.rows(ids).tolist(), strict=True) if row >= 0]
    values = catalogue.overlay.values(np.array([row for _, row in known], dtype=np.int64), columns.names)
    found = {item_id: values[place] for place, (item_id, _) in enumerate(known)} if columns.names else {}
    found |= _new(catalogue, [item_id for item_id in ids if item_id not in found], columns.names)
    return {item_id: card(item_id, found.get(item_id), columns) for item_id in ids}


def _new(catalogue: Catalogue, ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Metadata of items that came after the bundle."""
    newcomers = catalogue.overlay.newcomers
    if not len(newcomers):
        return {}
    with catalogue.overlay.lock:
        held = [item_id for item_id in ids if item_id in newcomers]
        columns = newcomers.filters.metadata.values(np.array(newcomers.places(held), dtype=np.int64), names)
    return {
        item_id: dict(zip(names, row, strict=True))
        for item_id, row in zip(held, zip(*columns, strict=True), strict=False)
    }
