"""Rows of requests and tables as changes of items, or why they are none."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from recsys_vae.errors import fault_text
from service import timestamps
from service.schemas.items import ItemChangeRow
from service.store.item_records import ItemChange

NAMED_FAULTS = 3
MAX_REASON_LENGTH = 500


def read_all(rows: Sequence[Any]) -> list[ItemChange | str]:
    """The change that each row asks for, or why it is none."""
    return [_read(row) for row in rows]


def told(reason: str) -> str:
    """A reason as it is shown: a name that the client made up may be of any length, and hold what is no text."""
    return reason.encode(errors="replace").decode()[:MAX_REASON_LENGTH]


def _read(row: Any) -> ItemChange | str:
    if not isinstance(row, dict):
        return "Input should be an object with item_id"
    try:
        read = ItemChangeRow.model_validate(row)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        return told("; ".join(f"{_place(fault['loc'])}: {fault_text(fault)}" for fault in faults[:NAMED_FAULTS]))
    if read.op == "delete" and (read.fields or read.hidden is not None):
        return "op: delete comes without fields and without hidden"
    timestamp = None if read.timestamp is None else timestamps.to_microseconds(read.timestamp)
    return ItemChange(read.item_id, read.op, read.fields, read.hidden, timestamp)


def _place(location: tuple[int | str, ...]) -> str:
    # Names of a union's members stand in angle brackets.
    return ".".join(part for part in map(str, location) if not part.startswith("<") and part != "[key]")
