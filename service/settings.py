"""Settings: what an operator may choose, from flags and from the environment; one class for both.

Every field `x` is also the environment variable `RECSYS_X`. Flags go before the environment, and that before the
defaults.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsys_vae.errors import ConfigError
from recsys_vae.home import home


class Settings(BaseSettings):
    """Everything that can be chosen about a running service."""

    model_config = SettingsConfigDict(env_prefix="RECSYS_", frozen=True, hide_input_in_errors=True)

    bundle: Path | None = Field(None, description="Directory of the bundle to serve.")
    model: str | None = Field(None, description="MLflow model to serve instead, such as models:/movies@champion.")
    store: str | None = Field(None, description="URL of the event store; SQLite under RECSYS_HOME when not given.")
    host: str = Field("127.0.0.1", description="Address to listen at.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen at; 0 takes any free one.")
    compute_threads: int = Field(1, ge=1, le=64, description="Batches of requests that are computed at the same time.")
    max_batch: int = Field(64, ge=1, le=4096, description="Requests in one batch.")
    gather_ms: float = Field(2.0, ge=0, le=1000, description="Longest time that a batch gathers beside another, in ms.")
    max_queue: int = Field(1024, ge=1, description="Requests that may wait; what comes on top is refused with 503.")
    deadline_ms: float = Field(2000.0, gt=0, description="Time within which a request is answered, or refused, in ms.")
    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="Longest request body that is read.")
    shutdown_seconds: int = Field(10, ge=0, description="Time that open requests get when the service is stopped.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.bundle is not None and self.model is not None:
            raise ValueError("both a bundle and a model are named; name one of them")
        return self

    @property
    def store_url(self) -> str:
        """Where events are kept."""
        return self.store or f"sqlite:///{home() / 'events.db'}"


def read_settings(**chosen: object) -> Settings:
    """Settings from what was chosen by flags (None: not chosen), then the environment, then the defaults.

    Raises:
        ConfigError: a value is out of its range; the message names every such setting and its variable.
    """
    flags = {name: value for name, value in chosen.items() if value is not None}
    if "bundle" in flags or "model" in flags:
        flags = {"bundle": None, "model": None} | flags
    try:
        return Settings(**flags)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = (f"{_name(fault['loc'])}{fault['msg']}" for fault in error.errors())
        raise ConfigError(f"Settings: {'; '.join(faults)}.") from error


def _name(location: tuple[int | str, ...]) -> str:
    return f"{location[0]} (RECSYS_{str(location[0]).upper()}): " if location else ""
