"""Recommendations as they go over the wire: what is asked, and what is answered."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema, model_validator

from recsys_vae.data.signal_rules import Repeat
from service import timestamps
from service.schemas.common import MAX_ITEMS, MAX_K, WITHOUT_NUL, AnswerWarning, Id, K, Problem, Schema, Weight
from service.schemas.filters import BOUNDS, ColumnName, Filter, MetadataValue, given
from service.schemas.items import Names

LONGEST_CURSOR = 40_000
"""Characters; each item of a list takes three bytes or less where it follows one near it."""
SHORTEST_CURSOR = 47
"""Of the shortest name of a bundle, at the start of its list."""
SMALLEST_FACTOR = 1e-6
MAX_BOOSTS, MAX_CAPS, MAX_QUOTAS = 16, 8, 8
MAX_METADATA = 64
MAX_REQUESTS = 256
REQUEST_SCHEMA = "#/components/schemas/RecommendationRequest"


CURSOR = r"^A[Q-Za-v][A-Za-z0-9_-]+$"
"""What a cursor looks like, for the document: base64 whose first byte is their format (ranking/cursors.py)."""
CursorText = Annotated[
    Annotated[
        str,
        Field(
            min_length=1,
            max_length=LONGEST_CURSOR,
            pattern=r"^[A-Za-z0-9_-]+$",
            json_schema_extra={"minLength": SHORTEST_CURSOR, "pattern": CURSOR},
        ),
    ]
    | None,
    Field(
        description="`next_cursor` of the page before, as it came: it holds a checksum, and any other text is refused. "
        "All but k and explain is repeated as it was.",
        examples=["ARB2KxO9iPh5gSI2Iybce28DAAAAAAAAABFlYXNlLTgwYjcwODBhMmFkNgUB0dnRe4MBr1c"],
    ),
]


class HistoryItem(Schema):
    """An item of a history, with what is known about it."""

    item_id: Id = Field(description="Id of the item.", examples=["318"])
    weight: Weight | None = Field(
        default=None, examples=[1.0],
        description="How much this says about the user: a value, as of an event; null counts as 1, and is below no "
        "bound. Of models that learn from yes or no alone, only rules of dislikes ask for it.",
    )  # fmt: skip
    event_type: Annotated[str, Field(min_length=1, max_length=64, pattern=WITHOUT_NUL)] | None = Field(
        default=None,
        description="What the user did with it: the bundle's rules say what a kind weighs, and which are dislikes.",
        examples=["purchase"],
    )
    time: Annotated[datetime, timestamps.WRITTEN, AfterValidator(timestamps.checked)] | None = Field(
        default=None, description="When. Where every item has one, they are put in this order.",
        examples=["2026-11-24T15:30:00Z"],
    )  # fmt: skip


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "<id>"
    return "<object>" if isinstance(value, dict | HistoryItem) else None


HistoryEntry = Annotated[
    Annotated[Id, Tag("<id>")] | Annotated[HistoryItem, Tag("<object>")],
    Discriminator(
        _kind,
        custom_error_type="history_entry",
        custom_error_message="Input should be an item id (a string) or an object with item_id and weight",
    ),
]


class BoostRequest(Schema):
    """A push for chosen items: by metadata, or by id."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [given("where"), given("items")],
            "anyOf": [
                {"properties": {"by": {"const": "add"}}},
                {"properties": {"by": {"const": "multiply"}, "value": {"minimum": SMALLEST_FACTOR}}},
            ],
        }
    )

    by: Literal["multiply", "add"] = Field(
        description="`multiply` the score (one below 0 is divided: a factor above 1 always moves up), or `add`.",
        examples=["multiply"],
    )
    value: float = Field(
        ge=-1e6, le=1e6, allow_inf_nan=False, description="The factor, above 0, or what is added.", examples=[1.5]
    )
    where: Filter | None = Field(
        default=None, description=f"The items whose metadata fit this. {BOUNDS}",
        examples=[{"op": "eq", "column": "genre", "value": "Drama"}],
    )  # fmt: skip
    items: list[Id] | None = Field(
        default=None, min_length=1, max_length=MAX_ITEMS, description="Or these items.", examples=[["527", "593"]]
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.where is None) == (self.items is None):
            raise ValueError("a boost names its items by where or by items, by one of them")
        if self.by == "multiply" and self.value < SMALLEST_FACTOR:
            raise ValueError("a factor is at least 0.000001")
        return self


class CapRequest(Schema):
    """A cap on how many items of a list share a value."""

    column: ColumnName
    n: Annotated[int, Field(ge=1, le=MAX_K, description="Items with one value, all pages together.", examples=[3])]


class QuotaRequest(Schema):
    """At least so many items of a list are of a group: by metadata, by id, or by how well known they are."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [given("where"), given("items"), given("group")]})

    n: Annotated[int, Field(ge=1, le=MAX_K, description="Items of the group on each page.", examples=[3])]
    where: Filter | None = Field(
        default=None, description=f"The items whose metadata fit this. {BOUNDS}",
        examples=[{"op": "eq", "column": "brand", "value": "Own"}],
    )  # fmt: skip
    items: list[Id] | None = Field(
        default=None, min_length=1, max_length=MAX_ITEMS, description="Or these items.", examples=[["527", "593"]]
    )
    group: Literal["long-tail", "new"] | None = Field(
        default=None,
        description="Or those outside the bestsellers that have 80 % of all interactions, or those that nobody had "
        "touched when the model learned.",
        examples=["long-tail"],
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if sum(one is not None for one in (self.where, self.items, self.group)) != 1:
            raise ValueError("a quota names its items by where, by items or by group, by one of them")
        return self


class CalibrationRequest(Schema):
    """Lists whose shares of a column's values are those of the history."""

    column: ColumnName
    strength: float = Field(
        default=0.5, ge=0, le=1, allow_inf_nan=False, description="0: the order of the scores; 1: calibration alone.",
        examples=[0.5],
    )  # fmt: skip


Candidates = Annotated[
    list[Id] | None,
    Field(
        max_length=MAX_ITEMS, description="Choose among these items only; all when not given.",
        examples=[["527", "593", "296", "608"]],
    ),
]  # fmt: skip
Wanted = Annotated[
    Filter | None,
    Field(
        description=f"Choose among items whose metadata fit this; all when not given. {BOUNDS}",
        examples=[{"op": "range", "column": "year", "min": 1990}],
    ),
]
Boosts = Annotated[
    list[BoostRequest],
    Field(
        max_length=MAX_BOOSTS, description="Pushes for chosen items, one after the other.",
        examples=[[{"by": "add", "value": 0.5, "items": ["527"]}]],
    ),
]  # fmt: skip


RepeatWord = Annotated[
    Repeat | None,
    Field(
        examples=["only"],
        description="Whether items that the user liked before may be returned, or only these; `exclude` if not given. "
        "Where the bundle knows what users buy again, they stand where that puts them, seen from now.",
    ),
]


class RecommendationRequest(Schema):
    """Who is asked about, and what may be answered."""

    user_id: Id | None = Field(
        default=None, description="A user whose history is in the event store; it joins `history`.", examples=["42"]
    )
    history: list[HistoryEntry] = Field(
        default_factory=list, max_length=MAX_ITEMS, examples=[["318", {"item_id": "50", "weight": 2.0}]],
        description="What the user has done, in this session or elsewhere, least recent first: item ids, or objects "
        "that say more. Of an item that is repeated the last counts, or what the bundle's rules say. What the user "
        "dislikes is never returned.",
    )  # fmt: skip
    metadata: dict[Annotated[str, Field(min_length=1, max_length=256)], MetadataValue] = Field(
        default_factory=dict, max_length=MAX_METADATA, examples=[{"country": "NZ", "age": 31}],
        description="What else is known of the user, by field of the bundle's schema; a set is written with | between "
        "its values. Where there is no history the list goes by it. A warning names what says nothing to the model.",
    )  # fmt: skip
    k: K = 20
    exclude: list[Id] = Field(
        default_factory=list, max_length=MAX_ITEMS, description="Items not to return, besides those in the history.",
        examples=[["296"]],
    )  # fmt: skip
    candidates: Candidates = None
    filter: Wanted = None
    boost: Boosts = Field(default_factory=list)
    diversity: float = Field(
        default=0.0, ge=0, le=1, allow_inf_nan=False, examples=[0.3],
        description="How much items are to differ from those above them, by their vectors; 0: the order of the scores.",
    )  # fmt: skip
    at_most: list[CapRequest] = Field(
        default_factory=list, max_length=MAX_CAPS, examples=[[{"column": "genre", "n": 3}]],
        description="Caps on how many items share a value in a column; of a list, each of its values counts, and items "
        "without a value are free.",
    )  # fmt: skip
    quotas: list[QuotaRequest] = Field(
        default_factory=list, max_length=MAX_QUOTAS, examples=[[{"n": 3, "group": "long-tail"}]],
        description="How many items of each page are of a group, at least. One gives way where there are not so many, "
        "and to caps: k items come all the same.",
    )  # fmt: skip
    calibration: CalibrationRequest | None = Field(
        default=None, examples=[{"column": "genre", "strength": 0.5}],
        description="Have the list reflect what the history is made of; then `diversity` counts for nothing.",
    )  # fmt: skip
    repeat: RepeatWord = Field(default=None)
    seen: Literal["exclude", "allow"] = Field(
        default="exclude", description="The older name of `repeat`; send one of them.", examples=["allow"]
    )
    explain: bool = Field(
        default=False, description="Say which items of the history push each item up.", examples=[True]
    )
    fields: Names = ()
    cursor: CursorText = None

    @model_validator(mode="after")
    def _one_word_of_repeats(self) -> Self:
        if self.repeat is not None and "seen" in self.model_fields_set and self.repeat != self.seen:
            raise ValueError("repeat and its older name seen say different things: send repeat alone")
        return self


class CauseSummary(Schema):
    """An item of the history that pushes a recommended item up."""

    item_id: str = Field(description="Id of the item in the history.", examples=["318"])
    effect: float = Field(description="How much lower the score is without it.", examples=[0.8154])


class RecommendedItem(Schema):
    """One recommended item."""

    rank: int = Field(ge=1, description="Place in the list, from 1, over all its pages.", examples=[1])
    item_id: str = Field(description="Id of the item.", examples=["527"])
    score: float = Field(description="Comparable within one answer only.", examples=[4.7081])
    source: str = Field(
        description="The tier, `repeat` for an item that the user buys again, `content` for one that nobody had "
        "touched: its vector comes from its content, or `explore` for one that the model does not know.",
        examples=["history"],
    )
    because: list[CauseSummary] | None = Field(
        default=None,
        description="With `explain`: the items of the history that push this one up, strongest first; none where it "
        "is not pushed by the history.",
        examples=[[{"item_id": "318", "effect": 0.8154}]],
    )
    pushed_by: str | None = Field(
        default=None,
        description="With `explain`: what puts the item into the list. `history` (with metadata, where they count), "
        "`metadata`, or `popularity` where without it the item would not be in the list.",
        examples=["history"],
    )
    variant: str | None = Field(
        default=None,
        description="In an interleaved list: the variant that its clicks are credited to; null where both would have "
        "put it there.",
        examples=["main"],
    )
    fields: dict[str, Any] | None = Field(
        default=None,
        description="The columns of `fields`, as they are now; null where the item has no value.",
        examples=[{"title": "Alien", "price": 9.5}],
    )


class Recommendations(Schema):
    """A ranked list for one user."""

    request_id: str = Field(
        description="What events that follow name: identity of the request, also in the header X-Request-ID. Where a "
        "request of a batch names no user, a dot and its place come behind.",
        examples=["7f3a"],
    )
    variant: str = Field(
        description="The variant in service that answered; `a+b` where the lists of two were interleaved.",
        examples=["main"],
    )
    model_version: str = Field(
        description="The bundle that answered; two with a `+` between them likewise.",
        examples=["mult-vae-679558afa88b"],
    )
    tier: str = Field(
        description="What the list goes by: `posterior` (history and metadata), `history`, `content` (a history of new "
        "items), `prior` (metadata), `segment` (popular among users with the same metadata) or `popular`.",
        examples=["history"],
    )
    scorer: str = Field(description="What computed the scores.", examples=["faiss-flat"])
    items: list[RecommendedItem] = Field(
        description="Best first.", examples=[[{"rank": 1, "item_id": "527", "score": 4.7081, "source": "history"}]]
    )
    next_cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null where no allowed item is left.",
        examples=["ARB2KxO9iPh5gSI2Iybce28DAAAAAAAAABFlYXNlLTgwYjcwODBhMmFkNgUB0dnRe4MBr1c"],
    )
    warnings: list[AnswerWarning] = Field(description="Empty where all went as asked.", examples=[[]])


class BatchRequest(Schema):
    """Many requests in one."""

    # Each is validated by itself later: one bad request is one error, not all of them.
    requests: list[Annotated[Any, WithJsonSchema({"$ref": REQUEST_SCHEMA})]] = Field(
        min_length=1, max_length=MAX_REQUESTS, examples=[[{"user_id": "42", "k": 10}, {"history": ["318"]}]],
        description="Each as if it were sent to `/v1/recommendations`.",
    )  # fmt: skip


class BatchResult(Schema):
    """What came of one of many requests: an answer or a problem."""

    status: int = Field(description="The status that it would have had by itself.", examples=[200])
    answer: Recommendations | None = Field(
        default=None, description="Where the status is 200.",
        examples=[{
            "request_id": "7f3a", "variant": "main", "model_version": "mult-vae-679558afa88b", "tier": "history",
            "scorer": "faiss-flat", "items": [], "next_cursor": None, "warnings": [],
        }],
    )  # fmt: skip
    problem: Problem | None = Field(
        default=None, description="Where it is not.",
        examples=[{
            "type": "urn:recsys:problem:invalid-request", "title": "Unprocessable Content", "status": 422,
            "detail": "k: Input should be less than or equal to 1000.", "request_id": "7f3a",
        }],
    )  # fmt: skip


class BatchAnswer(Schema):
    """What came of many requests."""

    request_id: str = Field(description="Identity of the request, also in the header X-Request-ID.", examples=["7f3a"])
    results: list[BatchResult] = Field(description="One a request, in their order.", examples=[[{"status": 200}]])
