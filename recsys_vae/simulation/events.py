"""Events: the rows of a block of users.

Views come in sessions; some go on to a cart and a purchase seconds later; what is used up is bought again, without a
view, after gaps of its own (a gamma law of shape 4). A user has exactly as many rows as the world says: where there
would be more, those that were drawn last are left out, whenever they happened.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys_vae.simulation.calendar import DAY, Calendar
from recsys_vae.simulation.catalogue import Catalogue
from recsys_vae.simulation.population import Users
from recsys_vae.simulation.settings import WorldSettings
from recsys_vae.simulation.streams import Stream, stream

KINDS: Final = ("view", "cart", "purchase")
VIEW, CART, PURCHASE = range(3)
GAP, TO_CART, TO_PURCHASE = 60.0, 20, 90
"""Seconds: mean between views of a session; from view to cart and to purchase."""
SHAPE: Final = 4


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a log, each array of shape (n,).

    Attributes:
        users, items: numbers.
        kinds: places in KINDS.
        times: seconds of the Unix epoch.
        faults: places in `dirt.FAULTS`; 0 where a row keeps the contract.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int32]
    kinds: NDArray[np.int8]
    times: NDArray[np.int64]
    faults: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.users)

    def taken(self, places: NDArray[np.integer]) -> "Rows":
        """Some of them, in this order."""
        return Rows(*(array[places] for array in (self.users, self.items, self.kinds, self.times, self.faults)))


def joined(parts: list[Rows]) -> Rows:
    """Rows of several, one after the other."""
    names = ("users", "items", "kinds", "times", "faults")
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def events_of(
    settings: WorldSettings,
    calendar: Calendar,
    catalogue: Catalogue,
    users: Users,
    counts: NDArray[np.int64],
    block: int,
) -> Rows:
    """The rows of a block, before dirt.

    Args:
        counts: of each user's rows, shape (n,).
    """
    draw = stream(settings.seed, Stream.EVENTS, block)
    who, cart, bought = _funnel(draw, settings, users, counts)
    times = _times(draw, settings, calendar, users, who)
    days = times // DAY
    tastes = _tastes(draw, settings, catalogue.prior, users, who, days)
    items = np.empty(len(who), dtype=np.int32)
    bots = users.is_bot[who]
    people = np.flatnonzero(~bots)
    items[people] = catalogue.draw(draw, tastes[people], days[people])
    items[bots] = catalogue.draw_any(draw, days[bots])
    end = settings.days * DAY - 1
    again, again_times, nth = _reorders(draw, catalogue, np.flatnonzero(bought), items, times, end)
    own = 1 + cart.astype(np.int64) + bought
    total = own + np.bincount(again, minlength=len(who))
    before = np.cumsum(total) - total
    before -= before[np.searchsorted(who, np.arange(len(counts)))[who]] if len(who) else 0
    carts, purchases = np.flatnonzero(cart), np.flatnonzero(bought)
    views = np.arange(len(who))
    visits = np.concatenate([views, carts, purchases, again])
    kinds = np.repeat(
        np.array([VIEW, CART, PURCHASE, PURCHASE], np.int8), [len(views), len(carts), len(purchases), len(again)]
    )
    at = np.concatenate([times, times[carts] + TO_CART, times[purchases] + TO_PURCHASE, again_times])
    place = np.concatenate([before, before[carts] + 1, before[purchases] + 2, (before + own)[again] + nth])
    kept = place < counts[who[visits]]
    visits = visits[kept]
    rows = who[visits]
    moments = np.minimum(at[kept], end) + settings.first_second + users.clock[rows]
    return Rows(users.first + rows, items[visits], kinds[kept], moments, np.zeros(len(rows), np.int8))


def _funnel(
    draw: np.random.Generator, settings: WorldSettings, users: Users, counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """User of each view, and whether it leads to a cart and to a purchase; views enough for all rows."""
    who = np.repeat(np.arange(len(counts)), counts)
    cart_rate, purchase_rate = funnel_rates(settings, users)
    chance = draw.random((2, len(who)), dtype=np.float32)
    cart = chance[0] < cart_rate.astype(np.float32)[who]
    bought = cart & (chance[1] < purchase_rate.astype(np.float32)[who])
    rows = 1 + cart.astype(np.int64) + bought
    before = np.cumsum(rows) - rows
    starts = (np.cumsum(counts) - counts).clip(max=max(0, len(who) - 1))
    needed = before - before[starts][who] < counts[who] if len(who) else np.zeros(0, bool)
    return who[needed], cart[needed], bought[needed]


def funnel_rates(settings: WorldSettings, users: Users) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability of a cart after a view and of a purchase after a cart, by user."""
    alive = ~users.is_bot
    return tuple((rate * users.keenness).clip(max=1) * alive for rate in (settings.cart, settings.purchase))  # type: ignore[return-value]


def _times(
    draw: np.random.Generator, settings: WorldSettings, calendar: Calendar, users: Users, who: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Second of each view since the beginning."""
    if not len(who):
        return np.zeros(0, np.int64)
    begins = draw.random(len(who), dtype=np.float32) < 1 / settings.session
    begins[0] = True
    begins[1:] |= who[1:] != who[:-1]
    first = np.flatnonzero(begins)
    session = np.cumsum(begins) - 1
    visitor = who[first]
    passed = users.joined[visitor]
    passed += draw.random(len(first)) * (1 - passed)
    starts = calendar.seconds(passed)
    bots = users.is_bot[visitor]
    starts[bots] = _evenly(calendar, users, visitor[bots], draw)
    gone = np.cumsum(draw.standard_exponential(len(who), dtype=np.float32), dtype=np.float64)
    gone -= gone[first][session]
    times: NDArray[np.int64] = np.minimum(starts[session] + GAP * gone, settings.days * DAY - 1).astype(np.int64)
    return times


def _evenly(
    calendar: Calendar, users: Users, visitor: NDArray[np.int64], draw: np.random.Generator
) -> NDArray[np.float64]:
    """Times that do not care for the hour, since the user came."""
    came = calendar.seconds(users.joined[visitor])
    return came + draw.random(len(visitor)) * (calendar.settings.days * DAY - came)


def _tastes(
    draw: np.random.Generator,
    settings: WorldSettings,
    prior: NDArray[np.float64],
    users: Users,
    who: NDArray[np.int64],
    days: NDArray[np.int64],
) -> NDArray[np.int16]:
    """Taste of each view."""
    late = draw.random(len(who), dtype=np.float32) < settings.taste_drift * days / max(1, settings.days - 1)
    sets = 2 * who + late
    bounds = np.cumsum(users.shares, axis=2)[:, :, :-1].reshape(2 * len(users.joined), -1)
    chance = draw.random(len(who))
    slots = sum((chance >= bounds[:, place][sets]).astype(np.int64) for place in range(bounds.shape[1]))
    found: NDArray[np.int16] = users.tastes.reshape(-1)[sets * users.tastes.shape[2] + slots]
    free = np.flatnonzero(draw.random(len(who), dtype=np.float32) < settings.exploration)
    found[free] = np.searchsorted(np.cumsum(prior)[:-1], draw.random(len(free)), side="right")
    return found


def _reorders(
    draw: np.random.Generator,
    catalogue: Catalogue,
    purchases: NDArray[np.int64],
    items: NDArray[np.int32],
    times: NDArray[np.int64],
    end: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What is bought again: view that it goes back to, second, and the how-manieth time it is, from 0."""
    active, at = purchases, times[purchases] + TO_PURCHASE
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    while len(active):
        again = draw.random(len(active), dtype=np.float32) < catalogue.reorder_rates[items[active]]
        active, at = active[again], at[again]
        gaps = catalogue.reorder_days[items[active]] * draw.standard_gamma(SHAPE, len(active)) / SHAPE
        at = at + (gaps * DAY).astype(np.int64)
        active, at = active[at <= end], at[at <= end]
        found.append((active, at, np.full(len(active), len(found))))
    if not found:
        return (np.zeros(0, np.int64),) * 3
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))  # type: ignore[return-value]
