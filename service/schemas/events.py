"""What goes over the wire about events and the users who caused them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field, SkipValidation, WithJsonSchema

from service import timestamps
from service.schemas.common import WITHOUT_NUL, Id, Schema, Weight

MAX_EVENTS = 1000
"""Events of one request."""
EVENT_SOURCE = "api"
EventId = Annotated[str, Field(min_length=1, max_length=128, pattern=WITHOUT_NUL)]


class NewEvent(Schema):
    """Somebody did something with an item."""

    user_id: Id = Field(description="Who.", examples=["42"])
    item_id: Id = Field(description="With what; the catalogue need not hold it.", examples=["318"])
    event_type: Annotated[str, Field(min_length=1, max_length=64, pattern=WITHOUT_NUL)] | None = Field(
        default=None,
        description="How; null where there is one kind only. The bundle's rules say what a kind weighs.",
        examples=["click"],
    )
    weight: Weight | None = Field(
        default=None, examples=[1.0],
        description="How much: the bundle's rules say for or against the item. Null counts as 1, below no bound.",
    )  # fmt: skip
    timestamp: Annotated[AwareDatetime, timestamps.WRITTEN, AfterValidator(timestamps.checked)] | None = Field(
        default=None, description="When, in ISO 8601 with its offset; the time of the request when not given.",
        examples=["2026-11-22T19:12:58Z"],
    )  # fmt: skip
    event_id: EventId | None = Field(
        default=None, description="What makes it the same event when it is sent again.", examples=["order-7781/1"]
    )
    request_id: EventId | None = Field(
        default=None, description="`request_id` of the answer that it follows.",
        examples=["44bd22377f9c412f8706db02c5ee356d"],
    )  # fmt: skip


_Otherwise = Annotated[
    Any, WithJsonSchema({"description": "Anything else is rejected by itself, with a reason; the other rows count."})
]
Row = Annotated[NewEvent | _Otherwise, SkipValidation]
"""Documented as an event, but taken as it comes: a row that is none must not take the others down with it."""


class NewEvents(Schema):
    """One event or many."""

    events: list[Row] = Field(
        min_length=1, max_length=MAX_EVENTS, description="Each is judged by itself.",
        examples=[[{"user_id": "42", "item_id": "318", "event_type": "click", "event_id": "order-7781/1"}]],
    )  # fmt: skip


class EventOutcome(Schema):
    """What has become of one event."""

    index: int = Field(ge=0, description="Its place in the request, from 0.", examples=[0])
    event_id: str | None = Field(description="As it was sent.", examples=["order-7781/1"])
    status: Literal["accepted", "duplicate", "rejected"] = Field(
        description="`accepted`: on disk now. `duplicate`: it had been accepted before. `rejected`: see `reason`.",
        examples=["accepted"],
    )
    reason: str | None = Field(
        None, description="Why it was rejected.", examples=["weight: Input should be greater than or equal to 0.000001"]
    )


class EventReceipt(Schema):
    """What has become of the events of a request. Those that are accepted are in the user's next answer."""

    request_id: str = Field(description="Identity of the request, also in the header X-Request-ID.", examples=["7f3a"])
    accepted: int = Field(description="Events that are new.", examples=[1])
    duplicates: int = Field(description="Events that had been accepted before.", examples=[0])
    rejected: int = Field(description="Rows that are no events, or claim the id of another one.", examples=[0])
    kinds_without_weight: list[str] = Field(
        default_factory=list,
        description="Event types among them that the bundles in service give no weight: they are kept, and say nothing "
        "about taste.",
        examples=[[]],
    )
    results: list[EventOutcome] = Field(
        description="One a row, in the request's order.",
        examples=[[{"index": 0, "event_id": "order-7781/1", "status": "accepted"}]],
    )


class StoredEvent(Schema):
    """An event that is held."""

    sequence: int = Field(description="Grows with every event that is taken.", examples=[575273])
    source: str = Field(description="Where it came from: `api`, or `dataset:NAME`.", examples=["api"])
    item_id: str = Field(description="With what.", examples=["318"])
    event_type: str | None = Field(description="How.", examples=["click"])
    weight: float | None = Field(
        description="How much it says about the user, null where nobody said; below 0 where a dataset says that it is "
        "a dislike.",
        examples=[1.0],
    )
    timestamp: datetime | None = Field(description="When; null where unknown.", examples=["2026-11-22T19:12:58Z"])
    request_id: str | None = Field(description="Of the answer that it follows.", examples=["7f3a"])


class ShownList(Schema):
    """A list that was shown."""

    sequence: int = Field(description="Grows with every list.", examples=[7120])
    request_id: str = Field(description="Of the answer; events that follow it name it.", examples=["7f3a"])
    variant: str = Field(description="The variant that answered.", examples=["main"])
    model_version: str = Field(description="Its bundle.", examples=["mult-vae-679558afa88b"])
    is_dealt: bool = Field(description="False where the caller chose the variant.", examples=[True])
    items: list[str] = Field(description="Ids, best first.", examples=[["260", "2028"]])
    answered_at: datetime = Field(description="When.", examples=["2026-11-22T19:12:58Z"])
    teams: list[str | None] | None = Field(
        default=None,
        description="Of an interleaved list: the variant that each item is credited to; null for nobody.",
        examples=[["main", None]],
    )
    propensities: list[float] | None = Field(
        default=None,
        description="How likely each item was to be in the list, over what the service draws; null where not known.",
        examples=[[1.0, 0.25]],
    )
    recipe: dict[str, Any] | None = Field(
        default=None,
        description="What the list can be made again from: the request, and how much of history and items was known.",
        examples=[{"body": {"k": 20}, "generation": 7, "history": 575200, "items": [12, 12], "n_events": 131}],
    )


class UserSummary(Schema):
    """What is held about a user."""

    request_id: str = Field(description="Identity of the request, also in the header X-Request-ID.", examples=["7f3a"])
    user_id: str = Field(description="Whose.", examples=["42"])
    events: int = Field(description="Events that are held; 0 for a user who was never seen.", examples=[131])
    items: int = Field(description="Distinct items among them.", examples=[128])
    first: datetime | None = Field(description="Time of the earliest.", examples=["2000-12-31T22:12:40Z"])
    last: datetime | None = Field(description="Time of the latest.", examples=["2026-11-22T19:12:58Z"])
    sources: dict[str, int] = Field(description="Events by where they came from.", examples=[{"api": 3}])
    history: list[StoredEvent] = Field(
        description="A page of the events, newest first.",
        examples=[[{"sequence": 575273, "source": "api", "item_id": "318", "event_type": "click", "weight": 1.0,
                    "timestamp": "2026-11-22T19:12:58Z", "request_id": "7f3a"}]],
    )  # fmt: skip
    next_before: int | None = Field(description="`before` of the next page; null on the last one.", examples=[575200])
    exposures: int = Field(description="Lists shown to the user that are held.", examples=[12])
    shown: list[ShownList] = Field(
        description="A page of these lists, newest first.",
        examples=[[{"sequence": 7120, "request_id": "7f3a", "variant": "main", "is_dealt": True,
                    "model_version": "mult-vae-679558afa88b", "items": ["260", "2028"],
                    "answered_at": "2026-11-22T19:12:58Z"}]],
    )  # fmt: skip
    next_shown_before: int | None = Field(
        description="`shown_before` of the next page; null on the last one.", examples=[7100]
    )


class Erasure(Schema):
    """What was erased."""

    request_id: str = Field(description="Identity of the request, also in the header X-Request-ID.", examples=["7f3a"])
    user_id: str = Field(description="Whose; the service knows nothing of this user any more.", examples=["42"])
    erased: int = Field(description="Events that were erased.", examples=[131])
    erased_exposures: int = Field(description="Records of shown lists that were erased.", examples=[12])
