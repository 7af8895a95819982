"""Catalogue: a fallback chain with what requests need around it. One a bundle, shared by all its requests."""

from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np

from recsys_vae.data.signals import SignalRules
from recsys_vae.native.lists import Lists
from recsys_vae.native.lookup import Lookup, lookup
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, takes_order
from recsys_vae.recommender import FallbackChain
from recsys_vae.reranking.quotas import long_tail, untouched
from recsys_vae.reranking.rules import LONG_TAIL, NEW
from service.ranking.filters import Filters
from service.ranking.overlay import Overlay

NO_RULES = SignalRules()
"""Of bundles that say nothing of signals."""
LARGEST_HASHED = 2_000_000
"""Items up to which ids are kept as Python strings and in a table too, compiled or a dict: thirty are found in 3 or 16
rather than 500 microseconds."""


class Catalogue:
    """A bundle in service: its fallback chain, its ids, and the metadata of its items as they are now.

    Args:
        chain: what answers.
        is_warm: whether to make at once what is otherwise made on the first request.

    Attributes:
        chain: what answers.
        rules: what makes a history of a user's events.
        by_order: whether the model goes by the order of histories.
        knows_repeats: whether it knows what users buy again, and when.
        goes_by_recency: whether its second stage counts how long ago users and items had their last events.
        overlay: what was changed about its items since.
    """

    def __init__(self, chain: FallbackChain, *, is_warm: bool = False) -> None:
        self.chain = chain
        self.rules = chain.bundle.signals
        self.by_order = takes_order(chain.bundle.model)
        self.knows_repeats = chain.bundle.repeat is not None
        self.goes_by_recency = chain.takes_recency
        self.overlay = Overlay(chain.bundle, self.rows)
        self._n_items = len(chain.bundle.items)
        self._made: dict[str, Float32Array] = {}
        if is_warm:
            self.rows(())

    def __len__(self) -> int:
        return self._n_items

    @property
    def version(self) -> str:
        """Identity of the bundle."""
        return self.chain.bundle.version

    @cached_property
    def goes_by_ids_alone(self) -> bool:
        """Whether a list of items that were liked, without times or kinds, is all that it makes of a history."""
        return self.rules == NO_RULES and not self.knows_repeats and not self.goes_by_recency

    @property
    def filters(self) -> Filters:
        """Over the items' metadata, as they are now."""
        return self.overlay.filters

    def rows(self, ids: Iterable[str]) -> Int64Array:
        """Item rows of ids; -1 where the catalogue does not hold one."""
        wanted = list(ids)
        if self._lookup is not None:
            return self._lookup.rows(wanted)
        if self._rows is None:
            return self.chain.bundle.items.rows(wanted)
        found = self._rows
        return np.array([found.get(item_id, -1) for item_id in wanted], dtype=np.int64)

    def ids(self, rows: Int64Array) -> list[str]:
        """Ids of item rows."""
        if self._ids is None:
            return self.chain.bundle.items.ids(rows)
        found = self._ids
        return [found[row] for row in rows.tolist()]

    @cached_property
    def lists(self) -> Lists | None:
        """What finds lists by histories alone in one compiled call, and writes them; None where nothing does."""
        ids = self._lookup
        return None if ids is None or not ids.is_plain else self.chain.lists_of(ids)

    def made_once(self, name: str, make: Callable[[], Float32Array]) -> Float32Array:
        """Scores of all items that are the same for everybody, not to be written to."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @cached_property
    def groups(self) -> dict[str, BoolArray]:
        """Which items are of a group that quotas know by name, not to be written to; each shape (n_items,)."""
        popularity = self.chain.bundle.popularity
        return {LONG_TAIL: long_tail(popularity), NEW: untouched(popularity)}

    @cached_property
    def _ids(self) -> list[str] | None:
        return self.chain.bundle.items.values.to_list() if len(self) <= LARGEST_HASHED else None

    @cached_property
    def _lookup(self) -> Lookup | None:
        return None if self._ids is None else lookup(self._ids)

    @cached_property
    def _rows(self) -> dict[str, int] | None:
        return None if self._ids is None else {item_id: row for row, item_id in enumerate(self._ids)}
