"""Losses: how many rows each rule took of each user and item, so that one can ask later why something is missing."""

from pathlib import Path

import numpy as np
import polars as pl

from pipelines.ingest.cleaning import DROPPED_BY, Rule
from pipelines.ingest.kept_rows import TableWriter
from pipelines.ingest.summary import Count
from pipelines.ingest.table_schemas import DROPPED_ROWS
from recsys_vae.data import columns as c

USER_ENTITY, ITEM_ENTITY = "user", "item"


class LossCounts:
    """Rows by rule and user, and by rule and item, both as numbers; in memory is one count for each.

    Attributes:
        counts: by "user" or "item" and rule, uint32 of shape (users,) or (items,).
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[str, Rule], np.ndarray] = {}
        self._rooms: dict[tuple[str, Rule], np.ndarray] = {}
        """Arrays whose beginnings are the counts, as long as these grow."""

    def room(self, rule: Rule, n_users: int, n_items: int) -> tuple[np.ndarray, np.ndarray]:
        """Counts of a rule by user and by item, to add to; of so many, who may be more than before."""
        return self._room((USER_ENTITY, rule), n_users), self._room((ITEM_ENTITY, rule), n_items)

    def _room(self, key: tuple[str, Rule], size: int) -> np.ndarray:
        known = self.counts.get(key, np.empty(0, np.uint32))
        if len(known) < size:
            room = self._rooms.get(key, known)
            if known.base is not room or len(room) < size:
                self._rooms[key] = room = np.zeros(max(size, 2 * len(known)), np.uint32)
                room[: len(known)] = known
            self.counts[key] = room[:size]
        return self.counts[key]

    def add(self, marked: pl.DataFrame, n_users: int, n_items: int) -> None:
        """Count the rows that have a rule in `lost_to`; more numbers than before may be known by now."""
        rules = marked[DROPPED_BY].to_physical().fill_null(255).to_numpy()
        users, items = marked[c.USER].to_numpy(), marked[c.ITEM].to_numpy()
        has_rows = np.bincount(rules, minlength=len(Rule)) > 0
        for number, rule in enumerate(Rule):
            if has_rows[number]:
                lost = rules == number
                self.count(rule, users[lost], items[lost], n_users, n_items)

    def count(self, rule: Rule, users: np.ndarray, items: np.ndarray, n_users: int, n_items: int) -> None:
        """Count rows that a rule took."""
        of_users, of_items = self.room(rule, n_users, n_items)
        np.add.at(of_users, users, np.uint32(1))
        np.add.at(of_items, items, np.uint32(1))

    def count_each(self, rule: Rule, of_users: np.ndarray, of_items: np.ndarray) -> None:
        """Count rows that a rule took of each user and item; more numbers than before may be known by now."""
        for known, counts in zip(self.room(rule, len(of_users), len(of_items)), (of_users, of_items), strict=True):
            known[: len(counts)] += counts

    def join(self, other: "LossCounts", first_user: int, n_users: int) -> None:
        """Add what was counted of some users, whose numbers are counted from `first_user` on, and of all items."""
        for (entity, rule), counts in other.counts.items():
            first, size = (first_user, n_users) if entity == USER_ENTITY else (0, len(counts))
            self._room((entity, rule), size)[first : first + len(counts)] += counts

    def placed(self, user_places: np.ndarray, item_places: np.ndarray) -> "LossCounts":
        """The same by other numbers: of each that was counted by its place."""
        places = {USER_ENTITY: user_places, ITEM_ENTITY: item_places}
        found = LossCounts()
        for (entity, rule), counts in self.counts.items():
            # Several numbers may have one place: 12.0 and 12.
            by_place = np.zeros(int(places[entity].max()) + 1, np.uint32)
            np.add.at(by_place, places[entity][: len(counts)], counts)
            found.counts[entity, rule] = by_place
        return found


class DroppedRows:
    """Adds up losses part by part, and writes them under their ids."""

    def __init__(self, user_ids: pl.Series, item_ids: pl.Series, before: LossCounts | None = None) -> None:
        """Args:
        user_ids: texts of the numbers that stand for users in the parts, in byte order.
        item_ids: likewise.
        before: losses that were counted before there were parts.
        """
        self._ids = {USER_ENTITY: user_ids, ITEM_ENTITY: item_ids}
        self._losses = before or LossCounts()

    @property
    def losses(self) -> LossCounts:
        """What was counted."""
        return self._losses

    def join(self, losses: LossCounts, first_user: int) -> None:
        """Add what was counted of a part, whose users are counted from `first_user` on."""
        self._losses.join(losses, first_user, len(self._ids[USER_ENTITY]))

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self._ids[ITEM_ENTITY])

    def add(self, marked: pl.DataFrame) -> None:
        """Count the rows of a part that have a rule in `lost_to`. No row may be given twice with the same rule."""
        self._losses.add(marked, len(self._ids[USER_ENTITY]), self.n_items)

    def count_each(self, rule: Rule, of_users: np.ndarray, of_items: np.ndarray) -> None:
        """Count rows that a rule took of each user and item, or of the first of them."""
        self._losses.room(rule, len(self._ids[USER_ENTITY]), self.n_items)
        self._losses.count_each(rule, of_users, of_items)

    def count(self, rule: Rule, users: np.ndarray, items: np.ndarray) -> None:
        """Count rows that a rule took, by their numbers."""
        self._losses.count(rule, users, items, len(self._ids[USER_ENTITY]), self.n_items)

    def counts(self, entity: str, rule: Rule) -> np.ndarray:
        """Rows that a rule took of each user or item, int64."""
        found = self._losses.counts.get((entity, rule))
        return np.zeros(len(self._ids[entity]), np.int64) if found is None else found.astype(np.int64)

    def totals(self) -> tuple[Count, ...]:
        """Rows that each rule took, in the order of the rules."""
        found = [(rule, int(self.counts(USER_ENTITY, rule).sum())) for rule in Rule]
        return tuple(Count(rule.value, rows) for rule, rows in found if rows)

    def write(self, path: Path) -> None:
        """All counts as one table, sorted, so that one id is found without reading the rest."""
        rules = pl.Series(sorted({rule.value for _, rule in self._losses.counts}), dtype=pl.String)
        entities = sorted(self._ids)
        with TableWriter(path, DROPPED_ROWS) as table:
            for number, entity in enumerate(entities):
                texts = {"entity": pl.Series(entities), "id": self._ids[entity], "rule": rules}
                table.write(self._of(entity, number, rules), texts)

    def _of(self, entity: str, number: int, rules: pl.Series) -> pl.DataFrame:
        # In the order of the rules' names, which as columns of a matrix makes that of its cells.
        none = np.zeros(len(self._ids[entity]), np.uint32)
        matrix = np.stack([self._losses.counts.get((entity, Rule(rule)), none) for rule in rules] or [none], axis=1)
        cells = np.flatnonzero(matrix)
        ids = cells // matrix.shape[1]
        columns = {
            "entity": np.full(len(ids), number),
            "id": ids,
            "rule": cells - ids * matrix.shape[1],
            "rows": matrix.reshape(-1)[cells],
        }
        return pl.DataFrame({name: column.astype(np.uint32) for name, column in columns.items()})
