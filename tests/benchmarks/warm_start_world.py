"""A log in time order, its last fifth arriving as several updates: what `warm_start` measures on."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipelines.dataset.directory import DatasetDir
from recsys_vae.data.columns import ITEM, TIMESTAMP, USER
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.splits import HeldOut, over_catalogue, take_users
from recsys_vae.protocols import BoolArray, Int64Array
from tests.benchmarks.quickstart import POSITIVES, recsys

UPDATES = 7
LAST_SHARE = 0.2
VALIDATION_USERS, TEST_USERS = 500, 1000
FOLD_IN = 0.8


@dataclass(frozen=True, eq=False)
class Step:
    """What there is to learn from after some updates.

    Attributes:
        interactions: of the users who are trained on, over the items that they have touched so far.
        has_news: who has done something since the step before, shape (n_users,).
        validation, test: users who are never trained on, over the same items.
        is_new: which items did not exist at step 0, shape (n_items,).
    """

    interactions: Interactions
    has_news: BoolArray
    validation: HeldOut
    test: HeldOut
    is_new: BoolArray


@dataclass(frozen=True, eq=False)
class World:
    """A log in time order.

    Attributes:
        users, items: of the whole log.
        user_rows, item_rows: of its events, in time order.
        arrived: at which step each event is there, from 0.
        validation, test: rows of users who are never trained on, with what they are shown and asked.
    """

    users: IdMap
    items: IdMap
    user_rows: Int64Array
    item_rows: Int64Array
    arrived: Int64Array
    validation: HeldOut
    test: HeldOut

    def step(self, number: int) -> Step:
        """What there is after so many updates."""
        asked = np.isin(np.arange(len(self.users)), self.users.rows(self.validation.users.values))
        asked |= np.isin(np.arange(len(self.users)), self.users.rows(self.test.users.values))
        trained = ~asked[self.user_rows]
        whole, start = self._matrix(trained & (self.arrived <= number)), self._matrix(trained & (self.arrived == 0))
        catalogue = entries.seen_columns(whole.matrix)
        present = np.flatnonzero(entries.row_lengths(whole.matrix))
        news = np.unique(self.user_rows[trained & (self.arrived == number)])
        return Step(
            over_catalogue(take_users(whole, present), catalogue),
            np.isin(present, news),
            _over(self.validation, catalogue),
            _over(self.test, catalogue),
            (start.item_counts() == 0)[catalogue],
        )

    def _matrix(self, chosen: BoolArray) -> Interactions:
        rows, columns = self.user_rows[chosen], self.item_rows[chosen]
        found = Interactions.from_rows(rows, columns, np.ones(len(rows)), users=self.users, items=self.items)
        return found.binarised()


def _over(part: HeldOut, catalogue: Int64Array) -> HeldOut:
    histories, targets = (entries.keep_columns(matrix, catalogue) for matrix in (part.histories, part.targets))
    return HeldOut(part.users, histories, targets)


@lru_cache
def world(dataset: str, launched: int = 0) -> World:
    """The positive ratings of a public dataset; events without a time come before all others.

    Args:
        launched: so many items, drawn at random, did not exist at the start: what users who are trained on had done
            with them then is left out.
    """
    directory = DatasetDir.at(f"bench-{DATASETS[dataset]}")
    if not directory.interactions_path.is_file():
        recsys("ingest", dataset, "--to", directory.name, *POSITIVES)
    frame = directory.interactions().select(USER, ITEM, TIMESTAMP).collect()
    frame = frame.sort(TIMESTAMP, USER, ITEM, nulls_last=False)
    users, items = IdMap.from_values(frame[USER]), IdMap.from_values(frame[ITEM])
    place = np.arange(frame.height)
    last = int(frame.height * (1 - LAST_SHARE))
    arrived = np.where(place < last, 0, 1 + (place - last) * UPDATES // (frame.height - last))
    user_rows, item_rows = users.rows(frame[USER]), items.rows(frame[ITEM])
    everything = Interactions.from_rows(user_rows, item_rows, np.ones(frame.height), users=users, items=items)
    validation, test = _held_out(everything)
    late = np.isin(item_rows, np.random.default_rng(1).permutation(len(items))[:launched])
    existed = ~late | (arrived > 0)
    return World(users, items, user_rows[existed], item_rows[existed], arrived[existed], validation, test)


def _held_out(everything: Interactions) -> tuple[HeldOut, HeldOut]:
    """Users drawn at random, a fifth of whose items is asked."""
    rng = np.random.default_rng(0)
    share = min(1.0, everything.n_users / 6000)
    sizes = [int(share * n) for n in (VALIDATION_USERS, TEST_USERS)]
    drawn = rng.permutation(everything.n_users)
    parts = np.split(drawn, np.cumsum(sizes))[:2]
    return _asked(everything, np.sort(parts[0]), rng), _asked(everything, np.sort(parts[1]), rng)


def _asked(everything: Interactions, rows: Int64Array, rng: np.random.Generator) -> HeldOut:
    own = take_users(everything, rows).binarised()
    shown = entries.draw(own.matrix, np.ceil(FOLD_IN * entries.row_lengths(own.matrix) - 1e-9).astype(np.int64), rng)
    return HeldOut(own.users, entries.pick(own.matrix, shown), entries.pick(own.matrix, ~shown))


DATASETS = {"movielens-100k": "ml-100k", "movielens-1m": "ml-1m"}
