"""Lists without a user, and rows of lists, as they go over the wire."""

from typing import Annotated, Any, Literal

from pydantic import Field

from service.schemas.common import MAX_ITEMS, AnswerWarning, Id, K, Schema
from service.schemas.filters import MetadataValue
from service.schemas.items import Names
from service.schemas.recommendations import MAX_CAPS, MAX_METADATA, Boosts, Candidates, CapRequest, Wanted

MAX_BECAUSE = 10
ListName = Literal["popular", "recent", "trending", "new"]
DEFAULT_LISTS: tuple[ListName, ...] = ("trending", "new", "popular")
Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=256)], MetadataValue],
    Field(max_length=MAX_METADATA, examples=[{"country": "NZ"}]),
]
Because = Annotated[
    int | None,
    Field(
        ge=0,
        le=MAX_BECAUSE,
        examples=[2],
        description="Rows about items of the history, the last first; if not given, 2 where the key has the scope "
        "`explain`, else none.",
    ),
]


class ItemsRequest(Schema):
    """Which items a list may hold, and what moves them."""

    k: K = 20
    exclude: list[Id] = Field(
        default_factory=list, max_length=MAX_ITEMS, description="Items not to return.", examples=[["296"]]
    )
    candidates: Candidates = None
    filter: Wanted = None
    boost: Boosts = Field(default_factory=list)
    at_most: list[CapRequest] = Field(
        default_factory=list, max_length=MAX_CAPS, examples=[[{"column": "genre", "n": 3}]],
        description="Caps on how many items of a list share a value in a column.",
    )  # fmt: skip
    fields: Names = ()


class ListRequest(ItemsRequest):
    """What a list without a user may hold, and for whom it is."""

    metadata: Metadata = Field(
        default_factory=dict, description="Of a segment of users, by field of the bundle's schema: what is popular or "
        "trending among them. Everybody when not given.",
    )  # fmt: skip


class RowsRequest(ItemsRequest):
    """Rows for a user: all that is said of items holds for each of them."""

    k: Annotated[K, Field(description="Items of a row.")] = 10
    metadata: Metadata = Field(
        default_factory=dict, description="What else is known of the user, by field of the bundle's schema."
    )
    because: Because = None
    lists: list[ListName] = Field(
        default=list(DEFAULT_LISTS), max_length=4, examples=[["trending", "new"]],
        description="Lists that have a row, in this order; those that the bundle does not have are left out.",
    )  # fmt: skip


class ListedItem(Schema):
    """One item of a list."""

    rank: int = Field(ge=1, description="Place in the list, from 1.", examples=[1])
    item_id: str = Field(description="Id of the item.", examples=["527"])
    score: float = Field(
        description="Of `bought-together` the lift; else comparable within one answer only.", examples=[2.8123]
    )
    fields: dict[str, Any] | None = Field(
        default=None, description="The columns that were asked for.", examples=[{"title": "Alien", "price": 9.5}]
    )


class ItemListAnswer(Schema):
    """A list without a user."""

    request_id: str = Field(description="Identity of the request, also in the header X-Request-ID.", examples=["7f3a"])
    variant: str = Field(description="The variant in service that answered.", examples=["main"])
    model_version: str = Field(description="The bundle that answered.", examples=["mult-vae-679558afa88b"])
    name: str = Field(description="Name of the list.", examples=["trending"])
    items: list[ListedItem] = Field(
        description="Best first.", examples=[[{"rank": 1, "item_id": "527", "score": 0.8123}]]
    )
    warnings: list[AnswerWarning] = Field(description="Empty where all went as asked.", examples=[[]])


class RowAnswer(Schema):
    """One titled row."""

    kind: Literal["for-you", "because", "list"] = Field(
        description="`for-you`, what the model recommends; `because`, what is like an item of the history; `list`.",
        examples=["because"],
    )
    title: str = Field(description="In English; `kind` and `name` say the same.", examples=["Because you watched X"])
    name: str | None = Field(
        default=None, description="Of a `list` its name, of `because` the id of the item.", examples=["318"]
    )
    items: list[ListedItem] = Field(
        description="Best first; none of them is in another row.",
        examples=[[{"rank": 1, "item_id": "527", "score": 0.8123}]],
    )


class UserRows(Schema):
    """Rows for one user."""

    request_id: str = Field(
        description="What events that follow name: identity of the request, also in the header X-Request-ID.",
        examples=["7f3a"],
    )
    variant: str = Field(description="The variant in service that answered.", examples=["main"])
    model_version: str = Field(description="The bundle that answered.", examples=["mult-vae-679558afa88b"])
    tier: str = Field(description="What the first row goes by, as in recommendations.", examples=["history"])
    rows: list[RowAnswer] = Field(
        description="From the top; those without items are left out.",
        examples=[[{"kind": "list", "title": "New", "name": "new", "items": []}]],
    )
    warnings: list[AnswerWarning] = Field(description="Empty where all went as asked.", examples=[[]])
