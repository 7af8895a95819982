"""ItemStore: what is changed about items while they are in service: prices, stock, titles, and whether they are shown.

Every change has a sequence, and changes become visible in its order: one number says whether anything has changed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from service import timestamps
from service.store import actions, item_versions
from service.store.bulk_insert import INSERTS
from service.store.database import Database
from service.store.group_commit import CommitQueue
from service.store.item_records import RECORD, ItemChange, ItemRecord, LiveItem, changed, item_of, kind_of
from service.store.tables import ITEM_CLOCK, ITEM_FIELDS, ITEMS

LARGEST_GROUP: Final = 5_000
"""Changes that are taken in one transaction, of several requests."""
CHUNK: Final = 5_000
MOST_FIELDS: Final = 256
"""Fields of all items together: each is a column in the memory of every process."""
LATEST_AHEAD: Final = 86_400 * 1_000_000
"""Microseconds that a change may lie ahead: further, and it is a mistake that would outlast all that is right."""


def _upsert(dialect: str) -> Any:
    added = INSERTS[dialect](ITEMS)
    told = {"sequence": added.excluded.sequence, "document": added.excluded.document}
    return added.on_conflict_do_update(index_elements=[ITEMS.c.item_id], set_=told)


# Made once: to put a statement together costs as much as to run it.
LOCKED_CLOCK: Final = select(ITEM_CLOCK.c.sequence).with_for_update()
SET_CLOCK: Final = update(ITEM_CLOCK).values(sequence=bindparam("last"))
NAMED: Final = select(ITEMS).where(ITEMS.c.item_id.in_(bindparam("ids", expanding=True)))
KNOWN_FIELDS: Final = select(ITEM_FIELDS.c.name, ITEM_FIELDS.c.kind)
UPSERTS: Final = {dialect: _upsert(dialect) for dialect in INSERTS}


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
        item: as it is after the change, where that was taken; None where nothing is held about it.
    """

    fate: ItemFate
    sequence: int
    reason: str | None = None
    item: LiveItem | None = None


class Asked(NamedTuple):
    """Changes that somebody asks for.

    Attributes:
        changes: one after the other.
        note: the row of the table of actions that says so, from what came of them; None for none.
    """

    changes: Sequence[ItemChange]
    note: Callable[[Sequence[Outcome]], actions.Row | None] = lambda outcomes: None


class ItemStore:
    """Changes of items in a database; every method may raise UnavailableError: the store does not answer.

    Attributes:
        on_taken: told of what was committed here: the sequence before, and the items that changed, in the order of
            their sequences.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.on_taken: Callable[[int, Sequence[LiveItem]], None] = lambda before, items: None
        self._queue = CommitQueue(self.take_all, lambda one: len(one.changes), LARGEST_GROUP)

    async def submit(self, asked: Asked) -> list[Outcome]:
        """Have changes taken together with others that come meanwhile, and say what became of each."""
        return await self._queue.submit(asked)

    def close(self) -> None:
        """Let the thread of `submit` end."""
        self._queue.close()

    def take(self, changes: Sequence[ItemChange]) -> list[Outcome]:
        """Take changes in one transaction, and say what became of each. When this returns, they are committed."""
        return self.take_all([Asked(changes)])[0]

    def judge(self, changes: Sequence[ItemChange]) -> list[Outcome]:
        """What would become of each, with nothing changed."""
        return self.take_all([Asked(changes)], is_trial=True)[0]

    def take_all(self, asked: Sequence[Asked], *, is_trial: bool = False) -> list[list[Outcome]]:
        """The same for several who ask, in one transaction that also notes who they are, or is a trial: taken back."""
        with self.database.writing() as connection:
            # On SQLite nobody else writes now; on PostgreSQL this row keeps others waiting.
            last = connection.execute(LOCKED_CLOCK).scalar_one()
            held = _held(connection, {change.item_id for one in asked for change in one.changes})
            work = _Transaction(held, _fields(connection), last)
            found = [[work.take(change) for change in one.changes] for one in asked]
            if work.last > last and not is_trial:
                notes = [one.note(outcomes) for one, outcomes in zip(asked, found, strict=True)]
                _write(connection, work, [note for note in notes if note is not None])
            else:
                connection.rollback()
        if work.last > last and not is_trial:
            self.on_taken(last, sorted(work.changed.values(), key=lambda item: item.sequence))
        return found

    def get(self, item_id: str) -> LiveItem | None:
        """What was changed about an item; None where nothing was."""
        with self.database.looking_up() as connection:
            found = connection.execute(select(ITEMS).where(ITEMS.c.item_id == item_id)).first()
        return None if found is None else item_of(found)

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
                found = [item_of(row) for row in connection.execute(query.where(ITEMS.c.sequence > sequence))]
            if found:
                yield found
                sequence = found[-1].sequence
            if len(found) < CHUNK:
                return


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
            return Outcome(ItemFate.DUPLICATE, sequence, item=before)
        self.last += 1
        if before is not None and change.item_id not in self.changed:
            self.former[change.item_id] = before
        after = LiveItem(change.item_id, self.last if before is None else before.number, self.last, made)
        self._held[change.item_id] = self.changed[change.item_id] = after
        return Outcome(ItemFate.ACCEPTED, self.last, item=after)

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
        rows = connection.execute(NAMED, {"ids": wanted[start : start + CHUNK]})
        found |= {row.item_id: item_of(row) for row in rows}
    return found


def _fields(connection: Connection) -> dict[str, str]:
    return dict([tuple(row) for row in connection.execute(KNOWN_FIELDS)])


def _write(connection: Connection, work: _Transaction, notes: Sequence[actions.Row]) -> None:
    if work.new_kinds:
        rows = [{"name": name, "kind": kind} for name, kind in work.new_kinds.items()]
        connection.execute(insert(ITEM_FIELDS), rows)
    connection.execute(UPSERTS[connection.dialect.name], [_row(item) for item in work.changed.values()])
    ended = ((former, work.changed[item_id].sequence) for item_id, former in work.former.items())
    item_versions.keep(connection, ended)
    actions.write(connection, notes)
    connection.execute(SET_CLOCK, {"last": work.last})


def _row(item: LiveItem) -> dict[str, object]:
    document = RECORD.dump_json(item.record).decode()
    return {"item_id": item.item_id, "number": item.number, "sequence": item.sequence, "document": document}
