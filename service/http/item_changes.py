"""Changes of items, row by row: what each row asks for, whether it fits what is in service, and what came of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from recsys_vae.errors import fault_text
from service import timestamps
from service.http.dependencies import Services
from service.ranking.served_model import Catalogue
from service.schemas.common import Id
from service.schemas.items import ItemChangeRow, ItemOutcome, ItemReceipt
from service.store.item_records import FieldValue, ItemChange
from service.store.items import ItemFate, Outcome

NAMED_FAULTS = 3
MAX_REASON_LENGTH = 500
ITEM_ID: TypeAdapter[str] = TypeAdapter(Id)
Taken = Outcome | str
"""What the store says of a row, or why it is no change."""


def read_all(rows: Sequence[Any]) -> list[ItemChange | str]:
    """The change that each row asks for, or why it is none."""
    return [_read(row) for row in rows]


def take(services: Services, rows: Sequence[ItemChange | str]) -> list[Taken]:
    """Have changes committed that fit what is in service; waits for the store.

    Raises:
        UnavailableError: the store does not answer; nothing was taken.
    """
    catalogues = list(services.deployments.variant_set.catalogues.values())
    judged: list[ItemChange | Taken] = [
        row if isinstance(row, str) else _misfit(row.fields, catalogues) or row for row in rows
    ]
    changes = [row for row in judged if isinstance(row, ItemChange)]
    outcomes = iter(services.item_store.take(changes) if changes else ())
    taken = [next(outcomes) if isinstance(row, ItemChange) else row for row in judged]
    for status, number in Counter(map(_status, taken)).items():
        services.metrics.count_item_changes(status, number)
    return taken


def receipt(request_id: str, sent: Sequence[Any], taken: Sequence[Taken]) -> ItemReceipt:
    """What is answered."""
    results = [_outcome(index, *one) for index, one in enumerate(zip(sent, taken, strict=True))]
    counts = {status: sum(result.status == status for result in results) for status in ("accepted", "duplicate")}
    return ItemReceipt(
        request_id=request_id,
        accepted=counts["accepted"],
        duplicates=counts["duplicate"],
        rejected=len(results) - sum(counts.values()),
        results=results,
    )


def _read(row: Any) -> ItemChange | str:
    if not isinstance(row, dict):
        return "Input should be an object with item_id"
    try:
        read = ItemChangeRow.model_validate(row)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        named = (f"{_place(fault['loc'])}: {fault_text(fault)}" for fault in faults[:NAMED_FAULTS])
        return _told("; ".join(named))
    if read.op == "delete" and (read.fields or read.hidden is not None):
        return "op: delete comes without fields and without hidden"
    timestamp = None if read.timestamp is None else timestamps.to_microseconds(read.timestamp)
    return ItemChange(read.item_id, read.op, read.fields, read.hidden, timestamp)


def _misfit(fields: Mapping[str, FieldValue | None], catalogues: Sequence[Catalogue]) -> Outcome | None:
    for name, value in fields.items():
        for catalogue in catalogues:
            columns = catalogue.filters.metadata
            if value is not None and name in columns.own and (reason := columns.misfit(name, value)):
                return Outcome(ItemFate.MISFIT, 0, f"fields.{name}: {reason}")
    return None


def _outcome(index: int, sent: Any, taken: Taken) -> ItemOutcome:
    item_id = _item_id(sent)
    status = _status(taken)
    if isinstance(taken, str) or status == "rejected":
        reason = taken if isinstance(taken, str) else _told(taken.reason or "")
        return ItemOutcome(index=index, item_id=item_id, status=status, version=None, reason=reason)
    return ItemOutcome(index=index, item_id=item_id, status=status, version=taken.sequence)


def _status(taken: Taken) -> Literal["accepted", "duplicate", "rejected"]:
    if isinstance(taken, str) or taken.fate in (ItemFate.MISFIT, ItemFate.OUTDATED):
        return "rejected"
    return "accepted" if taken.fate is ItemFate.ACCEPTED else "duplicate"


def _item_id(sent: Any) -> str | None:
    try:
        return ITEM_ID.validate_python(sent.get("item_id") if isinstance(sent, dict) else None)
    except ValidationError:
        return None


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(part for part in map(str, location) if not part.startswith("<"))


def _told(reason: str) -> str:
    """A name that the client made up may be of any length, and hold what is no text."""
    return reason.encode(errors="replace").decode()[:MAX_REASON_LENGTH]
