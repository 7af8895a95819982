"""Facts of an item: each field, as the bundle says it and as it was changed since, and which of the two counts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys_vae.data.columns import POPULARITY
from service.ranking.live_items import Description, LiveItems
from service.ranking.overlay import known_at
from service.ranking.served_model import Catalogue
from service.store.item_records import Dated, ItemRecord

BUNDLE, LIVE = "bundle", "change"


@dataclass(frozen=True)
class Fact:
    """A field.

    Attributes:
        name: of the field.
        now: its value; None for none.
        source: `bundle` or `change`, whichever counts; None where neither says anything.
        since: from when on, in microseconds since 1970, UTC.
        in_bundle: what the bundle says.
        in_change: what was changed since, with its time; None where nothing was.
        is_other: whether both say something, and not the same.
    """

    name: str
    now: Any
    source: str | None
    since: int | None
    in_bundle: Any
    in_change: Dated | None

    @property
    def is_other(self) -> bool:
        """Whether the bundle and a change say different things."""
        return self.in_change is not None and self.in_bundle is not None and self.in_change.value != self.in_bundle


@dataclass(frozen=True)
class ItemFacts:
    """What is known of an item.

    Attributes:
        described: as the API tells it.
        facts: its fields, by name.
        row: in the bundle; -1 where that does not hold it.
        record: what was changed.
    """

    described: Description
    facts: tuple[Fact, ...]
    row: int
    record: ItemRecord


def facts_of(items: LiveItems, catalogue: Catalogue, item_id: str) -> ItemFacts | None:
    """What is known of an item; None where nobody knows it. Waits for the store."""
    described = items.describe(catalogue, item_id)
    if described is None:
        return None
    live = items.held(item_id)
    record = ItemRecord() if live is None else live.record
    [row] = catalogue.rows([item_id]).tolist()
    columns = catalogue.filters.metadata
    names = [name for name in dict.fromkeys((*columns.types, *record.fields)) if name != POPULARITY]
    now = catalogue.overlay.values(np.array([row]), names)[0] if row >= 0 else {}
    bundle_at = known_at(catalogue.chain.bundle.manifest)
    with columns.lock:
        own = {name: columns[name].base_value(row) for name in names if row >= 0 and name in columns.own}
    found = [_fact(name, now if row >= 0 else described.fields, own.get(name), record, bundle_at) for name in names]
    return ItemFacts(described, tuple(one for one in found if _says(one)), row, record)


def _fact(name: str, now: Any, in_bundle: Any, record: ItemRecord, bundle_at: int) -> Fact:
    value, change = now.get(name), record.fields.get(name)
    counts = change is not None and (change.at >= bundle_at or in_bundle is None)
    was_replaced = change is None and (record.replaced_at or 0) >= bundle_at and in_bundle is not None
    if counts and change is not None:
        return Fact(name, value, LIVE, change.at, in_bundle, change)
    if was_replaced:
        return Fact(name, value, LIVE, record.replaced_at, in_bundle, None)
    return Fact(name, value, None if in_bundle is None else BUNDLE, bundle_at, in_bundle, change)


def _says(fact: Fact) -> bool:
    return fact.now is not None or fact.in_bundle is not None or fact.in_change is not None
