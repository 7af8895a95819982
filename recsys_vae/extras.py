"""Extras: what comes only with `pip install 'recsys-vae[EXTRA]'`, and what is said where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from recsys_vae.errors import MissingExtraError

EXTRAS = {
    "cpu": ("faiss",),
    "pipelines": (
        "jinja2", "markupsafe", "matplotlib", "mlflow", "optuna", "pandas", "pyarrow", "pydantic", "rich", "sqlalchemy",
        "typer",
    ),
    "service": (
        "alembic", "fastapi", "limits", "prometheus_client", "pydantic_settings", "starlette", "structlog", "uvicorn",
    ),
    "images": ("PIL", "sklearn"),
    "postgres": ("psycopg",),
    "redis": ("redis",),
    "otel": ("opentelemetry",),
    "ranker": ("lightgbm",),
    "text": ("sentence_transformers",),
    "client": ("httpx2",),
    "ray": ("ray",),
    "remote": ("fsspec", "s3fs"),
    "sources": ("adbc_driver_postgresql", "adbc_driver_sqlite", "deltalake", "pyiceberg"),
}  # fmt: skip
"""Modules by the extra that first brings them."""


@contextmanager
def explained() -> Iterator[None]:
    """Let a module of an extra that is not installed be an error that says what to install.

    Raises:
        MissingExtraError: in place of the ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (extra := extra_of(error.name or "")) is None:
            raise
        raise MissingExtraError(str(error.name), extra) from error


def extra_of(module: str) -> str | None:
    """The extra that brings a module; None where it is of no extra."""
    top = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if top in modules), None)


def is_installed(module: str) -> bool:
    """Whether a module is there, without importing it."""
    return find_spec(module) is not None


class Deferred:
    """A module, of an extra or as large as torch, that is imported when it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        with explained():
            value = getattr(import_module(self._name), attribute)
        vars(self)[attribute] = value  # found from now on without a look into this method
        return value
