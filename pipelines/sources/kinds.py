"""Kinds of places that logs come from, told by their looks."""

from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from recsys_vae.remote import scheme_of

DATABASES: Final = ("postgresql", "sqlite")
TableKind = Literal["Delta", "Iceberg"]


def is_database(place: str) -> bool:
    """Whether an address names a database; `postgresql+psycopg://`, as the event store is named, is one, too."""
    return scheme_of(place).partition("+")[0] in DATABASES


def table_kind(folder: Path) -> TableKind | None:
    """What kind of lake table a folder is; None where it is none."""
    if (folder / "_delta_log").is_dir():
        return "Delta"
    return "Iceberg" if any((folder / "metadata").glob("*.metadata.json")) else None


def without_user(address: str) -> str:
    """An address as messages have it: without user and password."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
