"""From what came over the wire to what the engine is asked, and back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from pydantic_core import to_json

from recsys_vae.data.histories import History
from recsys_vae.reranking.caps import Cap
from recsys_vae.reranking.rules import Calibration
from service import timestamps
from service.ranking.boosts import Boost
from service.ranking.cursors import Cursor
from service.ranking.filters import And, Condition, Eq, In, Not, Or, Range
from service.ranking.item_columns import Value
from service.ranking.pages import Page, Request
from service.ranking.plain_history import PlainHistory
from service.ranking.plain_lists import PlainItems
from service.ranking.results import Answer, Query, Quota
from service.ranking.served_model import NO_RULES
from service.schemas.filters import AndFilter, AnyFilter, EqFilter, InFilter, OrFilter, RangeFilter
from service.schemas.item_lists import ItemsRequest
from service.schemas.recommendations import BoostRequest, HistoryItem, QuotaRequest, RecommendationRequest
from service.store.user_history import UserEvents, history_of

ONE_LIST = {"k", "explain", "fields", "cursor"}
"""Fields that pages of one list may differ in."""
WRITTEN = (
    b'{"request_id":%s,"variant":%s,"model_version":%s,"tier":%s,"scorer":%s,'
    b'"items":[%s],"next_cursor":%s,"warnings":%s}'
)
"""A page as JSON."""
PLAIN = {"k", "history", "user_id", "cursor"}
"""Fields of requests that ask for nothing else."""


def to_request(asked: RecommendationRequest, flow: str = "") -> Request:
    """What the engine is asked, in this flow."""
    is_of_ids = set(map(type, asked.history)) <= {str}
    cursor = None if asked.cursor is None else Cursor.read(asked.cursor)
    if is_of_ids and asked.model_fields_set <= PLAIN:
        query = Query(asked.k, dict.fromkeys(asked.history, 1.0))  # type: ignore[arg-type]
        if len(query.history) == len(asked.history):
            return Request(query, asked.user_id, _digest(asked), cursor, flow=flow, asked=asked)
    history: History = dict.fromkeys(asked.history, 1.0) if is_of_ids else {}  # type: ignore[arg-type]
    sent = None if len(history) == len(asked.history) else _sent(asked.history)
    query = Query(
        asked.k,
        history if sent is None else history_of(sent, NO_RULES),
        asked.exclude,
        asked.candidates,
        None if asked.filter is None else to_condition(asked.filter),
        tuple(map(_boost, asked.boost)),
        asked.diversity,
        asked.explain,
        metadata=asked.metadata,
        fields=asked.fields,
        caps=tuple(Cap(cap.column, cap.n) for cap in asked.at_most),
        repeat=asked.repeat or asked.seen,
        quotas=tuple(map(_quota, asked.quotas)),
        calibration=None if asked.calibration is None else Calibration(**asked.calibration.model_dump()),
    )
    return Request(query, asked.user_id, _digest(asked), cursor, flow=flow, sent=sent, asked=asked)


def to_plain_request(history: PlainHistory, k: int, flow: str = "") -> Request:
    """The same of a body that holds nothing else."""
    return Request(Query.of_history(history, k), None, _hashed(b"\0" + history.text), flow=flow)


def to_list_query(asked: ItemsRequest, metadata: Mapping[str, Value] | None = None) -> Query:
    """What a list without a user is asked; `metadata` are those of a segment of users."""
    return Query(
        asked.k,
        exclude=asked.exclude,
        candidates=asked.candidates,
        filter=None if asked.filter is None else to_condition(asked.filter),
        boosts=tuple(map(_boost, asked.boost)),
        metadata=metadata or {},
        fields=asked.fields,
        caps=tuple(Cap(cap.column, cap.n) for cap in asked.at_most),
    )


def to_condition(asked: AnyFilter) -> Condition:
    """What a filter asks of the items' metadata."""
    match asked:
        case EqFilter():
            return Eq(asked.column, asked.value)
        case InFilter():
            return In(asked.column, tuple(asked.values))
        case RangeFilter():
            return Range(asked.column, asked.min, asked.max)
        case AndFilter():
            return And(tuple(map(to_condition, asked.of)))
        case OrFilter():
            return Or(tuple(map(to_condition, asked.of)))
    return Not(to_condition(asked.of))


def to_wire(page: Page, request_id: str, variant: str) -> dict[str, Any]:
    """A page as it goes over the wire: the fields of `Recommendations`, whose objects cost five times as much."""
    answer = page.answer
    return {
        "request_id": request_id,
        "variant": variant,
        "model_version": answer.model_version,
        "tier": answer.tier,
        "scorer": answer.scorer,
        "items": _items(answer),
        "next_cursor": page.next_cursor,
        "warnings": _warnings(answer),
    }


def to_text(page: Page, request_id: str, variant: str) -> bytes | dict[str, Any]:
    """The same as JSON, where its list is there as text; else as `to_wire` has it."""
    answer = page.answer
    items = answer.items
    if not isinstance(items, PlainItems) or not items.found.items or answer.reasons or answer.teams or answer.fields:
        return to_wire(page, request_id, variant)
    head = (variant, answer.model_version, answer.tier, answer.scorer)
    cursor = b"null" if page.next_cursor is None else b'"%b"' % page.next_cursor.encode()  # base64: nothing to escape
    told = (to_json(request_id), *map(_quoted, head), items.found.items, cursor)
    return WRITTEN % (*told, to_json(_warnings(answer)) if answer.notices else b"[]")


def _warnings(answer: Answer) -> list[dict[str, str]]:
    return [{"code": notice.code, "message": notice.message} for notice in answer.notices]


@lru_cache(maxsize=64)
def _quoted(name: str) -> bytes:
    return to_json(name)


def _items(answer: Answer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"rank": rank, "item_id": item_id, "score": score, "source": source}
        for (rank, item_id, score, _), source in zip(answer.items, answer.sources, strict=True)
    ]
    for fields, item in zip(found, answer.items, strict=True):
        if item.because is not None:
            fields["because"] = [{"item_id": cause.item_id, "effect": cause.effect} for cause in item.because]
    for fields, reason in zip(found, answer.reasons, strict=False):
        fields["pushed_by"] = reason
    for fields, team in zip(found, answer.teams, strict=False):
        fields["variant"] = team
    for fields, values in zip(found, answer.fields, strict=False):
        fields["fields"] = values
    return found


def _digest(asked: RecommendationRequest) -> bytes:
    text = _plainly(asked) or asked.model_dump_json(exclude=ONE_LIST)
    return _hashed(text.encode())


def _hashed(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()


def _plainly(asked: RecommendationRequest) -> str:
    """What makes the list, where that is a user and the ids of a history only: no id holds a NUL. Else nothing."""
    if asked.exclude or asked.metadata or asked.boost or asked.diversity or asked.at_most:
        return ""
    if asked.candidates is not None or asked.filter is not None or asked.quotas or asked.calibration is not None:
        return ""
    if (asked.repeat or asked.seen) != "exclude":
        return ""
    try:
        return "\0".join((asked.user_id or "", *asked.history))  # type: ignore[arg-type]
    except TypeError:  # an item of the history is an object
        return ""


def _sent(history: Sequence[str | HistoryItem]) -> UserEvents:
    """A history as events: an id alone says that the item was liked, and no more."""
    rows = [
        (entry, None, None, None, False) if isinstance(entry, str) else _row_of(entry) for entry in _in_order(history)
    ]
    return UserEvents(*zip(*rows, strict=True)) if rows else UserEvents()


def _row_of(item: HistoryItem) -> tuple[str, str | None, float | None, int | None, bool]:
    time = None if item.time is None else timestamps.to_microseconds(_time(item))
    return (item.item_id, item.event_type, item.weight, time, False)


def _in_order(history: Sequence[str | HistoryItem]) -> Sequence[str | HistoryItem]:
    """Least recent first, where every item has a time."""
    timed = [entry for entry in history if isinstance(entry, HistoryItem) and entry.time is not None]
    if len(timed) < len(history):
        return history
    return [*sorted(timed, key=_time)]


def _time(entry: HistoryItem) -> datetime:
    assert entry.time is not None
    return entry.time if entry.time.tzinfo else entry.time.replace(tzinfo=UTC)


def _quota(asked: QuotaRequest) -> Quota:
    where = None if asked.where is None else to_condition(asked.where)
    return Quota(asked.n, where, tuple(asked.items or ()), asked.group or "")


def _boost(asked: BoostRequest) -> Boost:
    where = None if asked.where is None else to_condition(asked.where)
    return Boost(asked.by, asked.value, where, tuple(asked.items or ()))
