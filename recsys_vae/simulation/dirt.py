"""Dirt: rows beside the others that break the contract or are there already, and what of it is known."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_vae.simulation.events import KINDS, Rows, joined
from recsys_vae.simulation.population import STUCK, Users
from recsys_vae.simulation.settings import WorldSettings
from recsys_vae.simulation.streams import Stream, stream

FAULTS: Final = ("", "no_user", "no_item", "unknown_event", "bad_time")
NO_USER, NO_ITEM, UNKNOWN_EVENT, BAD_TIME = range(1, 5)


@dataclass(frozen=True)
class Account:
    """What is in a log, counted as it was drawn; accounts of parts add up.

    Attributes:
        rows: all of them.
        events: those of users and bots, before dirt.
        duplicates: copies of others, which keep the contract.
        no_user, no_item, unknown_event, bad_time: rows that break the contract, by what is wrong.
        view, cart, purchase: of `events`, by kind.
        pairs: of a user and an item that any row that keeps the contract names.
        users: with such rows.
        of_bots: of `events`.
        skewed: of `events`, those with a wrong time.
        before_1990: of the rows that keep the contract, those of clocks that have lost the time.
    """

    rows: int = 0
    events: int = 0
    duplicates: int = 0
    no_user: int = 0
    no_item: int = 0
    unknown_event: int = 0
    bad_time: int = 0
    view: int = 0
    cart: int = 0
    purchase: int = 0
    pairs: int = 0
    users: int = 0
    of_bots: int = 0
    skewed: int = 0
    before_1990: int = 0

    @classmethod
    def total(cls, accounts: Iterable["Account"]) -> "Account":
        """Of all together."""
        found = list(accounts)
        return cls(**{one.name: sum(getattr(account, one.name) for account in found) for one in fields(cls)})


def soiled(
    settings: WorldSettings, users: Users, rows: Rows, block: int, *, has_times_as_text: bool
) -> tuple[Rows, Account]:
    """Rows of a block with its dirt, and the account of both.

    Args:
        has_times_as_text: whether a time can be a text that is none; where not, such rows have an unknown event.
    """
    draw = stream(settings.seed, Stream.DIRT, block)
    n_bad, n_copies = draw.binomial(len(rows), [settings.bad, settings.duplicates]).tolist()
    copies = rows.taken(draw.integers(0, max(1, len(rows)), n_copies))
    bad = rows.taken(draw.integers(0, max(1, len(rows)), n_bad))
    faults = draw.integers(1, len(FAULTS), n_bad).astype(np.int8)
    if not has_times_as_text:
        faults[faults == BAD_TIME] = UNKNOWN_EVENT
    bad.faults[:] = faults
    own = rows.users - users.first
    by_kind = np.bincount(rows.kinds, minlength=len(KINDS)).tolist()
    by_fault = np.bincount(faults, minlength=len(FAULTS)).tolist()
    is_stuck = users.clock == STUCK - settings.first_second
    account = Account(
        rows=len(rows) + n_copies + n_bad,
        events=len(rows),
        duplicates=n_copies,
        **dict(zip(FAULTS[1:], by_fault[1:], strict=True)),
        **dict(zip(KINDS, by_kind, strict=True)),
        pairs=_distinct(own * settings.items + rows.items),
        users=int(np.count_nonzero(np.bincount(own, minlength=len(users.joined)))),
        of_bots=int(users.is_bot[own].sum()),
        skewed=int((users.clock[own] != 0).sum()),
        before_1990=int(is_stuck[own].sum() + is_stuck[copies.users - users.first].sum()),
    )
    return joined([rows, copies, bad]), account


def _distinct(keys: NDArray[np.int64]) -> int:
    return pl.Series(keys).n_unique()  # by hashes: half the time of np.unique
