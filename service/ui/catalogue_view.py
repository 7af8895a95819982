"""View of the catalogue: one page of items in an order, and what holds of all of them.

Nothing here goes through the items one by one: masks and orders are arrays, and what does not change while a bundle is
in service is made once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from recsys_vae.bundles.item_lists import NEVER
from recsys_vae.errors import UnavailableError
from recsys_vae.pages.charts import bars
from recsys_vae.protocols import BoolArray, Int64Array
from recsys_vae.reranking.rules import NEW
from service.http.conversion import to_condition
from service.http.dependencies import Services
from service.ranking.served_model import Catalogue
from service.ui.browse import (
    COLD,
    DELETED,
    HIDDEN,
    LEAST,
    NEVER_SHOWN,
    NEWEST,
    OF_RECORD,
    SHOWN,
    SORTS,
    Browse,
    Cursor,
)  # fmt: skip
from service.ui.cards import Card, Columns, card, cards
from service.ui.item_search import with_title
from service.ui.shown_tally import Shown, tally_of

PAGE: Final = 25
"""Items of a page."""
EDGES: Final = ((0, 0, "0"), (1, 1, "1"), (2, 5, "2 to 5"), (6, 20, "6 to 20"), (21, 100, "21 to 100"),
                (101, 1_000, "101 to 1,000"), (1_001, None, "over 1,000"))  # fmt: skip
Keys = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """An item of the page.

    Attributes:
        card: what it looks like.
        users: that it was learned from; None where the bundle does not hold it.
        lists: of the lists that were counted, how many held it; None where nobody looked.
        share: of these lists.
        age_days: from its first event to the latest; None where nobody knows.
    """

    card: Card
    users: int | None = None
    lists: int | None = None
    share: float | None = None
    age_days: float | None = None
    is_hidden: bool = False
    is_deleted: bool = False


@dataclass(frozen=True)
class Totals:
    """What holds of all items of a catalogue.

    Attributes:
        items: of the bundle.
        cold: without an interaction.
        hidden: kept out of all answers, and not deleted.
        deleted: of the bundle.
        unknown: changed items that the bundle does not hold.
        showable: that may be in answers.
        shown: of these, in at least one of the lists that were counted; None where none were.
    """

    items: int
    cold: int
    hidden: int
    deleted: int
    unknown: int
    showable: int
    shown: int | None

    @property
    def coverage(self) -> float | None:
        """Share of what may be shown that was; None where nobody looked."""
        return None if self.shown is None or not self.showable else self.shown / self.showable


class Rows:
    """The rows of a catalogue by what holds of them.

    Args:
        catalogue: whose.
        shown: what was shown of it; None where nobody looked, or none was.
    """

    def __init__(self, catalogue: Catalogue, shown: Shown | None) -> None:
        self.catalogue = catalogue
        self.shown = shown
        self.popularity = catalogue.chain.bundle.popularity
        flags = catalogue.overlay.shown
        self.showable: BoolArray = np.ones(len(catalogue), dtype=np.bool_) if flags is None else flags
        self.deleted = np.zeros(len(catalogue), dtype=np.bool_)
        self.deleted[catalogue.overlay.deleted] = True

    def of(self, show: str, often: float) -> BoolArray:
        """Which ones are shown under a name of SHOWS, shape (n_items,); `often` in percent of the lists."""
        if show == COLD:
            return self.catalogue.groups[NEW]
        if show in (HIDDEN, DELETED):
            return self.deleted if show == DELETED else ~self.showable & ~self.deleted
        if show in OF_RECORD:
            return self._of_record(show, often)
        return np.ones(len(self.catalogue), dtype=np.bool_)

    def _of_record(self, show: str, often: float) -> BoolArray:
        if self.shown is None:
            return np.zeros(len(self.catalogue), dtype=np.bool_)
        if show == NEVER_SHOWN:
            found: BoolArray = self.showable & (self.shown.lists == 0)
        else:
            found = self.shown.lists >= max(1.0, often / 100 * self.shown.counted.lists)
        return found

    def totals(self, n_unknown: int) -> Totals:
        """Of all items."""
        n = {name: int(self.of(name, 0).sum()) for name in (COLD, HIDDEN, DELETED)}
        shown = None if self.shown is None else int((self.showable & (self.shown.lists > 0)).sum())
        showable = int(self.showable.sum())
        return Totals(len(self.catalogue), n[COLD], n[HIDDEN], n[DELETED], n_unknown, showable, shown)


def sorts_of(catalogue: Catalogue, shown: Shown | None) -> list[tuple[str, str]]:
    """The orders that there are, with what they are called."""
    lacks = {NEWEST} if catalogue.chain.bundle.shelves.lists.windows is None else set()
    lacks |= {SHOWN} if shown is None else set()
    return [(name, told) for name, told in SORTS.items() if name not in lacks]


def mask_of(rows: Rows, asked: Browse, columns: Columns) -> BoolArray:
    """Which items are asked for, shape (n_items,).

    Raises:
        ValueError: the filter is none.
        FieldError: it does not fit the columns in service.
    """
    catalogue, mask = rows.catalogue, rows.of(asked.show, asked.often)
    condition = asked.condition(catalogue.filters.columns)
    if condition is not None:
        mask = mask & catalogue.filters.mask(to_condition(condition))
    return mask & with_title(catalogue, asked.find, columns.title) if asked.find else mask


def page_of(rows: Rows, asked: Browse, mask: BoolArray) -> tuple[Int64Array, Cursor | None, Cursor | None]:
    """Rows of the page in order, and the cursors of the pages before and after; None where there are none."""
    order, keys = _order(rows, asked.sort)
    found = order[mask[order]]
    begin = 0
    if asked.after is not None:
        begin = _place(keys[found], found, asked.after, is_after=True)
    elif asked.before is not None:
        begin = max(0, _place(keys[found], found, asked.before, is_after=False) - PAGE)
    chosen = found[begin : begin + PAGE]
    if not len(chosen):
        return chosen, None, None
    ends = [Cursor(float(keys[row]), int(row)) for row in (chosen[0], chosen[-1])]
    return chosen, ends[0] if begin else None, ends[1] if begin + PAGE < len(found) else None


def lines_of(rows: Rows, chosen: Int64Array, columns: Columns) -> list[Line]:
    """What stands in the page."""
    catalogue, shown, numbers = rows.catalogue, rows.shown, chosen.tolist()
    windows = catalogue.chain.bundle.shelves.lists.windows
    ids = catalogue.ids(chosen)
    found = cards(catalogue, ids, columns)
    lists = [int(shown.lists[row]) if shown is not None else None for row in numbers]
    n_lists = shown.counted.lists if shown is not None else 0
    ages = [None if windows is None or windows.ages[row] == NEVER else float(windows.ages[row]) for row in numbers]
    return [
        Line(
            found[item_id],
            int(rows.popularity[row]),
            n,
            None if n is None or not n_lists else n / n_lists,
            age,
            is_hidden=not rows.showable[row] and not rows.deleted[row],
            is_deleted=bool(rows.deleted[row]),
        )
        for item_id, row, n, age in zip(ids, numbers, lists, ages, strict=True)
    ]


def unknown_lines(
    services: Services, ids: Sequence[str], asked: Browse, columns: Columns
) -> tuple[list[Line], int, Cursor | None, Cursor | None]:
    """A page of items that the bundle does not hold, those that came last first, found by their ids, and their number.

    The cursors are those of the pages before and after.
    """
    places = [place for place in range(len(ids) - 1, -1, -1) if asked.find in ids[place]]
    begin = 0
    if asked.after is not None:
        begin = sum(place >= asked.after.row for place in places)
    elif asked.before is not None:
        begin = max(0, sum(place > asked.before.row for place in places) - PAGE)
    chosen = places[begin : begin + PAGE]
    found = _new_lines(services, [ids[place] for place in chosen], columns)
    ends = [Cursor(0.0, place) for place in (chosen[0], chosen[-1])] if chosen else []
    return found, len(places), ends[0] if begin and ends else None, ends[1] if begin + PAGE < len(places) else None


def shown_of(services: Services, catalogue: Catalogue) -> tuple[Shown | None, str]:
    """What was shown of a catalogue, and why it cannot be said where it cannot; waits for the store."""
    try:
        found = tally_of(services.store.database).of(catalogue)
    except UnavailableError as error:
        return None, str(error)
    return (found, "") if found.counted.lists else (None, "")


def spread(numbers: NDArray[Any], title: str) -> Markup:
    """How many items have how much of something."""
    counts = [int(((numbers >= least) & ((numbers <= most) if most is not None else True)).sum())
              for least, most, _ in EDGES]  # fmt: skip
    return bars(title, [label for _, _, label in EDGES], counts)


_ORDERS: "WeakKeyDictionary[Catalogue, dict[str, tuple[Int64Array, Keys]]]" = WeakKeyDictionary()


def _order(rows: Rows, sort: str) -> tuple[Int64Array, Keys]:
    """All rows in an order, and the keys that it goes by, by row; small ones come first."""
    held = _ORDERS.setdefault(rows.catalogue, {})
    if sort == SHOWN and rows.shown is not None:
        return _sorted(-rows.shown.lists.astype(np.float64))
    if sort not in held:
        held[sort] = _sorted(_keys(rows, sort))
    return held[sort]


def _keys(rows: Rows, sort: str) -> Keys:
    windows = rows.catalogue.chain.bundle.shelves.lists.windows
    if sort == NEWEST and windows is not None:
        return windows.ages.astype(np.float64)
    popularity = rows.popularity.astype(np.float64)
    return popularity if sort == LEAST else -popularity


def _sorted(keys: Keys) -> tuple[Int64Array, Keys]:
    return np.argsort(keys, kind="stable").astype(np.int64), keys


def _place(keys: Keys, rows: Int64Array, cursor: Cursor, *, is_after: bool) -> int:
    """How many of some rows in order stand before a cursor, or up to it."""
    begin, end = int(np.searchsorted(keys, cursor.key, "left")), int(np.searchsorted(keys, cursor.key, "right"))
    return begin + int(np.searchsorted(rows[begin:end], cursor.row, "right" if is_after else "left"))


def _new_lines(services: Services, ids: Sequence[str], columns: Columns) -> list[Line]:
    lines = []
    for item_id in ids:
        live = services.items.held(item_id)
        if live is None:
            continue
        values = {name: dated.value for name, dated in live.record.fields.items()}
        hidden, deleted = bool(live.record.hidden.value), live.record.deleted_at is not None
        lines.append(Line(card(item_id, values, columns), is_hidden=hidden, is_deleted=deleted))
    return lines
