"""What goes over the wire about what is in service, and about putting something else there."""

from typing import Annotated

from fastapi import Header, Query
from pydantic import AfterValidator, Field

from recsys_vae.tracking_store import REGISTERED_MODEL
from service.schemas.common import VARIANT_HEADER, WITHOUT_NUL, Schema

SOURCE_PATTERN = rf"^({REGISTERED_MODEL.pattern.replace('?P<', '?<')}|(?!models:)[^\x00]+)$"
"""A registered model, or what is none: as JSON schema has it, which names groups otherwise."""


def _model_or_directory(source: str) -> str:
    if source.startswith("models:") and REGISTERED_MODEL.fullmatch(source) is None:
        raise ValueError("a model is named by models:/NAME@ALIAS or models:/NAME/VERSION")
    return source


VariantName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Source = Annotated[
    str,
    Field(min_length=1, max_length=1024, pattern=WITHOUT_NUL, json_schema_extra={"pattern": SOURCE_PATTERN}),
    AfterValidator(_model_or_directory),
]
ChosenVariant = Annotated[
    VariantName | None,
    Header(
        alias=VARIANT_HEADER.lower(),
        description="Variant that is to answer, for tests; when not given, the one that the user is assigned.",
        examples=["main"],
    ),
]


Wait = Annotated[
    float,
    Query(
        ge=0, le=600, allow_inf_nan=False, examples=[30],
        description="Seconds to wait with the answer until all replicas follow; `behind` says how many do not by then.",
    ),
]  # fmt: skip


class ReloadRequest(Schema):
    """What to load. Nothing at all: what the settings name, once more."""

    source: Source | None = Field(
        default=None,
        description="A directory below the bundle root, or a model: models:/NAME@ALIAS or models:/NAME/VERSION.",
        examples=["2026-11-24"],
    )
    variant: VariantName | None = Field(
        default=None, description="The variant that it becomes; not needed where there is one.", examples=["main"]
    )


class VariantSummary(Schema):
    """A variant in service."""

    name: str = Field(description="Its name.", examples=["main"])
    weight: float = Field(description="Its share of the users, relative to the other weights.", examples=[1.0])
    share: float = Field(description="The same as a part of all users, from 0 to 1.", examples=[1.0])
    model_version: str = Field(description="Identity of its bundle.", examples=["mult-vae-679558afa88b"])
    model: str = Field(description="Name in the catalogue of models.", examples=["mult-vae"])
    n_items: int = Field(description="Items that it can recommend.", examples=[3533])
    source: str = Field(description="Where its bundle was taken from.", examples=["/bundles/2026-11-24"])


class DeploymentSummary(Schema):
    """What is in service."""

    request_id: str = Field(description="Identity of the request, also in the header X-Request-ID.", examples=["7f3a"])
    generation: int = Field(
        description="Grows with every deployment; 0 while the event store has not been reached.", examples=[7]
    )
    active: int = Field(
        description="Generation in service everywhere, as far as is known here; another one is being loaded here.",
        examples=[7],
    )
    variants: list[VariantSummary] = Field(
        description="The first one first.",
        examples=[[{"name": "main", "weight": 1.0, "share": 1.0, "model_version": "mult-vae-679558afa88b",
                    "model": "mult-vae", "n_items": 3533, "source": "/bundles/2026-11-24"}]],
    )  # fmt: skip
    interleaved: list[str] = Field(
        default_factory=list,
        description="The two whose users get lists that both draft; empty for none.",
        examples=[[]],
    )
    replicas: int | None = Field(
        None, description="Processes that answer from this event store; null where it did not say.", examples=[4]
    )
    behind: int | None = Field(
        None,
        description="Those among them that did not yet answer with this deployment; null where the store did not say.",
        examples=[0],
    )


class DeploymentChange(DeploymentSummary):
    """What is in service now, and whether that is new."""

    changed: bool = Field(description="False where just that was in service already.", examples=[True])
