"""Conditions on item metadata as they go over the wire: a small typed expression, parsed here and nowhere executed."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    WithJsonSchema,
    model_validator,
)

from service.schemas.common import WITHOUT_NUL, Schema

MAX_DEPTH = 8
"""Conditions inside each other."""
MAX_CONDITIONS = 64
"""Conditions of one filter, all together."""
MAX_VALUES = 1000
"""Values of an `in`."""
BOUNDS = f"At most {MAX_CONDITIONS} conditions, {MAX_DEPTH} deep; columns are those of the bundle in service."
"""What a JSON schema cannot say."""
LARGEST = 2**63 - 1
LONGEST_TEXT = 512

Text = Annotated[StrictStr, Field(max_length=LONGEST_TEXT, pattern=WITHOUT_NUL)]
Whole = Annotated[StrictInt, Field(ge=-LARGEST, le=LARGEST)]
Number = Annotated[StrictFloat, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


def _kind(value: Any) -> str | None:
    kinds = {str: "<text>", bool: "<flag>", int: "<whole>", float: "<number>"}
    return kinds.get(type(value))


MetadataValue = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[StrictBool, Tag("<flag>")]
    | Annotated[Whole, Tag("<whole>")]
    | Annotated[Number, Tag("<number>")],
    Discriminator(
        _kind, custom_error_type="metadata_value", custom_error_message="Input should be text, a number, true or false"
    ),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": LONGEST_TEXT},
                {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
                {"type": "boolean"},
            ]
        }
    ),
]
ColumnName = Annotated[
    str,
    Field(
        min_length=1, max_length=256, description="A column of the items' metadata.", examples=["genre"],
        pattern=WITHOUT_NUL,
    ),
]  # fmt: skip


class EqFilter(Schema):
    """The column holds this value; where it holds lists, one of their elements is it."""

    op: Literal["eq"] = Field(description="`eq`.", examples=["eq"])
    column: ColumnName
    value: MetadataValue = Field(description="What it holds.", examples=["Drama"])


class InFilter(Schema):
    """The column holds one of these values."""

    op: Literal["in"] = Field(description="`in`.", examples=["in"])
    column: ColumnName
    values: list[MetadataValue] = Field(
        min_length=1, max_length=MAX_VALUES, description="What it may hold.", examples=[["Drama", "Comedy"]]
    )


def given(name: str) -> dict[str, Any]:
    """JSON schema of an object in which a field is there, and not null."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


class RangeFilter(Schema):
    """The column's value lies between two; dates and times are written as in ISO 8601."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [given("min"), given("max")]})

    op: Literal["range"] = Field(description="`range`.", examples=["range"])
    column: ColumnName = Field(description="A column of numbers, dates, times or text.", examples=["year"])
    min: MetadataValue | None = Field(
        default=None, description="The smallest that fits; none when not given.", examples=[1990]
    )
    max: MetadataValue | None = Field(
        default=None, description="The largest that fits; none when not given.", examples=[1999]
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a range has a min, a max or both")
        return self


class AndFilter(Schema):
    """All of these hold."""

    op: Literal["and"] = Field(description="`and`.", examples=["and"])
    of: list["AnyFilter"] = Field(
        min_length=1, description="The conditions.", examples=[[{"op": "eq", "column": "genre", "value": "Drama"}]]
    )


class OrFilter(Schema):
    """At least one of these holds."""

    op: Literal["or"] = Field(description="`or`.", examples=["or"])
    of: list["AnyFilter"] = Field(
        min_length=1, description="The conditions.", examples=[[{"op": "eq", "column": "genre", "value": "Drama"}]]
    )


class NotFilter(Schema):
    """This does not hold; items without a value are among those for which it does not."""

    op: Literal["not"] = Field(description="`not`.", examples=["not"])
    of: "AnyFilter" = Field(description="The condition.", examples=[{"op": "eq", "column": "genre", "value": "Horror"}])


AnyFilter = Annotated[EqFilter | InFilter | RangeFilter | AndFilter | OrFilter | NotFilter, Field(discriminator="op")]


def _bounded(value: Any) -> Any:
    """Before anything is parsed: neither deep nor long."""
    for count, depth in enumerate(_depths(value), start=1):
        if depth > MAX_DEPTH:
            raise ValueError(f"conditions lie at most {MAX_DEPTH} deep inside each other")
        if count > MAX_CONDITIONS:
            raise ValueError(f"a filter has at most {MAX_CONDITIONS} conditions")
    return value


def _depths(value: Any) -> Iterator[int]:
    """How deep each condition lies."""
    waiting = [(1, value)]
    while waiting:
        depth, current = waiting.pop()
        if isinstance(current, dict):
            yield depth
            inner = current.get("of")
            waiting += [(depth + 1, part) for part in (inner if isinstance(inner, list) else [inner])]


Filter = Annotated[AnyFilter, BeforeValidator(_bounded)]
