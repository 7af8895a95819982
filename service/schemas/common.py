"""What goes over the wire, in and out. An unknown field is an error, and every field shows an example."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from recsys_vae.data.columns import GREATEST_WEIGHT, LEAST_WEIGHT, LONGEST_ID

MAX_K = 1000
MAX_ITEMS = 10_000
"""Longest history, exclude and candidates of a request."""
MAX_ID_LENGTH = LONGEST_ID
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""HTTP methods that addresses may take; labels of metrics and spans name no others."""
VARIANT_HEADER = "X-Recsys-Variant"
"""Names the variant that is to answer, instead of the one that the user is assigned."""


WITHOUT_NUL = r"^[^\x00]*$"
"""Pattern of a text without NUL characters, which databases refuse."""
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=WITHOUT_NUL)]
"""The one rule for ids of users and items, in bodies, addresses, events and datasets: 1 to 512 characters, none NUL."""
Weight = Annotated[float, Field(ge=LEAST_WEIGHT, le=GREATEST_WEIGHT, allow_inf_nan=False)]
"""How much an event or an item of a history says: finite and above 0 in float32 too, as models take it."""
K = Annotated[int, Field(ge=1, le=MAX_K, description="Number of items wanted.", examples=[20])]


class Schema(BaseModel):
    """What all of them have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AnswerWarning(Schema):
    """Something that did not stop the answer but that the caller should know."""

    code: str = Field(description="Stable name of the warning.", examples=["fewer_items_than_k"])
    message: str = Field(
        description="The same in words.", examples=["20 items were asked for, 3 are allowed: all of them are here."]
    )


class SimilarItem(Schema):
    """One similar item."""

    rank: int = Field(ge=1, description="Place in the list, from 1.", examples=[1])
    item_id: str = Field(description="Id of the item.", examples=["527"])
    score: float = Field(description="Comparable within one answer only.", examples=[0.8123])
    fields: dict[str, Any] | None = Field(
        default=None, description="The columns that were asked for.", examples=[{"title": "Alien", "price": 9.5}]
    )


class SimilarItemsList(Schema):
    """The items most similar to one."""

    request_id: str = Field(description="Identity of the request, also in the header X-Request-ID.", examples=["7f3a"])
    variant: str = Field(description="The variant in service that answered.", examples=["main"])
    model_version: str = Field(description="The bundle that answered.", examples=["mult-vae-679558afa88b"])
    item_id: str = Field(description="The item that was asked about.", examples=["318"])
    items: list[SimilarItem] = Field(
        description="Best first.", examples=[[{"rank": 1, "item_id": "527", "score": 0.8123}]]
    )
    warnings: list[AnswerWarning] = Field(description="Empty where all went as asked.", examples=[[]])


class BundleSummary(Schema):
    """What is in service."""

    variant: str = Field(description="The variant that it is.", examples=["main"])
    model_version: str = Field(description="Identity of the bundle.", examples=["mult-vae-679558afa88b"])
    model: str = Field(description="Name in the catalogue of models.", examples=["mult-vae"])
    settings: dict[str, Any] = Field(
        description="The model's configuration.", examples=[{"hidden": 600, "latent": 200}]
    )
    n_items: int = Field(description="Items that it can recommend.", examples=[3533])
    index: str | None = Field(description="Kind of its index; null where it has none.", examples=["flat"])
    dataset: str = Field(description="What it has learned from.", examples=["movielens-1m"])
    dataset_fingerprint: str = Field(description="SHA-256 of these interactions.", examples=["9f2c"])
    trained_on: str = Field(description="The part of the dataset.", examples=["all"])
    training_cutoff: str | None = Field(
        description="Time of the latest interaction learned from.", examples=["2003-02-28T17:49:50+00:00"]
    )
    metrics: dict[str, float] = Field(description="What was measured.", examples=[{"ndcg@100": 0.405}])
    metrics_on: str = Field(description="The part of a split that it was measured on.", examples=["split:strong/test"])
    created_at: str = Field(description="When the bundle was written, UTC.", examples=["2026-11-22T19:12:58+00:00"])


class Health(Schema):
    """A sign of life."""

    status: str = Field(description="`ok`; anything else comes as a problem.", examples=["ok"])


class Fault(Schema):
    """One field that breaks its contract."""

    field: str = Field(description="Where it is.", examples=["body.k"])
    message: str = Field(description="What is wrong.", examples=["Input should be greater than or equal to 1"])


class Problem(Schema):
    """An error, in the shape of RFC 9457."""

    type: str = Field(description="Stable name of the kind of error.", examples=["urn:recsys:problem:invalid-request"])
    title: str = Field(description="Short text of the status.", examples=["Unprocessable Content"])
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str = Field(
        description="What was wrong with this request.",
        examples=["body.k: Input should be greater than or equal to 1."],
    )
    request_id: str = Field(description="Identity of the request, also in the header X-Request-ID.", examples=["7f3a"])
    errors: list[Fault] | None = Field(
        None, description="Each field that breaks its contract.",
        examples=[[{"field": "body.k", "message": "Input should be greater than or equal to 1"}]],
    )  # fmt: skip
