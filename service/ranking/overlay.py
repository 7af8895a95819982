"""Overlay: what was changed about items, laid over the metadata of one bundle; what is hidden is in no answer.

Of a field's two values, that of the bundle and that of a change, the newer one counts. A bundle knows its metadata as
of its training cut-off, or of when it was written, where it has none. It never brings back what was deleted or hidden.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from threading import RLock
from typing import Any, NamedTuple, Protocol

import numpy as np

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.manifest import Manifest
from recsys_vae.data.columns import POPULARITY
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from service import timestamps
from service.errors import FieldError
from service.ranking.filters import Filters
from service.ranking.live_columns import Columns
from service.store.item_feed import Known
from service.store.item_records import FieldValue, ItemRecord, LiveItem
from service.store.live_events import LiveEvents

logger = logging.getLogger("recsys.service")

BEGINNING = (-1, 0)


class Feed(Protocol):
    """Changes of items, in the order in which they became known."""

    def since(self, position: tuple[int, int]) -> Known:
        """What became known after a position."""
        ...


class Counted(NamedTuple):
    """Stored events of items as they were counted at a moment, in microseconds since 1970."""

    events: LiveEvents = LiveEvents()
    at: int = 0


class Newcomers:
    """Items that are not in the bundle, in the order in which they came here.

    Args:
        bundle: whose columns they have too.

    Attributes:
        filters: over their metadata.
        ids: of the items.
        numbers: that they have in every process, see `LiveItem`.
        are_recommended: whether lists of users may hold them; lists without a user may in any case.
        counted: what was counted of their stored events, as of when.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.filters = Filters(bundle.item_table.clear())
        self.are_recommended = False
        self.counted = Counted()
        self.ids: list[str] = []
        self.numbers: list[int] = []
        self._is_shown: list[bool] = []
        self._map = bundle.tiers.content
        self._vectors: dict[int, Float32Array] = {}
        self._placed: dict[int, Float32Array] | None = None
        self._flags: BoolArray | None = None
        self._places: dict[str, int] = {}
        self._numbered: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._places

    @property
    def vectors(self) -> Mapping[int, Float32Array]:
        """Place -> vector of those whose content says where they belong; what is handed out stays as it is."""
        if self._placed is None:
            self._placed = dict(self._vectors)
        return self._placed

    def describe(self, place: int, values: Mapping[str, FieldValue | None]) -> None:
        """Place an item by its content, as far as that says anything."""
        if self._map is None:
            return
        [vector], [is_known] = self._map.vectors([values])
        self._placed = None
        if is_known:
            self._vectors[place] = vector
        else:
            self._vectors.pop(place, None)

    def take_in(self, items: Iterable[LiveItem]) -> None:
        """Give a place to each that has none, at the end; the columns grow once, as that costs a copy of them."""
        fresh = [item for item in items if item.item_id not in self._places]
        if not fresh:
            return
        self.filters.metadata.grow(len(self) + len(fresh))
        for item in fresh:
            self._places[item.item_id] = self._numbered[item.number] = len(self)
            self.ids.append(item.item_id)
            self.numbers.append(item.number)
            self._is_shown.append(False)

    def place(self, item_id: str) -> int:
        """Of an item that was taken in."""
        return self._places[item_id]

    @property
    def flags(self) -> BoolArray:
        """Of those that may be in answers, not to be written to."""
        flags = self._flags
        if flags is None or len(flags) < len(self):
            flags = self._flags = np.array(self._is_shown, dtype=np.bool_)
        return flags

    def show(self, place: int, *, is_shown: bool) -> None:
        """Say whether an item may be in answers."""
        if self._is_shown[place] is not is_shown:
            self._is_shown[place], self._flags = is_shown, None

    def places(self, item_ids: Iterable[str]) -> list[int]:
        """Of those that are here."""
        return [self._places[item_id] for item_id in item_ids if item_id in self._places]

    def numbered(self, number: int) -> int | None:
        """The place of the item with a number; None where it is not here."""
        return self._numbered.get(number)


class Overlay:
    """What was changed about items, as one catalogue shows it.

    It changes while answers are computed. An answer reads all that it needs of it while it holds the lock, once, and
    goes by that to its end: `query_resolution.resolve`.

    Args:
        bundle: below it.
        rows: item rows of ids, -1 where the bundle does not hold one.

    Attributes:
        filters: over the metadata of the bundle's items as they are now.
        newcomers: items that the bundle does not hold.
        shown: flags of the bundle's items that may be in answers, not to be written to; None for all.
        sequence: of the change after which items are as they are here: all up to it are shown, and none later.
        lock: held while they change, and by whoever needs them as of one moment.
    """

    def __init__(self, bundle: Bundle, rows: Callable[[Iterable[str]], Int64Array]) -> None:
        self._bundle = bundle
        self._rows = rows
        self._known_at = known_at(bundle.manifest)
        self._has_warned = False
        self.lock = RLock()
        self._begin()

    def _begin(self) -> None:
        """Show what the bundle says."""
        self._position = BEGINNING
        self.filters = Filters(self._bundle.item_table)
        self.newcomers = Newcomers(self._bundle)
        self.shown: BoolArray | None = None
        self.sequence = 0
        self._is_hidden = np.zeros(len(self._bundle.items), dtype=np.bool_)
        self._has_new_hidden = False
        self._deleted: set[int] = set()

    def follow(self, feed: Feed, *, recommends_new: bool) -> None:
        """Show what was changed since the last time.

        Args:
            feed: of the changes.
            recommends_new: whether lists of users may hold items that the bundle does not hold.
        """
        with self.lock:
            known = feed.since(self._position)
            if known.position[0] != self._position[0] and self._position != BEGINNING:
                self._begin()  # the store was put back
            self.newcomers.are_recommended = recommends_new
            self._take(known.items)
            self._position, self.sequence = known.position, known.sequence

    def _take(self, items: Sequence[LiveItem]) -> None:
        if not items:
            return
        rows = self._rows([item.item_id for item in items]).tolist()
        self.newcomers.take_in(item for item, row in zip(items, rows, strict=True) if row < 0)
        for item, row in zip(items, rows, strict=True):
            if row >= 0:
                self._show(item.record, row)
            else:
                self._show_new(item)
        if self._has_new_hidden:
            self.shown = ~self._is_hidden if self._is_hidden.any() else None
            self._has_new_hidden = False

    @property
    def places_new(self) -> bool:
        """Whether the bundle places newcomers by their content."""
        return self._bundle.tiers.content is not None

    def values(self, rows: Int64Array, names: Sequence[str]) -> list[dict[str, Any]]:
        """Chosen columns of items of the bundle, one dictionary an item."""
        found = self.filters.metadata.values(rows, names)
        return [dict(zip(names, values, strict=True)) for values in zip(*found, strict=True)]

    @property
    def deleted(self) -> Int64Array:
        """Rows of the items of the bundle that were deleted."""
        return np.fromiter(sorted(self._deleted), np.int64)

    def is_deleted(self, row: int) -> bool:
        """Whether an item of the bundle was."""
        return row in self._deleted

    def check_names(self, names: Sequence[str], field: str) -> None:
        """Raise FieldError where there is no such column, `field` being that of the request."""
        for place, name in enumerate(names):
            if name not in self.filters.metadata:
                known = ", ".join(self.filters.columns)
                message = f"the items of the bundle in service have no column {name!r}; there are: {known}"
                raise FieldError(f"{field}.{place}", message)

    def _show(self, record: ItemRecord, row: int) -> None:
        self._has_new_hidden |= bool(self._is_hidden[row]) is record.is_shown
        self._is_hidden[row] = not record.is_shown
        (self._deleted.add if record.deleted_at is not None else self._deleted.discard)(row)
        self._put(self.filters.metadata, row, self._newest(record, row), self.newcomers.filters.metadata)

    def _show_new(self, item: LiveItem) -> None:
        place = self.newcomers.place(item.item_id)
        values = {name: dated.value for name, dated in item.record.fields.items()}
        self._put(self.newcomers.filters.metadata, place, values, self.filters.metadata)
        self.newcomers.describe(place, values)
        self.newcomers.show(place, is_shown=item.record.is_shown)

    def _put(self, columns: Columns, row: int, values: Mapping[str, FieldValue | None], others: Columns) -> None:
        others.have(values)
        unfit = columns.put(row, values)
        if unfit and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Items have values that do not fit the columns of bundle %s, which keep what it has, such as in %s.",
                self._bundle.version,
                ", ".join(unfit),
            )

    def described(self, record: ItemRecord, row: int) -> dict[str, Any]:
        """All columns of an item of the bundle, as it is with what was changed about it."""
        columns = self.filters.metadata
        newest = {name: value for name, value in self._newest(record, row).items() if columns.takes(name, value)}
        return {name: columns[name].base_value(row) for name in columns.own} | newest

    def _newest(self, record: ItemRecord, row: int) -> dict[str, FieldValue | None]:
        """What is newer than the bundle's own."""
        own = self.filters.metadata
        found: dict[str, FieldValue | None] = {}
        if (record.replaced_at or 0) >= self._known_at:
            found = dict.fromkeys(name for name in own.own if name != POPULARITY)
        for name, dated in record.fields.items():
            if dated.at >= self._known_at or name not in own.own or own[name].base_value(row) is None:
                found[name] = dated.value
        return found


def known_at(manifest: Manifest) -> int:
    """As of when a bundle knows the metadata of its items, in microseconds since 1970, UTC."""
    written = timestamps.to_microseconds(datetime.fromisoformat(manifest.created_at))
    cutoff = manifest.provenance.training_cutoff
    return written if cutoff is None else min(written, timestamps.to_microseconds(datetime.fromisoformat(cutoff)))
