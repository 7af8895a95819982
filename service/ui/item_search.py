"""Search for items as people name them: by id, or by a part of the title, as it is now."""

from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl
from anyio import CapacityLimiter, to_thread

from recsys_vae.protocols import BoolArray
from service.ranking.served_model import Catalogue
from service.ui.cards import Columns

SEARCHERS: Final = CapacityLimiter(1)
"""Searches at a time: each looks through all titles, and must not take processors from answers."""
_LOWER: "WeakKeyDictionary[Catalogue, dict[str, tuple[pl.Series, pl.Series]]]" = WeakKeyDictionary()
"""By column, what it was made of and titles in lower case, but for those that were changed lately."""


async def find_items(catalogue: Catalogue, text: str, columns: Columns, limit: int = 10) -> list[str]:
    """Ids of items: the one of this id, else those whose title holds the text, best known first."""
    if is_known(catalogue, text):
        return [text]
    if columns.title is None or not text.strip():
        return []
    return await to_thread.run_sync(_by_title, catalogue, text, columns.title, limit, limiter=SEARCHERS)


def is_known(catalogue: Catalogue, item_id: str) -> bool:
    """Whether there is an item of this id, in the bundle or since."""
    return bool(item_id) and (int(catalogue.rows([item_id])[0]) >= 0 or item_id in catalogue.overlay.newcomers)


def with_title(catalogue: Catalogue, text: str, title: str | None) -> BoolArray:
    """Which items of the bundle have this id, or a text in their title, shape (n_items,)."""
    wanted = text.strip().lower()
    mask = np.zeros(len(catalogue), dtype=np.bool_)
    if title is not None and wanted:
        columns = catalogue.filters.metadata
        with columns.lock:
            column = columns[title]
            lower = _lower(catalogue, title)
            pending = column.pending
            changed = column.gather(pending)
        mask = _holds(lower, wanted)
        mask[pending] = _holds(changed.cast(pl.String).str.to_lowercase(), wanted)
    [row] = catalogue.rows([text]).tolist()
    if row >= 0:
        mask[row] = True
    return mask


def _lower(catalogue: Catalogue, title: str) -> pl.Series:
    column, held = catalogue.filters.metadata[title], _LOWER.setdefault(catalogue, {})
    stale = column.stale
    if title not in held or held[title][0] is not stale:
        held[title] = (stale, stale.cast(pl.String).str.to_lowercase())
    return held[title][1]


def _holds(titles: pl.Series, wanted: str) -> BoolArray:
    found: BoolArray = titles.str.contains(wanted, literal=True).fill_null(value=False).to_numpy().astype(np.bool_)
    return found


def _by_title(catalogue: Catalogue, text: str, title: str, limit: int) -> list[str]:
    rows = np.flatnonzero(with_title(catalogue, text, title))
    best = rows[np.argsort(-catalogue.chain.bundle.popularity[rows], kind="stable")][:limit]
    return catalogue.ids(best)
