"""Raw logs: which files are meant, how each format is scanned, and which of their columns is which."""

import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipelines.ingest import value_parsers
from pipelines.records import Records, check_rows, count_csv, count_lines, count_objects
from recsys_vae.data import columns as c
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, SchemaError, UnknownNameError
from recsys_vae.frames import scan_table

RATING = "rating"
"""Taken for `weight` where a log has no column of that name."""

Scan = Callable[[Path], pl.LazyFrame]


@dataclass(frozen=True)
class ColumnMap:
    """Which column of a log stands for which of ours, as pairs (ours, theirs)."""

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, options: Iterable[str]) -> "ColumnMap":
        """Read options of the form `user_id=userId`.

        Raises:
            ConfigError: not of that form, or a name is given twice.
            UnknownNameError: the left side is no column of an interaction.
        """
        pairs = tuple(_parse_pair(option) for option in options)
        ours = [pair[0] for pair in pairs]
        if len(set(ours)) < len(ours):
            raise ConfigError(f"--map names a column twice: {', '.join(ours)}. Give each of ours one of theirs.")
        return cls(pairs)

    def updated(self, other: "ColumnMap") -> "ColumnMap":
        """These pairs, with those of `other` in their place where both name one of ours."""
        return ColumnMap(tuple({**dict(self.pairs), **dict(other.pairs)}.items()))

    def apply(self, frame: pl.LazyFrame, source: str) -> pl.LazyFrame:
        """The columns of ours that the frame has, under our names; all others are left out.

        Raises:
            ConfigError: a mapped column does not exist.
            SchemaError: no column stands for the user or the item.
        """
        found = frame.collect_schema().names()
        for ours, theirs in self.pairs:
            if theirs not in found:
                raise ConfigError(
                    f"--map {ours}={theirs}: {source} has no column {theirs!r}. Columns found: {', '.join(found)}."
                )
        names = {name: name for name in c.INTERACTION_COLUMNS if name in found} | dict(self.pairs)
        if c.WEIGHT not in names and RATING in found:
            names[c.WEIGHT] = RATING
        for required in (c.USER, c.ITEM):
            if required not in names:
                raise SchemaError(
                    f"{source} has no column {required!r}. Columns found: {', '.join(found)}. {_separated_by(found)}"
                    f"Say which one it is: --map {required}={value_parsers.guess(required, found)}."
                )
        return frame.select(**{ours: pl.col(theirs) for ours, theirs in names.items()})

    def id_column(self, ours: str, found: Sequence[str], source: str) -> str:
        """The column of a metadata table that holds the id `ours`.

        Raises:
            ConfigError: there is none.
        """
        for name in (ours, dict(self.pairs).get(ours, ours)):
            if name in found:
                return name
        raise ConfigError(
            f"{source} has no column {ours!r}. Columns found: {', '.join(found)}. "
            f"Rename its id column, or map it: --map {ours}=COLUMN."
        )


def find_files(patterns: Sequence[str]) -> tuple[Path, ...]:
    """Files that the paths and globs name, each once, sorted within a glob.

    Raises:
        DataError: a pattern matches no file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        named = Path(pattern).expanduser()
        matches = [named] if named.is_file() else [Path(p) for p in sorted(glob.glob(str(named), recursive=True))]
        files = [match for match in matches if match.is_file()]
        if not files:
            raise DataError(f"No file matches {pattern!r}. Give files or quoted globs, such as 'logs/*.csv'.")
        found |= dict.fromkeys(files)
    return tuple(found)


def _separated_by(found: Sequence[str]) -> str:
    """A hint where a whole header was taken for one column."""
    wrong = [mark for mark in ";\t|" if len(found) == 1 and mark in found[0]]
    return (
        f"The columns seem to be separated by {wrong[0]!r}: write them with commas, or tabs in a .tsv. "
        if wrong
        else ""
    )


def scan_file(path: Path) -> pl.LazyFrame:
    """One file as it is, lazily; CSV and TSV come as text.

    Raises:
        UnknownNameError: the ending names no known format.
        EmptyDataError: the file has no header and no row.
        DataError: there is no such file, or it is not in the format that its ending names.
    """
    ending = _ending(path)
    if ending not in FORMATS:
        raise UnknownNameError("log format", ending, FORMATS)
    if not path.is_file():
        raise DataError(f"There is no file {path}. Check its name, and the folder that it is looked for in.")
    if path.stat().st_size == 0:
        raise EmptyDataError(f"{path} is empty. Expected rows with at least a user and an item.")
    try:
        frame = FORMATS[ending](path)
        frame.collect_schema()
    except pl.exceptions.NoDataError as error:
        raise EmptyDataError(f"{path} is empty. Expected rows with at least a user and an item.") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path.name, error) from error
    return frame


def check_all_read(path: Path, parsed: int) -> None:
    """Compare the rows that were read of a file with those that it holds, by another count than the parser's.

    Raises:
        DataError: they differ.
    """
    count = COUNTS.get(_ending(path))
    if count is not None:
        check_rows(path, count(path), parsed)


def scan_log(path: Path, number: int, mapping: ColumnMap) -> pl.LazyFrame:
    """The rows of one log under our column names, with the `number` of their `file` and their `row` in it."""
    rows = mapping.apply(scan_file(path), path.name).with_row_index("row")
    return rows.with_columns(pl.lit(number, dtype=pl.UInt32).alias("file"), pl.col("row").cast(pl.UInt64))


def unreadable(source: str, error: Exception) -> DataError:
    """The one message for a file that polars gives up on."""
    first_line = str(error).strip().splitlines()[0]
    return DataError(
        f"{source} cannot be read: {first_line}. Check that its content fits its ending, and each row its header."
    )


def _ending(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]


def _scan_csv(path: Path) -> pl.LazyFrame:
    """Polars takes any quote for one that opens or closes a field; where none opens one, all are plain characters."""
    quote = '"' if count_csv(path).has_quoted_fields else None
    return pl.scan_csv(path, infer_schema=False, quote_char=quote, glob=False)


def _scan_tsv(path: Path) -> pl.LazyFrame:
    return pl.scan_csv(path, infer_schema=False, separator="\t", quote_char=None, glob=False)


def _scan_parquet(path: Path) -> pl.LazyFrame:
    return scan_table(path)


def _scan_ndjson(path: Path) -> pl.LazyFrame:
    """Plain values as text, because a type guessed from the first rows need not hold for the rest."""
    guessed = pl.scan_ndjson(path, infer_schema_length=1000).collect_schema()
    as_text = {name: dtype if dtype.is_nested() else pl.String() for name, dtype in guessed.items()}
    return pl.scan_ndjson(path, schema=as_text)


FORMATS: dict[str, Scan] = {
    "csv": _scan_csv,
    "tsv": _scan_tsv,
    "parquet": _scan_parquet,
    "pq": _scan_parquet,
    "ndjson": _scan_ndjson,
    "jsonl": _scan_ndjson,
}


COUNTS: dict[str, Callable[[Path], Records]] = {
    "csv": count_csv,
    "tsv": count_lines,
    "ndjson": count_objects,
    "jsonl": count_objects,
}
"""Of text formats; Parquet counts its own rows."""


def _parse_pair(option: str) -> tuple[str, str]:
    ours, equals, theirs = option.partition("=")
    if not (equals and ours and theirs):
        raise ConfigError(f"--map takes OURS=THEIRS, for example user_id=userId; got {option!r}.")
    if ours not in c.INTERACTION_COLUMNS:
        raise UnknownNameError("column of an interaction", ours, c.INTERACTION_COLUMNS)
    return ours, theirs
