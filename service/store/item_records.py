"""Item records: what was changed about one item, field by field with its time, and what a further change makes of it.

Of two changes of a field the later one counts, whichever comes first. A change that names no time is later than all
that is held: who sends it means now, whatever the clocks of two replicas say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from pydantic import TypeAdapter
from sqlalchemy import Row

Scalar = str | int | float | bool
FieldValue: TypeAlias = Scalar | tuple[Scalar, ...]
"""What a field of an item holds; several values as a tuple."""
TEXT, NUMBER, FLAG, TEXTS, NUMBERS = "text", "number", "flag", "texts", "numbers"
KINDS: Final = {str: TEXT, int: NUMBER, float: NUMBER, bool: FLAG}
SEVERAL: Final = {TEXT: TEXTS, NUMBER: NUMBERS}
Operation = Literal["merge", "replace", "delete"]


class Dated(NamedTuple):
    """A value, None where it was removed, and when, in microseconds since 1970, UTC."""

    value: FieldValue | None
    at: int


NEVER_HIDDEN: Final = Dated(value=False, at=0)


@dataclass(frozen=True)
class ItemRecord:
    """What was changed about one item.

    Attributes:
        fields: name -> value and time.
        hidden: whether it is kept out of answers, and since when.
        replaced_at: before this time nothing is known of the item, in whatever bundle; None for never.
        deleted_at: when it was deleted; None while it is not.
    """

    fields: Mapping[str, Dated] = field(default_factory=dict)
    hidden: Dated = NEVER_HIDDEN
    replaced_at: int | None = None
    deleted_at: int | None = None

    @property
    def is_shown(self) -> bool:
        """Whether it may be in answers."""
        return self.deleted_at is None and not self.hidden.value

    @property
    def last(self) -> int:
        """Time of the last change."""
        times = (dated.at for dated in self.fields.values())
        return max(self.hidden.at, self.replaced_at or 0, self.deleted_at or 0, *times, 0)


@dataclass(frozen=True)
class ItemChange:
    """A change of one item.

    Attributes:
        item_id: of the item.
        operation: `merge` leaves what is not named as it is, `replace` forgets it, `delete` takes the item out.
        fields: name -> value; None removes it.
        hidden: None for as it is; with `replace`: not hidden.
        timestamp: when, in microseconds since 1970, UTC; None for now.
        expected: sequence that the item must have; 0 for an item that nothing was changed about; None for any.
    """

    item_id: str
    operation: Operation = "merge"
    fields: Mapping[str, FieldValue | None] = field(default_factory=dict)
    hidden: bool | None = None
    timestamp: int | None = None
    expected: int | None = None


@dataclass(frozen=True)
class LiveItem:
    """An item that something was changed about.

    Attributes:
        item_id: of the item.
        number: sequence of its first change; no other item has it, and it stays.
        sequence: of its last change.
        record: what was changed.
    """

    item_id: str
    number: int
    sequence: int
    record: ItemRecord


RECORD: Final[TypeAdapter[ItemRecord]] = TypeAdapter(ItemRecord)


def live_item(item_id: str, number: int, sequence: int, document: str) -> LiveItem:
    """From columns of the store."""
    return LiveItem(item_id, number, sequence, RECORD.validate_json(document))


def item_of(row: Row[Any]) -> LiveItem:
    """From a row of the store."""
    return live_item(row.item_id, row.number, row.sequence, row.document)


def changed(record: ItemRecord, change: ItemChange, now: int) -> ItemRecord:
    """What a change makes of a record; equal to it where all that is held is later, or the same."""
    at = max(now, record.last + 1) if change.timestamp is None else change.timestamp
    if change.operation == "delete":
        return record if record.deleted_at is not None else _deleted(record, at)
    if at <= max(record.deleted_at or 0, record.replaced_at or 0):
        return record
    if change.operation == "replace":
        return _replaced(record, change, at)
    is_now = change.timestamp is None
    fields = _merged(record.fields, change.fields, at, is_now=is_now)
    told = record.hidden if change.hidden is None else Dated(change.hidden, at)
    hidden = _later(record.hidden, told, is_now=is_now)
    if fields == record.fields and hidden == record.hidden and record.deleted_at is None:
        return record
    return replace(record, fields=fields, hidden=hidden, deleted_at=None)


def kind_of(value: FieldValue) -> str | None:
    """Kind of a value; None where its values are of several, or of one that comes alone only."""
    if not isinstance(value, tuple):
        return KINDS[type(value)]
    kinds = {KINDS[type(one)] for one in value} or {TEXT}
    return SEVERAL.get(kinds.pop()) if len(kinds) == 1 else None


def _deleted(record: ItemRecord, at: int) -> ItemRecord:
    return record if at <= record.last else ItemRecord(hidden=Dated(value=False, at=at), replaced_at=at, deleted_at=at)


def _replaced(record: ItemRecord, change: ItemChange, at: int) -> ItemRecord:
    named = {name: value for name, value in change.fields.items() if value is not None}
    wanted = {name: Dated(value, at) for name, value in named.items()}
    newer = {name: dated for name, dated in record.fields.items() if dated.at > at}
    is_now = change.timestamp is None
    hidden = _later(record.hidden, Dated(bool(change.hidden), at), is_now=is_now)
    held = {name: dated.value for name, dated in record.fields.items() if dated.value is not None}
    is_same = record.replaced_at is not None and record.deleted_at is None and hidden == record.hidden
    if is_now and is_same and held == named:
        return record
    return ItemRecord(wanted | newer, hidden, at)


def _merged(
    held: Mapping[str, Dated], sent: Mapping[str, FieldValue | None], at: int, *, is_now: bool
) -> dict[str, Dated]:
    fields = dict(held)
    for name, value in sent.items():
        dated = Dated(value, at)
        fields[name] = _later(fields[name], dated, is_now=is_now) if name in fields else dated
    return fields


def _later(held: Dated, sent: Dated, *, is_now: bool) -> Dated:
    """Of two at one time the first stays. The same value again is a change only where its time is told."""
    is_same = held.value == sent.value and type(held.value) is type(sent.value)
    return held if (is_same and is_now) or sent.at <= held.at else sent
