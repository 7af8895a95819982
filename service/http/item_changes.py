"""Changes of items, row by row: whether each fits what is in service, and what came of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from service.http.dependencies import Services
from service.ranking.served_model import Catalogue
from service.schemas.common import Id
from service.schemas.items import ItemOutcome, ItemReceipt
from service.security.access import Access
from service.store.item_records import FieldValue, ItemChange
from service.store.item_rows import told
from service.store.items import ItemFate, Outcome

ITEM_ID: TypeAdapter[str] = TypeAdapter(Id)
Taken = Outcome | str
"""What the store says of a row, or why it is no change."""


def take(services: Services, rows: Sequence[ItemChange | str], access: Access) -> list[Taken]:
    """Have changes committed that fit what is in service, and who asked for them noted; waits for the store.

    Raises:
        UnavailableError: the store does not answer; nothing was taken.
    """
    catalogues = list(services.deployments.variant_set.catalogues.values())
    judged: list[ItemChange | Taken] = [
        row if isinstance(row, str) else misfit(row.fields, catalogues) or row for row in rows
    ]
    changes = [row for row in judged if isinstance(row, ItemChange)]
    outcomes = iter(services.item_store.take(changes) if changes else ())
    taken = [next(outcomes) if isinstance(row, ItemChange) else row for row in judged]
    counts = Counter(map(_status, taken))
    for status, number in counts.items():
        services.metrics.count_item_changes(status, number)
    if counts["accepted"]:
        _note(services, rows, {str(status): number for status, number in counts.items()}, access)
    return taken


def _note(services: Services, rows: Sequence[ItemChange | str], counts: Mapping[Any, int], access: Access) -> None:
    """One action a request, however many items it changes."""
    if len(rows) == 1 and isinstance(rows[0], ItemChange):
        action, subject, detail = "change-item", f"item:{rows[0].item_id}", detail_of(rows[0])
    else:
        action, subject, detail = "change-items", "items", dict(counts)
    services.actions.note(access.caller.name, action, subject, detail, access.request_id)


def detail_of(change: ItemChange) -> dict[str, Any]:
    """What a change says, as its action tells it."""
    told: dict[str, Any] = {"operation": change.operation, **{f"fields.{n}": v for n, v in change.fields.items()}}
    return told if change.hidden is None else told | {"hidden": change.hidden}


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


def misfit(fields: Mapping[str, FieldValue | None], catalogues: Sequence[Catalogue]) -> Outcome | None:
    """What becomes of a change whose fields do not fit the columns in service; None where they do."""
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
        reason = taken if isinstance(taken, str) else told(taken.reason or "")
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
