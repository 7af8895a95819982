"""Counts day by day: lists shown and clicked by user, as they stood at the end of every day since a start.

A list belongs to the day of its answer, a click to that of its event, or of its list where the event has no time.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Row, Select, and_, case, func, or_, select

from service.experiments.user_sums import Float64Array, UserSums
from service.store.database import Database
from service.store.tables import EVENTS, IMPRESSIONS

USERS_AT_A_TIME = 50_000
Unit = tuple[str | None, str | None]
"""A user, or the request of a list that names no user."""
Days = dict[int, int]
"""Day, from 0, to a number on that day."""


@dataclass(frozen=True)
class Window:
    """Which lists and events count.

    Attributes:
        variants: whose lists.
        since: first moment of a list, in microseconds since 1970, UTC.
        until: the moment after the last list.
        event_type: of the events that count as clicks; None for all.
        day: how long a day is, in microseconds.
        days: that are looked at; events after them do not count yet.
    """

    variants: tuple[str, ...]
    since: int
    until: int
    event_type: str | None
    day: int
    days: int

    def day_of(self, moment: int) -> int:
        """Day of a moment, from 0."""
        return max(0, (moment - self.since) // self.day)


class Click(NamedTuple):
    """A click on an item of a list: whose, in which lists it may have been, who is credited, on which day."""

    unit: Unit
    request_id: str
    variants: frozenset[str]
    teams: frozenset[str | None]
    day: int


def clicked_lists(database: Database, window: Window, *, per_user: bool) -> dict[str, UserSums]:
    """Of each variant: clicked lists in the numerator; in the denominator lists, or 1 a user.

    A list that was sent twice under one request id is one; clicks that fit lists of several variants do not count.
    """
    shown: dict[str, dict[Unit, Days]] = {name: defaultdict(dict) for name in window.variants}
    first_click: dict[tuple[str, Unit, str], int] = {}
    with database.reading() as connection:
        for variant, user_id, request_id, day, number in connection.execute(_shown(window)):
            shown[variant][user_id, request_id][day] = number
        for click in _clicks(window, connection.execute(_followed(window))):
            if len(click.variants) == 1:
                [variant] = click.variants
                key = variant, click.unit, click.request_id
                first_click[key] = min(click.day, first_click.get(key, click.day))
    clicked: dict[str, dict[Unit, Days]] = {name: defaultdict(lambda: defaultdict(int)) for name in window.variants}
    for (variant, unit, _), day in first_click.items():
        clicked[variant][unit][day] += 1
    return {name: _sums(shown[name], clicked[name], window.days, per_user=per_user) for name in window.variants}


def credited_clicks(database: Database, window: Window, base: str, challenger: str) -> UserSums:
    """Of interleaved lists: clicks that are credited to either side in the denominator, in the numerator those of the
    challenger less those of the base.
    """  # fmt: skip
    credited: dict[Unit, dict[str, Days]] = defaultdict(lambda: {base: defaultdict(int), challenger: defaultdict(int)})
    with database.reading() as connection:
        for click in _clicks(window, connection.execute(_followed(window))):
            [team, *others] = click.teams
            if team is not None and not others and team in (base, challenger):
                credited[click.unit][team][click.day] += 1
    sums = _nobody(window.days)
    for units in _portions(credited):
        a, b = (_grown([credited[unit][name] for unit in units], window.days) for name in (base, challenger))
        sums += UserSums.over(a + b, b - a)
    return sums


def _nobody(days: int) -> UserSums:
    return UserSums.over(np.zeros((0, days)), np.zeros((0, days)))


def _sums(shown: Mapping[Unit, Days], clicked: Mapping[Unit, Days], days: int, *, per_user: bool) -> UserSums:
    sums = _nobody(days)
    for units in _portions(shown):
        x = _grown([shown[unit] for unit in units], days)
        y = _grown([clicked.get(unit, {}) for unit in units], days)
        sums += UserSums.over(np.minimum(x, 1.0) if per_user else x, y)
    return sums


def _grown(numbers: list[Days], days: int) -> Float64Array:
    """What has come together by the end of every day, shape (n_users, days)."""
    found = np.zeros((len(numbers), days))
    for place, by_day in enumerate(numbers):
        for day, number in by_day.items():
            if day < days:
                found[place, day] += number
    return found.cumsum(axis=1)


def _portions(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    rest = iter(units)
    while portion := list(islice(rest, USERS_AT_A_TIME)):
        yield portion


def _clicks(window: Window, followed: Iterable[Row[Any]]) -> Iterator[Click]:
    """Each item of a list that was clicked, once."""
    found: dict[tuple[str | None, str, str], tuple[set[str], set[str | None], int]] = {}
    for row in followed:
        variant, user_id, request_id, items, teams, item_id, answered_at, clicked_at = tuple(row)
        listed = json.loads(items)
        if item_id not in listed:
            continue
        team = None if teams is None else json.loads(teams)[listed.index(item_id)]
        day = max(window.day_of(answered_at), window.day_of(answered_at if clicked_at is None else clicked_at))
        variants, credited, first = found.get((user_id, request_id, item_id), (set(), set(), day))
        found[user_id, request_id, item_id] = (variants | {variant}, credited | {team}, min(first, day))
    for (user_id, request_id, _), (variants, credited, day) in found.items():
        unit = (user_id, None if user_id is not None else request_id)
        yield Click(unit, request_id, frozenset(variants), frozenset(credited), day)


def _shown(window: Window) -> Select[Any]:
    """Lists by variant, unit and day."""
    columns = (IMPRESSIONS.c.variant, IMPRESSIONS.c.user_id, IMPRESSIONS.c.request_id)
    first = func.min(IMPRESSIONS.c.answered_at).label("first")
    lists = select(*columns, first).where(_counts(window)).group_by(*columns).subquery()
    unit = case((lists.c.user_id.is_(None), lists.c.request_id)).label("request")
    day = ((lists.c.first - window.since) // window.day).label("day")
    by_unit = select(lists.c.variant, lists.c.user_id, unit, day).subquery()
    return select(*by_unit.c, func.count()).group_by(*by_unit.c)


def _followed(window: Window) -> Select[Any]:
    same_user = or_(IMPRESSIONS.c.user_id.is_(None), IMPRESSIONS.c.user_id == EVENTS.c.user_id)
    joined = IMPRESSIONS.join(EVENTS, and_(EVENTS.c.request_id == IMPRESSIONS.c.request_id, same_user))
    lists = ("variant", "user_id", "request_id", "items", "teams")
    columns = (*(IMPRESSIONS.c[name] for name in lists), EVENTS.c.item_id, IMPRESSIONS.c.answered_at)
    query = select(*columns, EVENTS.c.timestamp).select_from(joined).where(_counts(window))
    return query if window.event_type is None else query.where(EVENTS.c.event_type == window.event_type)


def _counts(window: Window) -> ColumnElement[bool]:
    moment = IMPRESSIONS.c.answered_at
    is_meant = IMPRESSIONS.c.variant.in_(window.variants)
    return and_(IMPRESSIONS.c.is_dealt, is_meant, moment >= window.since, moment < window.until)
