"""Settings: what an operator may choose, from flags and from the environment; one class for both.

Every field `x` is also the environment variable `RECSYS_X`. Flags go before the environment, and that before the
defaults.
"""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from recsys_vae.errors import ConfigError, fault_text
from recsys_vae.home import home


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several names with commas between them."""

MAIN: Final = "main"
"""Name of the only variant, where one bundle is all that is named."""
VARIANT: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64})=(?P<weight>[0-9]*\.?[0-9]+):(?P<source>.+)")


class NamedSource(NamedTuple):
    """A variant as the settings name it.

    Attributes:
        name: of the variant.
        weight: its share of the users, relative to the other weights; 0 for those only who ask for it by name.
        source: directory of its bundle, or address of an MLflow model.
    """

    name: str
    weight: float
    source: str


def _read_variants(value: Any) -> Any:
    words = value.split(";") if isinstance(value, str) else value
    return tuple(_read_variant(word.strip()) if isinstance(word, str) else word for word in words if word)


def _read_variant(text: str) -> NamedSource:
    found = VARIANT.fullmatch(text)
    if found is None or not math.isfinite(float(found["weight"])):
        raise ValueError(f"{text!r} is no variant; expected NAME=WEIGHT:SOURCE, such as b=10:bundles/b")
    return NamedSource(found["name"], float(found["weight"]), found["source"])


Variants = Annotated[tuple[NamedSource, ...], NoDecode, BeforeValidator(_read_variants)]
"""Several variants; `;` between them in the environment, a flag each on the command line."""


class Settings(BaseSettings):
    """Everything that can be chosen about a running service."""

    model_config = SettingsConfigDict(env_prefix="RECSYS_", frozen=True, hide_input_in_errors=True)

    bundle: Path | None = Field(None, description="Directory of the bundle to serve.")
    model: str | None = Field(None, description="MLflow model to serve instead, such as models:/movies@champion.")
    variant: Variants = Field(
        (), description="NAME=WEIGHT:SOURCE of one of several bundles or models instead; once a variant."
    )
    interleave: Names = Field(
        (), description="Two variants, as A,B, whose users get lists that both draft; clicks say which one is better."
    )
    follow: bool = Field(
        False, description="Whether to start with what the event store says is in service, if it says anything."
    )
    bundle_root: Path | None = Field(
        None, description="Folder of the bundles that /v1/admin/reload may name; none: none but those named here."
    )
    poll_seconds: float = Field(1.0, ge=0.05, le=3600, description="How often the store is asked what is in service.")
    alias_poll_seconds: float = Field(
        60.0, ge=0.05, le=86_400, description="How often the model registry is asked what an alias names."
    )
    registry_seconds: float = Field(
        10.0, gt=0, le=3600, description="How long the model registry is waited for, to say what an alias names."
    )
    download_seconds: float = Field(
        600.0, gt=0, le=86_400, description="How long a bundle is waited for, from the registry or its bucket."
    )
    keep_previous: int = Field(
        1, ge=0, le=100, description="Deployments before this one that are kept in memory, for rollbacks at once."
    )
    exposures: Literal["auto", "on", "off"] = Field(
        "auto", description="Whether the store keeps which list was shown to whom; auto: where there are variants."
    )
    propensities: bool = Field(
        False,
        description="Whether lists of all variants are computed for each request, so that the store keeps how likely "
        "each item was to be shown.",
    )
    explore_share: float = Field(
        0.0, ge=0, le=0.5, description="Share of the places of a list for items that the model does not know."
    )
    store: str | None = Field(None, description="URL of the event store; SQLite under RECSYS_HOME when not given.")
    store_seconds: float = Field(
        5.0,
        ge=0.05,
        le=600,
        description="How long a connection to the store, a lock of it, or its network gone silent is waited for.",
    )
    start_without_store: bool = Field(
        False, description="Whether one that follows starts with what is named here while the store does not answer."
    )
    host: str = Field("127.0.0.1", description="Address to listen at.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen at; 0 takes any free one.")
    compute_threads: int = Field(1, ge=1, le=64, description="Batches of requests that are computed at the same time.")
    max_batch: int = Field(64, ge=1, le=4096, description="Requests in one batch.")
    gather_ms: float = Field(2.0, ge=0, le=1000, description="Longest time that a batch gathers beside another, in ms.")
    max_queue: int = Field(1024, ge=1, description="Requests that may wait; what comes on top is refused with 503.")
    deadline_ms: float = Field(
        2000.0, gt=0, allow_inf_nan=False, description="Time within which a request is answered, or refused, in ms."
    )
    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="Longest request body that is read.")
    shutdown_seconds: int = Field(10, ge=0, description="Time that open requests get when the service is stopped.")
    workers: int = Field(1, ge=1, le=256, description="Processes that answer, each with the bundle in its memory.")
    keys: str | None = Field(
        None, description="Entries of API keys as `recsys keys new` prints them, `;` between them."
    )
    keys_file: Path | None = Field(None, description="File with such entries, one a line; read again when it changes.")
    rate_limit: str | None = Field(
        None, description="Requests that a key may send, such as 600/minute; none: any number."
    )
    rate_limit_store: str | None = Field(None, description="URL of the Redis where workers count requests together.")
    rate_limit_store_seconds: float = Field(
        0.25, gt=0, le=60, description="How long Redis is waited for, before a request is served uncounted."
    )
    max_connections: int | None = Field(
        None,
        ge=1,
        description="Connections of a process; none: 10000, or what the limit of open files leaves.",
    )
    idle_seconds: float = Field(
        30.0, gt=0, allow_inf_nan=False, description="Time that a connection may take until a request's head has come."
    )
    max_headers: int = Field(100, ge=1, description="Most headers that a request may have.")
    body_seconds: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="Time that a request's body may take to come."
    )
    hosts: Names = Field((), description="Names in the header Host that are answered, with commas; none: all.")
    cors_origins: Names = Field((), description="Origins whose pages may call from a browser, with commas.")
    docs: bool | None = Field(
        None, description="Whether /docs and /openapi.json are shown, to anybody; only without keys if not set."
    )
    ui: bool | None = Field(
        None, description="Whether the pages under /ui are served; with a key of scope ui or without keys if not set."
    )
    ui_process: bool | None = Field(
        None,
        description="Whether the pages have a process of their own, with the bundle in its memory once more, so that "
        "answers do not wait for them; with keys or several workers if not set.",
    )
    ui_secret: str | None = Field(
        None,
        min_length=32,
        description="What signs the sessions of /ui, the same on all replicas; drawn at every start if not set.",
    )
    ui_https: bool = Field(
        False, description="Whether browsers reach /ui by https only, as where a proxy in front speaks it."
    )
    access_log: bool = Field(True, description="Whether each request gets a line in the log.")
    log_paths: bool = Field(False, description="Whether these lines hold addresses, and so ids of users and items.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Form of the log; auto: JSON unless at a terminal."
    )
    trace_url: str | None = Field(
        None, description="Where traces are sent (OTLP over HTTP), such as http://host:4318/v1/traces."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.bundle is not None) + (self.model is not None) + bool(self.variant) > 1:
            raise ValueError(
                "a bundle, a model and variants are different ways to name what to serve; name one of them"
            )
        return self

    @model_validator(mode="after")
    def _distinct_variants(self) -> Self:
        names = [variant.name for variant in self.variant]
        if len(set(names)) < len(names):
            raise ValueError(f"variants are named alike: {', '.join(names)}")
        if self.variant and not sum(variant.weight for variant in self.variant) > 0:
            raise ValueError("all variants have weight 0; nobody would be answered")
        return self

    @model_validator(mode="after")
    def _two_to_interleave(self) -> Self:
        if not self.interleave:
            return self
        weights = {variant.name: variant.weight for variant in self.variant}
        if len(self.interleave) != 2 or len(set(self.interleave)) != 2 or not set(self.interleave) <= weights.keys():
            named = ", ".join(weights) or "none"
            raise ValueError(f"interleave names two of the variants, such as a,b; the variants named are: {named}")
        if not sum(weights[name] for name in self.interleave) > 0:
            raise ValueError("both variants to interleave have weight 0; nobody would be answered by them")
        if self.exposures == "off":
            raise ValueError(
                "with exposures off, nobody could tell which variant the clicks of interleaved lists are for"
            )
        return self

    @property
    def sources(self) -> tuple[NamedSource, ...]:
        """The variants that are named; one bundle or model is one of them."""
        if self.variant:
            return self.variant
        only = self.model if self.bundle is None else str(self.bundle)
        return () if only is None else (NamedSource(MAIN, 1.0, only),)

    @property
    def store_url(self) -> str:
        """Where events are kept."""
        return self.store or f"sqlite:///{home() / 'events.db'}"


WAYS: Final[dict[str, Any]] = {"bundle": None, "model": None, "variant": ()}
"""To name what to serve; a flag of one goes before the environment's word on any."""


def read_settings(**chosen: object) -> Settings:
    """Settings from what was chosen by flags (None: not chosen), then the environment, then the defaults.

    Raises:
        ConfigError: a value is out of its range; the message names every such setting and its variable.
    """
    flags = {name: value for name, value in chosen.items() if value not in (None, [])}
    if WAYS.keys() & flags.keys():
        flags = WAYS | flags
    try:
        return Settings(**flags)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = (f"{_name(fault['loc'])}{fault_text(fault)}" for fault in error.errors())
        raise ConfigError(f"Settings: {'; '.join(faults)}.") from error


def _name(location: tuple[int | str, ...]) -> str:
    return f"{location[0]} (RECSYS_{str(location[0]).upper()}): " if location else ""
