"""Propensities: how likely each item of a list was to stand in it, over everything that the service draws.

Drawn are the variant of a user, the newcomers at places that are kept for them, and the coins of interleaved lists.
With the shares s_v of the variants,

    p_i = sum over v of s_v P(i in the list of v)

Whatever stands in no other list that could have been drawn has p = 1, and says nothing of other lists: where nothing is
drawn, all items do.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

DIGITS = 6
LEAST = 10.0**-DIGITS


@dataclass(frozen=True)
class Chances:
    """How likely items are to be in the list that an answer was drawn from; all others are not.

    Attributes:
        named: by id.
        drawn: newcomers of which some are drawn.
        each: how likely each of these is.
    """

    named: Mapping[str, float]
    drawn: Container[str] = ()
    each: float = 0.0

    def of(self, item_id: str) -> float:
        """Of one item."""
        return self.named.get(item_id, self.each if item_id in self.drawn else 0.0)


def certain(item_ids: Iterable[str]) -> Chances:
    """Of a list that nothing is drawn into."""
    return Chances(dict.fromkeys(item_ids, 1.0))


def of_list(
    item_ids: Sequence[str], k: int, guests: Sequence[tuple[int, float]], drawn: Container[str], n_drawn: int
) -> Chances:
    """Of a list that gives way to newcomers.

    Args:
        item_ids: the list without them, best first, at most k.
        k: length of the list.
        guests: how many newcomers may be drawn, each with its probability.
        drawn: those that they are drawn from, all alike.
        n_drawn: how many these are.
    """
    named = {item_id: sum(chance for n, chance in guests if place < k - n) for place, item_id in enumerate(item_ids)}
    expected = sum(n * chance for n, chance in guests)
    return Chances(named, drawn, expected / n_drawn if n_drawn else 0.0)


def mixed(item_ids: Iterable[str], lists: Sequence[tuple[float, Chances | None]]) -> tuple[float, ...] | None:
    """Propensities of the items of a list; None where something about them is not known.

    Args:
        item_ids: of the list.
        lists: that could have been answered, each with its share; None where nobody knows how likely its items are.
    """
    known = [(share, chances) for share, chances in lists if chances is not None]
    if len(known) < len(lists):
        return None
    found = (sum(share * chances.of(item_id) for share, chances in known) for item_id in item_ids)
    return tuple(min(1.0, max(LEAST, round(p, DIGITS))) for p in found)
