"""POST /v1/events: what users do, as it happens."""

from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Annotated, Any, Literal
from uuid import uuid4

from anyio import to_thread
from fastapi import APIRouter, Header, Response
from pydantic import TypeAdapter, ValidationError

from recsys_vae.data.signal_rules import SignalRules
from recsys_vae.errors import fault_text
from service import timestamps
from service.http.dependencies import AccessDep, ServicesDep
from service.problems import RESPONSES
from service.schemas.events import EVENT_SOURCE, EventId, EventOutcome, EventReceipt, NewEvent, NewEvents
from service.security.authorization import needs
from service.store.events import NOT_SAID, Event, EventStore, Fate

router = APIRouter(prefix="/v1", tags=["events"])

NAMED_FAULTS = 3
EVENTS_A_REQUEST = 50
"""Events that a rate limit counts as one request."""
MAX_REASON_LENGTH = 500
JUDGING = Lock()
"""Held by the one thread of this process that judges rows or words what became of them: threads that compute in Python
take turns anyway, and the more of them there are, the longer the event loop waits for its own."""
EVENT_ID: TypeAdapter[str] = TypeAdapter(EventId)
FATES: dict[Fate, tuple[Literal["accepted", "duplicate", "rejected"], str | None]] = {
    Fate.ACCEPTED: ("accepted", None),
    Fate.DUPLICATE: ("duplicate", None),
    Fate.CONFLICT: (
        "rejected",
        "This event_id, or this place under this Idempotency-Key, names another event already: one with another user, "
        "item, type or weight",
    ),
    Fate.ERASED: (
        "rejected",
        "This user was erased, and the event is of before that. One of after it, or without a timestamp, makes the "
        "user known again",
    ),
}
IdempotencyKey = Annotated[
    EventId | None,
    Header(
        description="Names this request: rows without an event_id are the same events when it is sent again.",
        examples=["0b2f6c1e"],
    ),
]


@router.post(
    "/events",
    dependencies=[needs("events")],
    responses={status: RESPONSES[status] for status in (400, 413, 415, 422, 503)},
    response_model=EventReceipt,
)
async def take_events(
    sent: NewEvents, services: ServicesDep, access: AccessDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Take one event or many. What is accepted is on disk when this answers, and in the user's next answer.

    Rows are judged one by one. Sending an event again, under its event_id or in a request of the same
    Idempotency-Key, changes nothing and says so.
    """
    await access.pay(len(sent.events) / EVENTS_A_REQUEST)
    rules = services.deployments.rules
    take = partial(_taken, sent.events, services.store, idempotency_key, access.request_id, rules)
    content = await to_thread.run_sync(take, limiter=services.writers)
    return Response(content, media_type="application/json")


def _taken(
    sent: list[Any], store: EventStore, idempotency_key: str | None, request_id: str, rules: Sequence[SignalRules]
) -> bytes:
    """Take events, and say what became of each, as JSON; all of it beside the event loop."""
    with JUDGING:
        rows = [_read(row) for row in sent]
        events = [
            _to_event(row, f"{idempotency_key}\x1f{index}" if idempotency_key else None)
            for index, row in enumerate(rows)
            if isinstance(row, NewEvent)
        ]
    fates = iter(store.take(events, EVENT_SOURCE) if events else ())
    with JUDGING:
        results = [
            _outcome(index, row, next(fates)) if isinstance(row, NewEvent) else _rejected(index, sent[index], row)
            for index, row in enumerate(rows)
        ]
        kinds = sorted({event.event_type for event in events if event.event_type is not None})
        unknown = [kind for kind in kinds if rules and not any(one.knows(kind) for one in rules)]
        return _receipt(request_id, results, unknown).model_dump_json().encode()


def _read(row: Any) -> NewEvent | str:
    """The event, or why it is none."""
    if not isinstance(row, dict):
        return "Input should be an object with user_id and item_id"
    try:
        return NewEvent.model_validate(row)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        reason = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault_text(fault)}" for fault in faults[:NAMED_FAULTS]
        )
        # A name that the client made up may be of any length, and hold what is no text.
        return reason.encode(errors="replace").decode()[:MAX_REASON_LENGTH]


def _to_event(row: NewEvent, fallback: str | None) -> Event:
    # The separator keeps names that clients choose apart from those that are made here: no id holds NUL.
    identity = row.event_id or f"\x00{fallback or uuid4().hex}"
    timestamp = timestamps.to_microseconds(row.timestamp) if row.timestamp else timestamps.now()
    weight = NOT_SAID if row.weight is None else row.weight
    return Event(identity, row.user_id, row.item_id, row.event_type, weight, timestamp, row.request_id)


def _outcome(index: int, row: NewEvent, fate: Fate) -> EventOutcome:
    status, reason = FATES[fate]
    return EventOutcome(index=index, event_id=row.event_id, status=status, reason=reason)


def _rejected(index: int, raw: Any, reason: str) -> EventOutcome:
    try:
        event_id = EVENT_ID.validate_python(raw.get("event_id") if isinstance(raw, dict) else None)
    except ValidationError:
        event_id = None
    return EventOutcome(index=index, event_id=event_id, status="rejected", reason=reason)


def _receipt(request_id: str, results: list[EventOutcome], unknown: list[str]) -> EventReceipt:
    counts = {status: sum(result.status == status for result in results) for status in ("accepted", "duplicate")}
    return EventReceipt(
        request_id=request_id,
        accepted=counts["accepted"],
        duplicates=counts["duplicate"],
        rejected=len(results) - sum(counts.values()),
        kinds_without_weight=unknown,
        results=results,
    )
