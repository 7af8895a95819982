"""The k-core by rounds of calls: each counts the items of a part, and a tree of further calls adds the counts up."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.cluster.work import begin, joined, share
from pipelines.ingest.cleaning_compiled import CompiledCore
from pipelines.ingest.distributed.files_read import own_folder
from pipelines.ingest.dropped_rows import DroppedRows
from recsys_vae.data import columns as c
from recsys_vae.errors import ConfigError
from recsys_vae.native.table_rows import core_round
from recsys_vae.native.tables import tables


class PartRows(NamedTuple):
    """Rows of a part in a file: its number, its first user and the one after its last, and where they are."""

    number: int
    users: tuple[int, int]
    path: Path

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Users and items, uint32."""
        rows = pl.scan_ipc(self.path, glob=False).select(c.USER, c.ITEM).collect()
        return np.array(rows[c.USER].to_numpy()), np.array(rows[c.ITEM].to_numpy())


class Round(NamedTuple):
    """What a round found in some parts: whether it took a user, the items that are left with their rows, and files of
    the users that are taken by now, by part.
    """  # fmt: skip

    took: bool
    items: np.ndarray
    rows: np.ndarray
    users_taken: dict[int, Path]

    @staticmethod
    def joined(rounds: "list[Round]") -> "Round":
        """Several as one."""
        items = np.concatenate([one.items for one in rounds])
        found, places = np.unique(items, return_inverse=True)
        rows = np.bincount(places, weights=np.concatenate([one.rows for one in rounds])).astype(np.int64)
        users = {part: path for one in rounds for part, path in one.users_taken.items()}
        return Round(any(one.took for one in rounds), found, rows, users)


@dataclass(frozen=True)
class CoreLeft:
    """What a k-core leaves.

    Attributes:
        items_taken: of each item whether it is taken, packed to bits.
        users_taken: likewise of the users of each part, in files.
        n_items: how many items there are.
        rounds: how often the parts were looked at.
    """

    items_taken: np.ndarray
    users_taken: dict[int, Path]
    n_items: int
    rounds: int

    def thin(self, rows: pl.DataFrame, part: PartRows, lost: DroppedRows) -> pl.DataFrame:
        """Rows of a part that are left; the others are counted."""
        taken = np.load(self.users_taken[part.number]), _unpacked(self.items_taken, self.n_items)
        return CompiledCore(_library(), *taken, self.rounds).thin(rows, lost)


def take_core(parts: Sequence[PartRows], min_user: int, min_item: int, n_items: int, folder: Path) -> CoreLeft:
    """The k-core of all parts, in as many rounds as on one machine."""
    items_taken = np.zeros(n_items, bool)
    users_taken: dict[int, Path] = {}
    rounds = 0
    while True:
        rounds += 1
        packed = share(np.packbits(items_taken))
        calls = [begin(_round, part, packed, n_items, users_taken.get(part.number), min_user, folder) for part in parts]
        found = joined(Round.joined, calls)
        users_taken = found.users_taken
        counts = np.zeros(n_items, np.int64)
        counts[found.items] = found.rows
        few = (counts > 0) & (counts < min_item)
        if not found.took and not few.any():
            return CoreLeft(np.packbits(items_taken | (counts == 0)), users_taken, n_items, rounds)
        items_taken |= few


def _round(part: PartRows, packed: np.ndarray, n_items: int, taken: Path | None, min_user: int, folder: Path) -> Round:
    """A round over one part, from its rows on; what earlier rounds have taken is left out first."""
    users, items = part.pairs()
    items_taken, counts = _unpacked(packed, n_items), np.zeros(n_items, np.int64)
    first, end = part.users
    users_taken = np.zeros(end - first, bool) if taken is None else np.load(taken)
    left = ~(users_taken[users] | items_taken[items])
    users, items = users[left], items[left]
    _, took = core_round(_library(), users, items, items_taken, users_taken, counts, min_user)
    np.save(path := own_folder(folder) / "users.npy", users_taken)
    met = np.flatnonzero(counts)
    return Round(took, met, counts[met], {part.number: path})


def _library() -> ctypes.CDLL:
    library = tables()
    if library is None:
        raise ConfigError(
            "A k-core on a cluster takes the compiled loops, which a node lacks. Install the product there from a "
            "wheel, or with g++ at hand; or leave out --min-user and --min-item."
        )
    return library


def _unpacked(packed: np.ndarray, size: int) -> np.ndarray:
    return np.unpackbits(packed, count=size).astype(bool)
