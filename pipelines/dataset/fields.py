"""Fields: what of the metadata of users and of items models may use."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from recsys_vae.atomic import write_atomically
from recsys_vae.data.features import SENTENCE, Field
from recsys_vae.errors import ConfigError, DataError

USER_OPTION = "--user-field"
ITEM_OPTION = "--item-field"
"""Options that declare fields."""


@dataclass(frozen=True)
class Fields:
    """Fields of the metadata of users and of items that models may use."""

    users: tuple[Field, ...] = ()
    items: tuple[Field, ...] = ()

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_atomically(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Fields":
        """Read what `write` wrote; none where there is no such file.

        Raises:
            DataError: it is something else.
        """
        if not path.is_file():
            return cls()
        try:
            content = json.loads(path.read_bytes())
            return cls(*(tuple(Field(**field) for field in content[part]) for part in ("users", "items")))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} does not declare fields: {error}. Run `recsys ingest` again.") from error


def check_fields(fields: Sequence[Field], table: Path, option: str) -> None:
    """Raise ConfigError where a field is declared that the table does not have, or one of sentences for users."""
    present = pl.scan_parquet(table, glob=False).collect_schema().names() if table.is_file() else []
    for field in fields:
        if field.kind == SENTENCE and option == USER_OPTION:
            raise ConfigError(f"{option} {field.name}:{field.kind}: sentences describe items only. Declare it as text.")
        if field.name not in present:
            raise ConfigError(
                f"{option} {field.name}:{field.kind} names no column of the metadata. There are: "
                f"{', '.join(present) or 'none, as there is no such table'}."
            )
