"""Search for items as people name them: by id, or by a part of the title."""

from typing import Final
from weakref import WeakKeyDictionary

import polars as pl
from anyio import CapacityLimiter, to_thread

from service.ranking.served_model import Catalogue
from service.ui.cards import Columns

SEARCHERS: Final = CapacityLimiter(1)
"""Searches at a time: each looks through all titles, and must not take processors from answers."""
_TITLES: "WeakKeyDictionary[Catalogue, dict[str, pl.Series]]" = WeakKeyDictionary()
"""Titles in lower case, made on the first search."""


async def find_items(catalogue: Catalogue, text: str, columns: Columns, limit: int = 10) -> list[str]:
    """Ids of items: the one of this id, else those whose title holds the text, best known first."""
    if is_known(catalogue, text):
        return [text]
    if columns.title is None or not text.strip():
        return []
    return await to_thread.run_sync(_by_title, catalogue, text.strip().lower(), columns.title, limit, limiter=SEARCHERS)


def is_known(catalogue: Catalogue, item_id: str) -> bool:
    """Whether there is an item of this id, in the bundle or since."""
    return bool(item_id) and (int(catalogue.rows([item_id])[0]) >= 0 or item_id in catalogue.overlay.newcomers)


def _by_title(catalogue: Catalogue, text: str, title: str, limit: int) -> list[str]:
    held = _TITLES.setdefault(catalogue, {})
    if title not in held:
        held[title] = catalogue.chain.bundle.item_table[title].cast(pl.String).str.to_lowercase()
    rows = held[title].str.contains(text, literal=True).fill_null(False).arg_true().to_numpy()
    popularity = catalogue.chain.bundle.popularity[rows]
    best = rows[(-popularity).argsort(kind="stable")][:limit]
    return catalogue.ids(best.astype("int64"))
