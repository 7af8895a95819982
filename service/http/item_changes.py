"""Changes of items, row by row: whether each fits what is in service, and what came of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

from anyio import to_thread
from pydantic import TypeAdapter, ValidationError

from service import timestamps
from service.errors import FieldError, OutdatedError
from service.http.dependencies import Services
from service.ranking.live_items import Description, described
from service.ranking.served_model import Catalogue
from service.schemas.common import Id
from service.schemas.items import ItemChanges, ItemDocument, ItemOutcome, ItemPatch, ItemReceipt
from service.security.access import Access
from service.store import actions
from service.store.item_records import FieldValue, ItemChange
from service.store.item_rows import read_all, told
from service.store.items import Asked, ItemFate, Outcome

ITEM_ID: TypeAdapter[str] = TypeAdapter(Id)
ITEMS_A_REQUEST: Final = 50
"""Changes that a rate limit counts as one request."""
FEW: Final = 10
"""Rows that are read as fast here as a thread is asked to."""
Taken = Outcome | str
"""What the store says of a row, or why it is no change."""


async def take(services: Services, rows: Sequence[ItemChange | str], access: Access) -> list[Taken]:
    """Have changes committed that fit what is in service, and who asked for them noted.

    Raises:
        UnavailableError: the store does not answer; nothing was taken.
    """
    catalogues = list(services.deployments.variant_set.catalogues.values())
    judged: list[ItemChange | Taken] = [
        row if isinstance(row, str) else misfit(row.fields, catalogues) or row for row in rows
    ]
    changes = [row for row in judged if isinstance(row, ItemChange)]
    asked = Asked(changes, partial(_note, judged, access))
    taken = _in_place(judged, await services.item_store.submit(asked) if changes else [])
    for status, number in Counter(map(_status, taken)).items():
        services.metrics.count_item_changes(status, number)
    return taken


async def change_one(services: Services, change: ItemChange, access: Access) -> dict[str, Any]:
    """The fields of `ItemSummary`: the item as a change has made it.

    Raises:
        FieldError: the change does not fit.
        OutdatedError: the item is not as the change expects it.
        UnavailableError: the store does not answer; nothing was changed.
    """
    [outcome] = await take(services, [change], access)
    assert isinstance(outcome, Outcome)
    if outcome.fate is ItemFate.OUTDATED:
        raise OutdatedError(change.item_id, outcome.reason or "")
    if outcome.fate is ItemFate.MISFIT:
        place, _, message = (outcome.reason or "").partition(": ")
        raise FieldError(f"body.{place}", message)
    found = described(services.deployments.variant_set.variants[0].catalogue, change.item_id, outcome.item)
    assert found is not None
    return summary_of(found, change.item_id, access.request_id)


async def patch(
    sent: ItemPatch, services: Services, access: Access, item_id: str, expected: int | None = None
) -> dict[str, Any]:
    """Change what is named; see `change_one`."""
    change = ItemChange(item_id, "merge", sent.fields, sent.hidden, expected=expected)
    return await change_one(services, change, access)


async def put(
    sent: ItemDocument, services: Services, access: Access, item_id: str, expected: int | None = None
) -> dict[str, Any]:
    """Say all that is known of an item; see `change_one`."""
    change = ItemChange(item_id, "replace", sent.fields, sent.hidden, expected=expected)
    return await change_one(services, change, access)


async def post(sent: ItemChanges, services: Services, access: Access) -> dict[str, Any]:
    """Change many, each judged by itself: the fields of `ItemReceipt`."""
    await access.pay(len(sent.items) / ITEMS_A_REQUEST)
    rows = read_all(sent.items) if len(sent.items) <= FEW else await to_thread.run_sync(read_all, sent.items)
    return dict(receipt(access.request_id, sent.items, await take(services, rows, access)))


def summary_of(found: Description, item_id: str, request_id: str) -> dict[str, Any]:
    """The fields of `ItemSummary`."""
    return {
        "request_id": request_id,
        "item_id": item_id,
        "version": found.sequence,
        "fields": dict(found.fields),
        "hidden": found.is_hidden,
        "deleted": found.is_deleted,
        "in_model": found.is_in_model,
        "changed_at": None if found.changed_at is None else timestamps.from_microseconds(found.changed_at),
    }


def etag(summary: Mapping[str, Any]) -> str:
    """Of an item as it is told."""
    return f'"{summary["version"]}"'


def _in_place(judged: Sequence[ItemChange | Taken], outcomes: Sequence[Outcome]) -> list[Taken]:
    """What came of each row, with that of the changes among them."""
    left = iter(outcomes)
    return [next(left) if isinstance(row, ItemChange) else row for row in judged]


def _note(judged: Sequence[ItemChange | Taken], access: Access, outcomes: Sequence[Outcome]) -> actions.Row | None:
    """One action a request, however many items it changes; none where it changes nothing."""
    if not any(outcome.fate is ItemFate.ACCEPTED for outcome in outcomes):
        return None
    if len(judged) == 1 and isinstance(judged[0], ItemChange):
        action, subject, detail = "change-item", f"item:{judged[0].item_id}", detail_of(judged[0])
    else:
        counts = Counter(str(_status(one)) for one in _in_place(judged, outcomes))
        action, subject, detail = "change-items", "items", dict(counts)
    return actions.row_of(access.caller.name, action, subject, detail, access.request_id)


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
