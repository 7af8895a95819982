"""World: the law of a simulated shop, its rows, and the truth behind them."""

import json
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_vae.errors import DataError
from recsys_vae.settings import from_plain
from recsys_vae.simulation.calendar import Calendar
from recsys_vae.simulation.catalogue import Catalogue
from recsys_vae.simulation.dirt import Account, soiled
from recsys_vae.simulation.events import Rows, events_of, funnel_rates
from recsys_vae.simulation.population import Users, activity_of, taste_probability, users_of
from recsys_vae.simulation.settings import WorldSettings

SETTINGS = "simulation.json"
"""File of the settings beside a log."""
ROWS_A_BLOCK, LARGEST_BLOCK = 100_000, 1 << 16


class World:
    """A shop of known law.

    Users are drawn in blocks, each by random numbers of its own: rows are the same whoever draws which blocks, in
    whichever order. The number of rows of a user is its share of all activity, rounded so that all add up.

    The truth is exact. A view of user u on day d, that is no program's, is of item i with probability

        p(i | u, d) = sum_k theta_uk(d) p(i | k, d)

    with theta as in population.py and p(i | k, d) as in catalogue.py; a program views every item that has come with
    equal probability. Purchases of what was bought before come without a view and are not in it.
    """

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        self.calendar = Calendar(settings)
        self.catalogue = Catalogue(settings, self.calendar)
        self._latest: tuple[int, Users] | None = None

    @classmethod
    def open(cls, folder: Path | str) -> "World":
        """The world of a log that `recsys simulate` wrote into a folder of this machine.

        Raises:
            DataError: no such log is there.
        """
        path = Path(folder) / SETTINGS
        try:
            content = json.loads(path.read_bytes())["settings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} holds no simulated log: {path.name} cannot be read ({error}).") from error
        return cls(from_plain(WorldSettings, content, "a simulated world"))

    @cached_property
    def block_size(self) -> int:
        """Users of a block: a power of two by which a block has some hundred thousand rows."""
        wanted = ROWS_A_BLOCK * self.settings.users / self.settings.events
        return int(2 ** np.clip(np.floor(np.log2(wanted)), 0, np.log2(LARGEST_BLOCK)))

    @property
    def n_blocks(self) -> int:
        """Blocks of users."""
        return -(-self.settings.users // self.block_size)

    @cached_property
    def _passed(self) -> NDArray[np.float64]:
        """Activity before each block, and all of it, shape (n_blocks + 1,)."""
        each = [
            activity_of(self.settings, *self._range(block), block)[0].activity.sum() for block in range(self.n_blocks)
        ]
        return np.concatenate([[0.0], np.cumsum(each)])

    def rows_before(self, block: int) -> int:
        """Rows, before dirt, of the users before a block."""
        return round(self.settings.events * float(self._passed[block] / self._passed[-1]))

    def users(self, block: int) -> Users:
        """The users of a block; the latest that was asked for is kept."""
        if self._latest is None or self._latest[0] != block:
            self._latest = block, users_of(self.settings, self.catalogue.prior, *self._range(block), block)
        return self._latest[1]

    def block(self, number: int, *, has_times_as_text: bool = True) -> tuple[Rows, Account]:
        """The rows of a block with its dirt, user by user as they were drawn, and what is in them.

        Args:
            has_times_as_text: whether a time may be a text that is none.
        """
        users = self.users(number)
        passed = self._passed[number] + np.cumsum(users.activity)
        ends = np.rint(self.settings.events * (passed / self._passed[-1])).astype(np.int64)
        first, last = self.rows_before(number), self.rows_before(number + 1)
        ends[-1] = last
        counts = np.diff(np.concatenate([[first], ends.clip(first, last)]))
        rows = events_of(self.settings, self.calendar, self.catalogue, users, counts, number)
        return soiled(self.settings, users, rows, number, has_times_as_text=has_times_as_text)

    def click_probability(self, users: ArrayLike, items: ArrayLike, times: ArrayLike) -> NDArray[np.float64]:
        """Probability that a view of a user is of an item, shape (users, items); over all items it adds up to 1.

        Args:
            users: numbers, shape (n,).
            items: numbers, shape (m,).
            times: seconds of the Unix epoch, one or of each user, shape (n,). The law changes from day to day.

        Raises:
            DataError: there is no such user or item.
        """
        who, what = _numbers(users, self.settings.users, "user"), _numbers(items, self.settings.items, "item")
        days = self.calendar.days(np.broadcast_to(np.asarray(times, dtype=np.int64), who.shape))
        shop, found = self.catalogue, np.empty((len(who), len(what)))
        for block in np.unique(who // self.block_size):
            here = np.flatnonzero(who // self.block_size == block)
            known, day = self.users(int(block)), days[here]
            rows = who[here] - known.first
            tastes = taste_probability(known, rows, day, shop.prior, self.settings) / shop.totals[:, day].T
            found[here] = sum(tastes[:, shop.tastes[what, side]] * shop.shares[what, side] for side in (0, 1))
            found[here] *= self.calendar.lifts[:, day].T[:, shop.groups[what]]
            for bot in np.flatnonzero(known.is_bot[rows]):
                found[here[bot]] = 1 / shop.come(day[bot])
        return found * (shop.arrivals[what] <= days[:, None])

    def purchase_probability(self, users: ArrayLike, items: ArrayLike, times: ArrayLike) -> NDArray[np.float64]:
        """Probability that a view is of an item and leads to its purchase, as `click_probability`."""
        who = _numbers(users, self.settings.users, "user")
        rates = np.empty((len(who), 1))
        for block in np.unique(who // self.block_size):
            here = who // self.block_size == block
            known = self.users(int(block))
            cart, purchase = funnel_rates(self.settings, known)
            rates[here, 0] = (cart * purchase)[who[here] - known.first]
        return self.click_probability(who, items, times) * rates

    def _range(self, block: int) -> tuple[int, int]:
        return block * self.block_size, min(self.settings.users, (block + 1) * self.block_size)


def _numbers(values: ArrayLike, n: int, what: str) -> NDArray[np.int64]:
    found = np.atleast_1d(np.asarray(values, dtype=np.int64))
    if len(found) and not (found.min() >= 0 and found.max() < n):
        raise DataError(f"There are {what}s 0 to {n - 1}; got {found.min()} to {found.max()}.")
    return found
