"""What goes over the wire about lists that are made again."""

from datetime import datetime

from pydantic import Field

from service.schemas.common import Schema


class ReplayedList(Schema):
    """A list as it was shown, and as it was made again."""

    user_id: str | None = Field(description="Whom it was for; null where the request named nobody.", examples=["42"])
    variant: str = Field(description="The variant that answered.", examples=["main"])
    model_version: str = Field(description="Its bundle.", examples=["mult-vae-679558afa88b"])
    generation: int = Field(description="Of the deployment that answered.", examples=[7])
    answered_at: datetime = Field(description="When.", examples=["2026-11-22T19:12:58Z"])
    identical: bool = Field(description="Whether both are the same list.", examples=[True])
    rounding_only: bool = Field(
        description="Whether only items with scores as good as equal stand in another order.", examples=[False]
    )
    first_difference: int | None = Field(
        description="The first place, from 1, with another item; null for none.", examples=[None]
    )
    shown: list[str] = Field(description="Ids as they were shown, best first.", examples=[["260", "2028"]])
    rebuilt: list[str] = Field(description="Ids as they were made again.", examples=[["260", "2028"]])


class ReplayAnswer(Schema):
    """All lists of a request, made again."""

    request_id: str = Field(description="Identity of this request, also in the header X-Request-ID.", examples=["7f3a"])
    replayed: str = Field(description="Identity of the request that was answered then.", examples=["9c01"])
    identical: bool = Field(description="Whether all of its lists are the same.", examples=[True])
    lists: list[ReplayedList] = Field(
        description="One; of a batch, one a user.",
        examples=[[{"user_id": "42", "variant": "main", "model_version": "mult-vae-679558afa88b", "generation": 7,
                    "answered_at": "2026-11-22T19:12:58Z", "identical": True, "rounding_only": False,
                    "first_difference": None, "shown": ["260"], "rebuilt": ["260"]}]],
    )  # fmt: skip
