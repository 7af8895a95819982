"""Comparison: lists of two bundles for the same users, and what they have in common, over all users and by slice.

Of lists A and B of at most k items, the overlap is |A and B| / max(|A|, |B|), 1 where both are empty; an item of both
has moved by its rank in A minus its rank in B.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import mean
from typing import Final

from service import timestamps
from service.http.conversion import to_request
from service.http.dependencies import Services
from service.ranking.engine import SideBySide
from service.ranking.exploration import seed_of
from service.ranking.pages import Request
from service.ranking.served_model import Catalogue
from service.schemas.recommendations import RecommendationRequest

LENGTHS: Final = ((0, "no stored event"), (1, "1 to 4"), (5, "5 to 19"), (20, "20 to 99"), (100, "100 and more"))
"""From how many stored events on, and what that slice is called."""


@dataclass(frozen=True)
class Pair:
    """The lists of one user.

    Attributes:
        user_id: whose.
        lists: ids, best first, of the first and of the second bundle.
        tiers: what each goes by.
        n_events: in the stored history.
    """

    user_id: str
    lists: tuple[tuple[str, ...], tuple[str, ...]]
    tiers: tuple[str, str]
    n_events: int

    @cached_property
    def common(self) -> set[str]:
        """Items of both."""
        return set(self.lists[0]) & set(self.lists[1])

    @cached_property
    def overlap(self) -> float:
        """Share of the items that both have in common."""
        longest = max(map(len, self.lists))
        return len(self.common) / longest if longest else 1.0

    @cached_property
    def moves(self) -> dict[str, int]:
        """Places up in the second list, below 0 for down, of the items of both."""
        first, second = ({item: rank for rank, item in enumerate(one, 1)} for one in self.lists)
        return {item: first[item] - second[item] for item in second if item in first}

    @property
    def has_same_first(self) -> bool:
        """Whether both begin with the same item."""
        return self.lists[0][:1] == self.lists[1][:1]

    @property
    def is_same(self) -> bool:
        """Whether both are one list."""
        return self.lists[0] == self.lists[1]


@dataclass(frozen=True)
class Slice:
    """Some users together.

    Attributes:
        name: what they have in common.
        n: how many.
        overlap: mean.
        same_first: share of them whose lists begin alike.
        same: share of them whose lists are one.
        move: mean number of places, either way, that an item of both has moved; None where none is in both.
    """

    name: str
    n: int
    overlap: float
    same_first: float
    same: float
    move: float | None


async def pairs(
    services: Services, catalogues: tuple[Catalogue, Catalogue], user_ids: Sequence[str], k: int, flow: str
) -> tuple[list[Pair], int]:
    """The lists of each user, not counted among answers and kept nowhere; and how many were not answered in time."""
    requests = [_request(user_id, k, flow) for user_id in user_ids]
    made = await services.engine.recommend_side_by_side(catalogues, requests)
    found = [_pair(user_id, one) for user_id, one in zip(user_ids, made, strict=True) if one is not None]
    return found, len(user_ids) - len(found)


def _request(user_id: str, k: int, flow: str) -> Request:
    request = to_request(RecommendationRequest(user_id=user_id, k=k), flow)
    return replace(request, seed=seed_of(f"user {user_id}", timestamps.now()))


def _pair(user_id: str, made: SideBySide) -> Pair:
    first, second = made.answers
    lists = [tuple(item.item_id for item in one.items) for one in (first, second)]
    return Pair(user_id, (lists[0], lists[1]), (first.tier, second.tier), made.n_events)


def summed(name: str, found: Sequence[Pair]) -> Slice:
    """What users have in common, on average; there is at least one."""
    moves = [abs(move) for one in found for move in one.moves.values()]
    return Slice(
        name,
        len(found),
        mean(one.overlap for one in found),
        mean(one.has_same_first for one in found),
        mean(one.is_same for one in found),
        mean(moves) if moves else None,
    )


def by_tier(found: Iterable[Pair]) -> list[Slice]:
    """By what the lists go by; where they differ, by both."""
    return _sliced(found, lambda one: one.tiers[0] if one.tiers[0] == one.tiers[1] else " / ".join(one.tiers))


def by_length(found: Iterable[Pair]) -> list[Slice]:
    """By how many stored events there are."""
    names = [name for _, name in LENGTHS]
    slices = {one.name: one for one in _sliced(found, _length)}
    return [slices[name] for name in names if name in slices]


def _length(one: Pair) -> str:
    return next(name for least, name in reversed(LENGTHS) if one.n_events >= least)


def _sliced(found: Iterable[Pair], name_of: Callable[[Pair], str]) -> list[Slice]:
    groups: dict[str, list[Pair]] = {}
    for one in found:
        groups.setdefault(name_of(one), []).append(one)
    return [summed(name, group) for name, group in sorted(groups.items())]
