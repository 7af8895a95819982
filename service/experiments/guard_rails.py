"""Guard rails: what says that a comparison of variants is broken, whatever its result.

Users must fall to the variants by their weights: where they do not, some are missing, and the others are no fair sample
(sample ratio mismatch; Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019).
The test is Pearson's chi-square on the numbers of users. Lists without an item have nothing to click.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scipy.special import chdtrc
from sqlalchemy import func, select

from service.experiments.ab_test import Tally
from service.store.database import Database
from service.store.tables import IMPRESSIONS

SUSPICIOUS: Final = 0.001
"""Chance of so uneven numbers of users below which they are not taken for chance."""
MOST_EMPTY: Final = 0.01
"""Share of lists without an item that is passed over."""
MOST_SEVERAL: Final = 0.01
"""Share of users of several variants that is passed over."""
NO_ITEMS: Final = "[]"


@dataclass(frozen=True)
class Rail:
    """One of them.

    Attributes:
        name: of it.
        said: what was found.
        is_kept: whether all is well; None where too little is known.
    """

    name: str
    said: str
    is_kept: bool | None


def sample_ratio(users: Mapping[str, int], shares: Mapping[str, float]) -> Rail:
    """Whether users fall to the variants by their shares, over the variants that have one."""
    names = [name for name in users if shares.get(name, 0.0) > 0]
    total, whole = sum(users[name] for name in names), sum(shares[name] for name in names)
    if len(names) < 2 or not total:
        return Rail("Users by weight", "Fewer than two variants with users.", None)
    expected = [total * shares[name] / whole for name in names]
    squares = sum((users[name] - want) ** 2 / want for name, want in zip(names, expected, strict=True))
    p = float(chdtrc(len(names) - 1, squares))
    told = ", ".join(f"{name} {users[name]:,} for {want:,.0f}" for name, want in zip(names, expected, strict=True))
    return Rail("Users by weight", f"{told}; chance of that: {p:.2g}", p >= SUSPICIOUS)


def empty_lists(database: Database, since: int) -> list[Rail]:
    """Share of each variant's lists without an item.

    Raises:
        UnavailableError: the store does not answer.
    """
    shown = select(IMPRESSIONS.c.variant, func.count()).where(IMPRESSIONS.c.answered_at >= since)
    shown = shown.group_by(IMPRESSIONS.c.variant).order_by(IMPRESSIONS.c.variant)
    with database.reading() as connection:
        lists = dict([tuple(row) for row in connection.execute(shown)])
        empty = dict([tuple(row) for row in connection.execute(shown.where(IMPRESSIONS.c["items"] == NO_ITEMS))])
    return [
        Rail(f"Empty lists of {name}", f"{empty.get(name, 0):,} of {n:,}", empty.get(name, 0) <= MOST_EMPTY * n)
        for name, n in lists.items()
    ]


def several_variants(tallies: Sequence[Tally], in_several: int) -> Rail:
    """Users who were shown lists of several variants, which are not independent then."""
    total = sum(len(one.shown) for one in tallies)
    return Rail("Users of several variants", f"{in_several:,}", in_several <= MOST_SEVERAL * total)
