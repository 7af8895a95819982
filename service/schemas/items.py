"""What goes over the wire about items: what is changed about them, and what is known of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Discriminator,
    Field,
    SkipValidation,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    WithJsonSchema,
)

from service import timestamps
from service.schemas.common import WITHOUT_NUL, Id, Schema
from service.schemas.filters import LARGEST

MAX_CHANGES: Final = 1000
"""Rows of one request."""
MAX_FIELDS: Final = 64
"""Of one item in one request, and columns that come with each item of an answer."""
MAX_ELEMENTS: Final = 256
LONGEST_VALUE: Final = 4096
RESERVED: Final = ("item_id", "popularity")
"""Columns that are no metadata."""

Text = Annotated[StrictStr, Field(max_length=LONGEST_VALUE, pattern=WITHOUT_NUL)]
Whole = Annotated[StrictInt, Field(ge=-LARGEST, le=LARGEST)]
Number = Annotated[StrictFloat, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
TEXT_SCHEMA: Final = {"type": "string", "maxLength": LONGEST_VALUE, "pattern": WITHOUT_NUL}
NUMBER_SCHEMA: Final = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}


def _kind(value: Any) -> str | None:
    kinds = {str: "<text>", bool: "<flag>", int: "<whole>", float: "<number>", type(None): "<null>"}
    if isinstance(value, list | tuple):
        return "<texts>" if not value or isinstance(value[0], str) else "<numbers>"
    return kinds.get(type(value))


def _list_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "maxItems": MAX_ELEMENTS, "items": schema}


ItemValue = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[StrictBool, Tag("<flag>")]
    | Annotated[Whole, Tag("<whole>")]
    | Annotated[Number, Tag("<number>")]
    | Annotated[tuple[Text, ...], Field(max_length=MAX_ELEMENTS), Tag("<texts>")]
    | Annotated[tuple[Whole | Number, ...], Field(max_length=MAX_ELEMENTS), Tag("<numbers>")]
    | Annotated[None, Tag("<null>")],
    Discriminator(
        _kind,
        custom_error_type="item_value",
        custom_error_message="Input should be text, a number, true or false, a list of texts or of numbers, or null",
    ),
    WithJsonSchema(
        {
            "anyOf": [
                TEXT_SCHEMA, NUMBER_SCHEMA, {"type": "boolean"}, _list_of(TEXT_SCHEMA), _list_of(NUMBER_SCHEMA),
                {"type": "null"},
            ]
        }
    ),
]  # fmt: skip


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name} is no metadata, and cannot be changed")
    return name


NAME_PATTERN: Final = rf"^(?!({'|'.join(RESERVED)})$)[^\x00]+$"
FieldName = Annotated[
    str,
    Field(min_length=1, max_length=256, pattern=WITHOUT_NUL, json_schema_extra={"pattern": NAME_PATTERN}),
    AfterValidator(_not_reserved),
]
Values = Annotated[
    dict[FieldName, ItemValue],
    Field(
        max_length=MAX_FIELDS,
        description="Metadata by name: text, a number, true or false, a list of texts or of numbers; null for nothing.",
        examples=[{"price": 9.5, "stock": 3, "title": "Alien", "tags": ["space", "classic"]}],
        json_schema_extra={
            "propertyNames": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": NAME_PATTERN}
        },
    ),
]
Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=256, pattern=WITHOUT_NUL)], ...],
    Field(
        max_length=MAX_FIELDS, examples=[["title", "price"]],
        description="Columns of the items' metadata that come with each item; none when not given.",
    ),
]  # fmt: skip
Fields = dict[str, Any]
KEPT_OUT: Final = "Whether it is kept out of all answers"


class ItemPatch(Schema):
    """What changes about an item: a merge patch (RFC 7396). What is not named stays, null removes."""

    fields: Values = Field(default_factory=dict)
    hidden: StrictBool | None = Field(
        default=None, description=f"{KEPT_OUT}; as it is when not given.", examples=[True]
    )


class ItemDocument(Schema):
    """All that is known of an item; what is not named is nothing, whatever the bundle in service says."""

    fields: Values = Field(default_factory=dict)
    hidden: StrictBool = Field(default=False, description=f"{KEPT_OUT}.", examples=[True])


class ItemChangeRow(Schema):
    """A change of one item."""

    item_id: Id = Field(description="Of which item; the catalogue need not hold it.", examples=["318"])
    op: Literal["merge", "replace", "delete"] = Field(
        default="merge", examples=["merge"],
        description="`merge` as PATCH does, `replace` as PUT does, `delete` as DELETE does, without fields.",
    )  # fmt: skip
    fields: Values = Field(default_factory=dict)
    hidden: StrictBool | None = Field(
        default=None, description=f"{KEPT_OUT}; as it is when not given.", examples=[True]
    )
    timestamp: Annotated[AwareDatetime, timestamps.WRITTEN, AfterValidator(timestamps.checked)] | None = Field(
        default=None, examples=["2026-11-29T12:00:00Z"],
        description="When, in ISO 8601 with its offset: of two changes of a field the later one counts, whichever "
        "comes first. The time of the request when not given, and later than all that is held.",
    )  # fmt: skip


_Otherwise = Annotated[
    Any, WithJsonSchema({"description": "Anything else is rejected by itself, with a reason; the other rows count."})
]


class ItemChanges(Schema):
    """One change or many."""

    items: list[Annotated[ItemChangeRow | _Otherwise, SkipValidation]] = Field(
        min_length=1, max_length=MAX_CHANGES, description="Each is judged by itself, in their order.",
        examples=[[{"item_id": "318", "fields": {"price": 9.5}, "timestamp": "2026-11-29T12:00:00Z"}]],
    )  # fmt: skip


class ItemOutcome(Schema):
    """What has become of one change."""

    index: int = Field(ge=0, description="Its place in the request, from 0.", examples=[0])
    item_id: str | None = Field(description="As it was sent.", examples=["318"])
    status: Literal["accepted", "duplicate", "rejected"] = Field(
        description="`accepted`: on disk now. `duplicate`: it changes nothing, the item is so already or something "
        "later is known. `rejected`: see `reason`.",
        examples=["accepted"],
    )
    version: int | None = Field(description="Of the item now; null where it was rejected.", examples=[7120])
    reason: str | None = Field(
        default=None, description="Why it was rejected.", examples=["fields.price: Input should be text, a number ..."]
    )


class ItemReceipt(Schema):
    """What has become of the changes of a request. Those that are accepted are in every next answer."""

    request_id: str = Field(description="Identity of the request, also in the header X-Request-ID.", examples=["7f3a"])
    accepted: int = Field(description="Changes that were made.", examples=[1])
    duplicates: int = Field(description="Changes that change nothing.", examples=[0])
    rejected: int = Field(description="Rows that are no changes, or do not fit.", examples=[0])
    results: list[ItemOutcome] = Field(
        description="One a row, in the request's order.",
        examples=[[{"index": 0, "item_id": "318", "status": "accepted", "version": 7120}]],
    )


class ItemSummary(Schema):
    """What is known of an item."""

    request_id: str = Field(description="Identity of the request, also in the header X-Request-ID.", examples=["7f3a"])
    item_id: str = Field(description="Of the item.", examples=["318"])
    version: int = Field(
        description="Grows with every change of any item; 0 while nothing was changed about this one. Also the header "
        "ETag.",
        examples=[7120],
    )
    fields: Fields = Field(
        description="Its metadata: what the bundle says, and what was changed since.",
        examples=[{"genre": "Drama", "price": 9.5}],
    )
    hidden: bool = Field(description="Whether it is kept out of all answers.", examples=[False])
    deleted: bool = Field(description="Whether it was deleted; any further change brings it back.", examples=[False])
    in_model: bool = Field(description="Whether the bundle in service can recommend it.", examples=[True])
    changed_at: datetime | None = Field(
        description="Time of the last change; null where there was none.", examples=["2026-11-29T12:00:00Z"]
    )


def names_of(text: str | None) -> Sequence[str]:
    """Names with commas between them."""
    return () if text is None else tuple(dict.fromkeys(name for name in text.split(",") if name))
