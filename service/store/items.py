"""ItemStore: what is changed about items while they are in service: prices, stock, titles, and whether they are shown.

Every change has a sequence, and changes become visible in its order: one number says whether anything has changed.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import Connection, insert, select, update

from service import timestamps
from service.store import item_versions
from service.store.bulk_insert import INSERTS
from service.store.database import Database
from service.store.group_commit import GroupCommit
from service.store.item_records import RECORD, ItemChange, ItemRecord, LiveItem, changed, kind_of, live_item
from service.store.tables import ITEM_CLOCK, ITEM_FIELDS, ITEMS

LARGEST_GROUP: Final = 5_000
"""Changes that are taken in one transaction, of several requests."""
CHUNK: Final = 5_000
MOST_FIELDS: Final = 256
"""Fields of all items together: each is a column in the memory of every process."""
LATEST_AHEAD: Final = 86_400 * 1_000_000
"""Microseconds that a change may lie ahead: further, and it is a mistake that would outlast all that is right."""


class ItemFate(StrEnum):
    """What has become of a change that was sent."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    """It changes nothing: the item is so already, or something later is known."""
    MISFIT = "misfit"
    """A field holds values of another kind, or there are too many fields."""
    OUTDATED = "outdated"
    """The item is not as it was expected."""


class Outcome(NamedTuple):
    """What has become of a change.

    Attributes:
        fate: which it is.
        sequence: of the item now; 0 where nothing is held about it.
        reason: why the change was not taken.
    """

    fate: ItemFate
    sequence: int
    reason: str | None = None


class ItemStore:
    """Changes of items in a database; every method may raise UnavailableError: the store does not answer."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._groups = GroupCommit(self._take_groups, len, LARGEST_GROUP)

    def take(self, changes: Sequence[ItemChange]) -> list[Outcome]:
        """Take changes in one transaction, and say what became of each. When this returns, they are committed."""
        return self._groups.submit(changes)

    def get(self, item_id: str) -> LiveItem | None:
        """What was changed about an item; None where nothing was."""
        with self.database.looking_up() as connection:
            found = connection.execute(select(ITEMS).where(ITEMS.c.item_id == item_id)).first()
        return None if found is None else live_item(found)

    def sequence(self) -> int:
        """Of the last change; 0 where nothing was changed."""
        with self.database.looking_up() as connection:
            return int(connection.execute(select(ITEM_CLOCK.c.sequence)).scalar_one())

    def fields(self) -> dict[str, str]:
        """Name -> kind of every field that was ever given."""
        with self.database.looking_up() as connection:
            return _fields(connection)

    def since(self, sequence: int) -> Iterator[list[LiveItem]]:
        """Items that were changed after a sequence, as they are now, in the order of their last changes, in pieces."""
        query = select(ITEMS).order_by(ITEMS.c.sequence).limit(CHUNK)
        while True:
            with self.database.looking_up() as connection:
                found = [live_item(row) for row in connection.execute(query.where(ITEMS.c.sequence > sequence))]
            if found:
                yield found
                sequence = found[-1].sequence
            if len(found) < CHUNK:
                return

    def _take_groups(self, groups: Sequence[Sequence[ItemChange]]) -> list[list[Outcome]]:
        with self.database.writing() as connection:
            # On SQLite nobody else writes now; on PostgreSQL this row keeps others waiting.
            last = connection.execute(select(ITEM_CLOCK.c.sequence).with_for_update()).scalar_one()
            held = _held(connection, {change.item_id for changes in groups for change in changes})
            work = _Transaction(held, _fields(connection), last)
            found = [[work.take(change) for change in changes] for changes in groups]
            if work.last > last:
                _write(connection, work)
            else:
                connection.rollback()
        return found


class _Transaction:
    """Changes one after the other, in memory."""

    def __init__(self, held: dict[str, LiveItem], kinds: dict[str, str], last: int) -> None:
        self.last = last
        self.changed: dict[str, LiveItem] = {}
        self.former: dict[str, LiveItem] = {}
        self.new_kinds: dict[str, str] = {}
        self._held = held
        self._kinds = kinds
        self._now = timestamps.now()

    def take(self, change: ItemChange) -> Outcome:
        before = self._held.get(change.item_id)
        sequence = 0 if before is None else before.sequence
        if change.expected is not None and change.expected != sequence:
            return Outcome(ItemFate.OUTDATED, sequence, f"the item's version is {sequence}, not {change.expected}")
        if reason := self._misfit(change):
            return Outcome(ItemFate.MISFIT, sequence, reason)
        record = ItemRecord() if before is None else before.record
        made = changed(record, change, self._now)
        if before is not None and made == record:
            return Outcome(ItemFate.DUPLICATE, sequence)
        self.last += 1
        if before is not None and change.item_id not in self.changed:
            self.former[change.item_id] = before
        after = LiveItem(change.item_id, self.last if before is None else before.number, self.last, made)
        self._held[change.item_id] = self.changed[change.item_id] = after
        return Outcome(ItemFate.ACCEPTED, self.last)

    def _misfit(self, change: ItemChange) -> str | None:
        if change.timestamp is not None and change.timestamp > self._now + LATEST_AHEAD:
            return "timestamp: it lies more than a day ahead"
        found: dict[str, str] = {}
        for name, value in change.fields.items():
            if value is None:
                continue
            kind = kind_of(value)
            known = self._kinds.get(name, kind)
            if kind is None or kind != known:
                return f"fields.{name}: {_told(known)}, and {value!r} is something else"
            found[name] = kind
        new = {name: kind for name, kind in found.items() if name not in self._kinds}
        if new and len(self._kinds) + len(new) > MOST_FIELDS:
            return f"fields.{min(new)}: items have {MOST_FIELDS} fields already, and no more are taken"
        self._kinds |= new
        self.new_kinds |= new
        return None


def _told(kind: str | None) -> str:
    return (
        "a list holds either texts or numbers" if kind is None else f"this field holds {kind}, as its first value did"
    )


def _held(connection: Connection, item_ids: Iterable[str]) -> dict[str, LiveItem]:
    wanted, found = sorted(item_ids), dict[str, LiveItem]()
    for start in range(0, len(wanted), CHUNK):
        rows = connection.execute(select(ITEMS).where(ITEMS.c.item_id.in_(wanted[start : start + CHUNK])))
        found |= {row.item_id: live_item(row) for row in rows}
    return found


def _fields(connection: Connection) -> dict[str, str]:
    return dict([tuple(row) for row in connection.execute(select(ITEM_FIELDS.c.name, ITEM_FIELDS.c.kind))])


def _write(connection: Connection, work: _Transaction) -> None:
    if work.new_kinds:
        rows = [{"name": name, "kind": kind} for name, kind in work.new_kinds.items()]
        connection.execute(insert(ITEM_FIELDS), rows)
    added = INSERTS[connection.dialect.name](ITEMS)
    told = {"sequence": added.excluded.sequence, "document": added.excluded.document}
    upsert = added.on_conflict_do_update(index_elements=[ITEMS.c.item_id], set_=told)
    connection.execute(upsert, [_row(item) for item in work.changed.values()])
    ended = ((former, work.changed[item_id].sequence) for item_id, former in work.former.items())
    item_versions.keep(connection, ended)
    connection.execute(update(ITEM_CLOCK).values(sequence=work.last))


def _row(item: LiveItem) -> dict[str, object]:
    document = RECORD.dump_json(item.record).decode()
    return {"item_id": item.item_id, "number": item.number, "sequence": item.sequence, "document": document}
