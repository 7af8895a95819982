"""Plain lists: all requests of a batch for the k best items besides those of a history, by one compiled call.

Everything that `ranking` does for such requests is done here, by the same loops, for all of them together; `ranking`
answers the others of the batch.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import overload

import numpy as np

from recsys_vae.data.histories import History
from recsys_vae.native.lists import Asked, List
from recsys_vae.protocols import BoolArray
from recsys_vae.recommender import HISTORY
from service.ranking.plain_history import PlainHistory
from service.ranking.propensities import certain
from service.ranking.results import USUAL, Answer, Notice, Query, RankedItem, ranked, shortest, shortfall, unknown
from service.ranking.served_model import Catalogue


class PlainItems(Sequence[RankedItem]):
    """Items of a list, made when somebody asks for one: most lists are only written.

    Args:
        catalogue: which has their ids.
        found: the list.

    Attributes:
        found: the list, with its text.
    """

    def __init__(self, catalogue: Catalogue, found: List) -> None:
        self._catalogue, self.found = catalogue, found

    @cached_property
    def made(self) -> tuple[RankedItem, ...]:
        """All of them."""
        return ranked(self._catalogue, np.array(self.found.rows, dtype=np.int64), shortest(self.found.scores))

    def __len__(self) -> int:
        return len(self.found.rows)

    @overload
    def __getitem__(self, place: int) -> RankedItem: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[RankedItem, ...]: ...
    def __getitem__(self, place: int | slice) -> RankedItem | tuple[RankedItem, ...]:
        return self.made[place]

    def __eq__(self, other: object) -> bool:
        return self.made == (other.made if isinstance(other, PlainItems) else other)

    def __hash__(self) -> int:
        return hash(self.made)


def answers(catalogue: Catalogue, queries: Sequence[Query]) -> list[Answer | None]:
    """An answer for each query that is plain; None for those that are to be answered step by step."""
    found: list[Answer | None] = [None] * len(queries)
    lists, shortest_history = catalogue.lists, catalogue.chain.bundle.tiers.policy.history_from
    places = [place for place, query in enumerate(queries) if _is_plain(query)]
    if lists is None or shortest_history is None or not places:
        return found
    overlay = catalogue.overlay
    with overlay.lock:  # nothing is changed about items meanwhile
        allowed, as_of, n_newcomers = overlay.shown, overlay.sequence, len(overlay.newcomers)
    plain = [queries[place] for place in places]
    if n_newcomers or not lists.suits(len(plain), max(query.k for query in plain)):
        return found
    asked = [Asked(_text(query.history), len(query.history), query.k) for query in plain]
    for place, query, one in zip(places, plain, lists(asked, allowed) or (), strict=False):
        if one.n_known >= max(1, shortest_history):
            found[place] = _answer(catalogue, query, one, allowed, as_of)
    return found


def _text(history: History) -> bytes:
    return history.text if isinstance(history, PlainHistory) else "\0".join(history).encode()


def _is_plain(query: Query) -> bool:
    history = query.history
    is_liked = isinstance(history, PlainHistory) or min(history.values(), default=0) > 0
    return is_liked and query.is_plain and query.k + len(history) <= USUAL


def _answer(catalogue: Catalogue, query: Query, found: List, allowed: BoolArray | None, as_of: int) -> Answer:
    n_left, n_found = len(catalogue) - found.n_known, len(found.rows)
    if allowed is not None:
        n_left = int(np.count_nonzero(allowed)) - int(np.count_nonzero(allowed[found.asked[found.asked >= 0]]))
    notices = list[Notice]()
    if found.n_known < len(query.history):
        notices += unknown("history", tuple(query.history), found.asked)
    if n_found < query.k:
        notices += shortfall(n_found, query.k)
    items = PlainItems(catalogue, found)
    return Answer(
        catalogue.version,
        HISTORY,
        catalogue.chain.scorer,
        items,
        tuple(notices),
        (HISTORY,) * n_found,
        tuple(sorted(found.rows)),
        n_left > n_found,
        chances=certain(item.item_id for item in items) if query.tells_chances else None,
        items_as_of=as_of,
    )
