"""Destinations: what is meant by `--to`, known before the work begins."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from recsys_vae.errors import ConfigError
from recsys_vae.outputs import FileProduct, check_output
from recsys_vae.remote import SCHEMES, WEB, check_address, is_remote, scheme_of

Form = Literal["parquet", "csv", "ndjson"]
ENDINGS: Final[dict[str, Form]] = {
    ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson",
}  # fmt: skip
TABLE: Final = "recommendations"
DATABASE: Final = "postgresql"


@dataclass(frozen=True)
class Destination:
    """Where lists go.

    Attributes:
        place: a path of this machine, an address of a bucket, or of a database.
        form: of the file.
        table: of the database, perhaps with its schema before a dot; None for a file.
    """

    place: str
    form: Form = "parquet"
    table: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is a Parquet file of this machine."""
        return self.table is None and self.form == "parquet" and not is_remote(self.place)

    @property
    def path(self) -> Path:
        """Of a file of this machine."""
        return Path(self.place)


def parse_destination(to: str, product: FileProduct, table: str | None = None) -> Destination:
    """What `--to` and `--table` mean.

    Args:
        product: which Parquet file may be replaced, where it is one of this machine.

    Raises:
        ConfigError: no such place is written to, its ending is not known, or something else stands there.
    """
    scheme = scheme_of(to)
    if scheme.partition("+")[0] == DATABASE:
        return Destination(f"postgresql://{to.partition('://')[2]}", table=_checked(table or TABLE))
    if table is not None:
        raise ConfigError(f"--table is for lists that go to a database, such as postgresql://host/name; {to} is none.")
    if (scheme and not is_remote(to)) or scheme in WEB:
        known = ", ".join(f"{name}://" for name in (*SCHEMES, DATABASE) if name not in WEB)
        raise ConfigError(f"{scheme}:// is no kind of address that lists are written to. Known: {known}.")
    ending = Path(to).suffix.lower()
    if ending and ending not in ENDINGS:
        raise ConfigError(f"Lists are written as {', '.join(ENDINGS)}; {Path(to).name} would mislead.")
    if scheme:
        check_address(to)
    destination = Destination(to, ENDINGS.get(ending, "parquet"))
    if not scheme:
        path = check_output(
            destination.path, product if destination.form == "parquet" else text_product(destination.form)
        )
        return replace(destination, place=str(path))
    return destination


def text_product(form: Form) -> FileProduct:
    """Lists as text, recognised by how their first line begins."""
    first = b"user_id," if form == "csv" else b'{"user_id":'

    def is_ours(path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(len(first)) == first

    return FileProduct(f"a file of lists by `recsys recommend` as {form.upper()}", is_ours)


def _checked(table: str) -> str:
    parts = table.split(".")
    if len(parts) > 2 or not all(part.isidentifier() and part.isascii() and len(part) <= 40 for part in parts):
        raise ConfigError(
            f"--table takes NAME or SCHEMA.NAME of ASCII letters, digits and underscores, 40 at most; got {table!r}."
        )
    return table
