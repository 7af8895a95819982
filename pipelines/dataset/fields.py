"""Fields: what of the metadata of users and of items models may use."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from recsys_vae.atomic import write_atomically
from recsys_vae.data.features import NUMBER, SENTENCE, Field
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.frames import columns_in, scan_table

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


def unreadable_numbers(fields: Sequence[Field], table: Path) -> dict[str, int]:
    """How many values of the text columns declared as numbers are none, by name; only where there are such."""
    declared = [field.name for field in fields if field.kind == NUMBER]
    if not declared:
        return {}
    frame = scan_table(table).select(declared)
    texts = [name for name, dtype in frame.collect_schema().items() if dtype == pl.String]
    values = [pl.col(name).str.strip_chars() for name in texts]
    bad = [(value != "") & ~value.cast(pl.Float64, strict=False).is_finite().fill_null(value=False) for value in values]
    counts = frame.select(one.sum() for one in bad).collect(engine="streaming").to_dicts()
    return {name: number for name, number in counts[0].items() if number} if texts else {}


def check_fields(fields: Sequence[Field], table: Path, option: str) -> None:
    """Raise ConfigError where a field is declared that the table does not have, or one of sentences for users."""
    present = columns_in(table) if table.is_file() else []
    for field in fields:
        if field.kind == SENTENCE and option == USER_OPTION:
            raise ConfigError(f"{option} {field.name}:{field.kind}: sentences describe items only. Declare it as text.")
        if field.name not in present:
            raise ConfigError(
                f"{option} {field.name}:{field.kind} names no column of the metadata. There are: "
                f"{', '.join(present) or 'none, as there is no such table'}."
            )
