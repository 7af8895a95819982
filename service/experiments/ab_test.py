"""Uplift: did users click more on one variant's lists than on another's, and how sure is that?

A list is clicked if one of the user's events names its request and one of its items. The click-through of a variant is

    R = sum_u Y_u / sum_u N_u        N_u: lists shown to user u, Y_u: those that were clicked

Users are assigned to variants, lists are not: the lists of one user are alike, and counting each as an observation of
its own would make intervals too narrow. So users are the units, and the variance of the ratio comes from the delta
method,

    Var(R) = n / (n - 1) * sum_u (Y_u - R N_u)^2 / (sum_u N_u)^2        over the n users of the variant

(Deng, Knoblich and Lu, "Applying the Delta Method in Metric Analytics", KDD 2018). The interval is R +- 1.96 sqrt(Var);
variants hold different users, so the variances of two add up in their difference. A list for nobody in particular is a
unit of its own.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from service.experiments.daily_counts import Window, credited_clicks
from service.store.database import Database
from service.store.tables import EVENTS, IMPRESSIONS

Z = 1.959963984540054
"""Of the normal distribution, for 95 %."""
FEW_USERS = 100
"""Below so many of them, or so few who click, the normal distribution is a bad likeness."""
EVER = 2**62
"""A time that no list comes after, in microseconds."""
Unit = tuple[str | None, str | None]
"""A user, or the request of a list that names no user."""


class Estimate(NamedTuple):
    """A value and its 95 % interval; the interval is None where nothing varies."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Tally:
    """What was counted of one variant, one entry a user.

    Attributes:
        shown: lists, shape (n_users,), each at least 1.
        clicked: those that were clicked, shape (n_users,).
    """

    shown: npt.NDArray[np.float64]
    clicked: npt.NDArray[np.float64]

    @property
    def rate(self) -> float:
        """Clicked lists among the shown ones."""
        return float(self.clicked.sum() / self.shown.sum())

    @property
    def variance(self) -> float:
        """Of the rate; infinite for fewer than two users."""
        n = len(self.shown)
        if n < 2:
            return inf
        residuals = self.clicked - self.rate * self.shown
        return float(n / (n - 1) * (residuals**2).sum() / self.shown.sum() ** 2)


@dataclass(frozen=True)
class Outcome:
    """How a variant fares.

    Attributes:
        name: of the variant.
        users: who got lists of it.
        lists: that were shown.
        clicked: of these.
        rate: clicked lists among them.
        difference: of this rate from that of the first variant; None for the first one itself.
    """

    name: str
    users: int
    lists: int
    clicked: int
    rate: Estimate
    difference: Estimate | None

    @property
    def is_thin(self) -> bool:
        """Whether there is too little to trust the interval."""
        return self.users < FEW_USERS or self.clicked < FEW_USERS


@dataclass(frozen=True)
class Choice:
    """Which lists and events count.

    Attributes:
        since: first moment of a list, in microseconds since 1970, UTC.
        until: the moment after the last.
        event_type: of the events that count as clicks; None for all.
    """

    since: int | None = None
    until: int | None = None
    event_type: str | None = None


def outcomes(tallies: dict[str, Tally], first: str) -> list[Outcome]:
    """How the variants fare, the first one first, each other one beside it."""
    names = [first, *sorted(name for name in tallies if name != first)]
    return [_outcome(name, tallies[name], None if name == first else tallies[first]) for name in names]


def _outcome(name: str, tally: Tally, base: Tally | None) -> Outcome:
    difference = None
    if base is not None:
        difference = _estimate(tally.rate - base.rate, tally.variance + base.variance, -1.0, 1.0)
    rate = _estimate(tally.rate, tally.variance, 0.0, 1.0)
    return Outcome(name, len(tally.shown), int(tally.shown.sum()), int(tally.clicked.sum()), rate, difference)


def _estimate(value: float, variance: float, least: float, most: float) -> Estimate:
    if not 0 < variance < inf:
        return Estimate(value, None)
    half = Z * sqrt(variance)
    return Estimate(value, (max(least, value - half), min(most, value + half)))


@dataclass(frozen=True)
class Preference:
    """Whose items were clicked in interleaved lists.

    Attributes:
        names: of the variants.
        users: with credited clicks.
        credited: clicks, to each.
        difference: of the second one's from the first one's, as a part of both; None without any.
    """

    names: tuple[str, str]
    users: int
    credited: tuple[int, int]
    difference: Estimate | None


def preference(database: Database, name: str, choice: Choice) -> Preference:
    """Whose items were clicked in the lists that two variants drafted; users are the units, the variance as above.

    Raises:
        UnavailableError: the store does not answer.
    """
    first, second = name.split("+")
    until = EVER if choice.until is None else choice.until
    window = Window((name,), choice.since or 0, until, choice.event_type, day=EVER, days=1)
    found = credited_clicks(database, window, first, second)
    [total], [more], [users] = found.x, found.y, found.users
    credited = (int(total - more) // 2, int(total + more) // 2)
    difference = _estimate(float(more / total), float(found.variance[0]), -1.0, 1.0) if total else None
    return Preference((first, second), int(users), credited, difference)


def count(database: Database, choice: Choice) -> tuple[dict[str, Tally], int]:
    """What the store holds of every variant, and how many users were shown lists of several.

    Lists of a variant that the caller chose do not count, nor do clicks that fit lists of several variants. Events may
    come at any time after their list.

    Raises:
        UnavailableError: the store does not answer.
    """
    shown: dict[str, dict[Unit, int]] = {}
    clicked: dict[tuple[str, Unit], set[str]] = {}
    with database.reading() as connection:
        for variant, user_id, request_id, number in connection.execute(_shown(choice)):
            shown.setdefault(variant, {})[user_id, request_id] = number
        for variants, unit, request_id in _clicks(connection.execute(_followed(choice))):
            if len(variants) == 1:
                clicked.setdefault((variants.pop(), unit), set()).add(request_id)
    tallies = {
        variant: Tally(_vector(by_unit.values()), _vector(len(clicked.get((variant, unit), ())) for unit in by_unit))
        for variant, by_unit in shown.items()
    }
    variants_by_unit = Counter(unit for by_unit in shown.values() for unit in by_unit)
    return tallies, sum(number > 1 for number in variants_by_unit.values())


def _clicks(followed: Iterable[Any]) -> Iterable[tuple[set[str], Unit, str]]:
    """Clicks on items of lists: the variants whose lists under that request hold the item, the unit, the request.

    More than one variant is found where one request id was given to several lists: no saying which was clicked.
    """
    found: dict[tuple[str | None, str, str], set[str]] = {}
    for variant, user_id, request_id, items, item_id in followed:
        if item_id in json.loads(items):
            found.setdefault((user_id, request_id, item_id), set()).add(variant)
    for (user_id, request_id, _), variants in found.items():
        yield variants, (user_id, None if user_id is not None else request_id), request_id


def _shown(choice: Choice) -> Select[Any]:
    """Lists by variant and unit; one that was sent twice under one request id, as clients do who try again, is one."""
    columns = (
        IMPRESSIONS.c.variant,
        IMPRESSIONS.c.user_id,
        case((IMPRESSIONS.c.user_id.is_(None), IMPRESSIONS.c.request_id)),
    )
    lists = func.count(IMPRESSIONS.c.request_id.distinct())
    return select(*columns, lists).where(_counts(choice)).group_by(*columns)


def _followed(choice: Choice) -> Select[Any]:
    same_user = or_(IMPRESSIONS.c.user_id.is_(None), IMPRESSIONS.c.user_id == EVENTS.c.user_id)
    joined = IMPRESSIONS.join(EVENTS, and_(EVENTS.c.request_id == IMPRESSIONS.c.request_id, same_user))
    columns = (
        IMPRESSIONS.c.variant,
        IMPRESSIONS.c.user_id,
        IMPRESSIONS.c.request_id,
        IMPRESSIONS.c["items"],
        EVENTS.c.item_id,
    )
    query = select(*columns).select_from(joined).where(_counts(choice))
    return query if choice.event_type is None else query.where(EVENTS.c.event_type == choice.event_type)


def _counts(choice: Choice) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [IMPRESSIONS.c.is_dealt]
    if choice.since is not None:
        conditions.append(IMPRESSIONS.c.answered_at >= choice.since)
    if choice.until is not None:
        conditions.append(IMPRESSIONS.c.answered_at < choice.until)
    return and_(*conditions)


def _vector(values: Iterable[int]) -> npt.NDArray[np.float64]:
    return np.array(list(values), dtype=np.float64)
