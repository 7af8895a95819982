"""Edits of items: fields of a form as texts, and what they say that the item does not.

v.NAME       what a field is to hold; empty for nothing
k.NAME       kind of its values, where nobody knows it yet
new_name new_kind new_value      one more field
hidden       yes or no; not there for as it is
version      of the item that was looked at
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from pydantic import ValidationError
from starlette.datastructures import ImmutableMultiDict

from recsys_vae.data.features import SEPARATOR
from recsys_vae.errors import fault_text
from service.schemas.items import ItemPatch
from service.store.item_records import FLAG, NUMBER, NUMBERS, TEXT, TEXTS, FieldValue, kind_of
from service.ui.item_facts import ItemFacts

VALUE: Final = "v."
KIND: Final = "k."
KINDS: Final = (
    (TEXT, "text"), (NUMBER, "number"), (FLAG, "yes or no"), (TEXTS, "several texts"), (NUMBERS, "several numbers")
)  # fmt: skip
LONG: Final = 80
"""Characters from which a value gets several lines."""


@dataclass(frozen=True)
class Box:
    """A field of the form.

    Attributes:
        name: of the item's field.
        kind: of its values.
        text: what stands in it.
        fault: what is wrong with that; empty for nothing.
    """

    name: str
    kind: str
    text: str
    fault: str = ""

    @property
    def is_long(self) -> bool:
        """Whether it needs several lines."""
        return len(self.text) > LONG or "\n" in self.text


@dataclass(frozen=True)
class Edit:
    """What a form changes.

    Attributes:
        boxes: the fields of the form as they were sent.
        fields: name -> value, of those that are other than the item's; None removes one.
        before: the item's values of these.
        hidden: None for as it is.
        version: of the item that was looked at.
        sent: names and texts of what is sent on when it is confirmed.
    """

    boxes: tuple[Box, ...]
    fields: Mapping[str, FieldValue | None] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    hidden: bool | None = None
    version: int = 0
    sent: tuple[tuple[str, str], ...] = ()

    @property
    def has_faults(self) -> bool:
        """Whether something is no value."""
        return any(box.fault for box in self.boxes)

    @property
    def changes(self) -> bool:
        """Whether anything is other than it is."""
        return bool(self.fields) or self.hidden is not None


def boxes_of(found: ItemFacts, types: Mapping[str, str], kinds: Mapping[str, str]) -> tuple[Box, ...]:
    """The form of an item: each of its fields, and each column that it has no value of.

    Args:
        found: the item.
        types: of the columns in service.
        kinds: of the fields that were ever given.
    """
    now = {fact.name: fact.now for fact in found.facts}
    names = dict.fromkeys((*types, *now, *kinds))
    return tuple(Box(name, _kind(name, types, kinds), as_text(now.get(name))) for name in names if name != "popularity")


def read_edit(
    form: ImmutableMultiDict[str, str], found: ItemFacts, types: Mapping[str, str], kinds: Mapping[str, str]
) -> Edit:
    """What a form says that the item does not."""
    now = {fact.name: fact.now for fact in found.facts}
    boxes = {box.name: box for box in boxes_of(found, types, kinds)}
    fields, sent = dict[str, FieldValue | None](), list[tuple[str, str]]()
    for name, kind, text in _rows(form, types, kinds):
        boxes[name] = Box(name, kind, text)
        if text != as_text(now.get(name)):
            value, fault = _read(text, kind)
            boxes[name] = Box(name, kind, text, fault or _refused(name, value))
            fields[name] = value
            sent += [(f"{VALUE}{name}", text), (f"{KIND}{name}", kind)]
    hidden = {"yes": True, "no": False}.get(form.get("hidden", ""))
    hidden = None if hidden is found.described.is_hidden else hidden
    sent += [] if hidden is None else [("hidden", form["hidden"])]
    before = {name: now.get(name) for name in fields}
    return Edit(tuple(boxes.values()), fields, before, hidden, _version(form.get("version")), tuple(sent))


def as_text(found: Any) -> str:
    """A value as it stands in the form, the same for values that are the same."""
    if found is None:
        return ""
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, list | tuple):
        return f" {SEPARATOR} ".join(map(as_text, found))
    if isinstance(found, float):
        return str(int(found)) if found.is_integer() and abs(found) < 1e15 else repr(found)
    return found.isoformat() if isinstance(found, date | datetime) else str(found).replace("\r\n", "\n")


def _rows(
    form: ImmutableMultiDict[str, str], types: Mapping[str, str], kinds: Mapping[str, str]
) -> Iterable[tuple[str, str, str]]:
    for name, text in form.items():
        if name.startswith(VALUE) and len(name) > len(VALUE):
            plain = name.removeprefix(VALUE)
            yield plain, _kind(plain, types, kinds, form.get(f"{KIND}{plain}")), text.replace("\r\n", "\n")
    if new := form.get("new_name", "").strip():
        yield new, _kind(new, types, kinds, form.get("new_kind")), form.get("new_value", "").replace("\r\n", "\n")


def _kind(name: str, types: Mapping[str, str], kinds: Mapping[str, str], chosen: str | None = None) -> str:
    """By its column, else by the first value that it was ever given, else as chosen."""
    if name not in types:
        return kinds.get(name, chosen if chosen in dict(KINDS) and chosen is not None else TEXT)
    inner = types[name].removeprefix("List(").removesuffix(")")
    is_list, is_number = types[name].startswith("List("), inner.startswith(("Int", "UInt", "Float"))
    if is_list:
        return NUMBERS if is_number else TEXTS
    return NUMBER if is_number else FLAG if inner == "Boolean" else TEXT


def _read(text: str, kind: str) -> tuple[FieldValue | None, str]:
    """The value that a text says, None for nothing, and what is wrong with it."""
    if not text.strip():
        return None, ""
    if kind in (TEXTS, NUMBERS):
        several = [one.strip() for one in text.split(SEPARATOR) if one.strip()]
        if kind == TEXTS:
            return tuple(several), ""
        numbers = [_number(one) for one in several]
        known = tuple(one for one in numbers if one is not None)
        return (known, "") if len(known) == len(numbers) else (None, "These are not all numbers.")
    if kind == NUMBER:
        number = _number(text)
        return number, "" if number is not None else "This is no number."
    if kind == FLAG:
        flag = {"yes": True, "true": True, "no": False, "false": False}.get(text.strip().lower())
        return flag, "" if flag is not None else "This is neither yes nor no."
    return text, ""


def _number(text: str) -> int | float | None:
    for read in (int, float):
        try:
            found = read(text)
        except ValueError:
            continue
        return found if found - found == 0 else None
    return None


def _refused(name: str, value: FieldValue | None) -> str:
    """Why the API would not take it; empty where it would."""
    try:
        ItemPatch.model_validate({"fields": {name: value}})
    except ValidationError as error:
        return "; ".join(fault_text(fault) for fault in error.errors())
    return "" if value is None or kind_of(value) is not None else "Its values are of several kinds."


def _version(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
