"""Raw logs: which files are meant, how each is laid out, and which of their columns is which."""

import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipelines.ingest import value_parsers
from pipelines.ingest.part_folders import parts_of
from recsys_vae.data import columns as c
from recsys_vae.errors import ConfigError, DataError, SchemaError, UnknownNameError

RATING = "rating"
"""Taken for `weight` where a log has no column of that name."""


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

    def renamed(self, plain_name: Callable[[str], str]) -> "ColumnMap":
        """The same, where columns are called otherwise than in the header of their file."""
        return ColumnMap(tuple((ours, plain_name(theirs)) for ours, theirs in self.pairs))

    def apply(self, frame: pl.LazyFrame, source: str) -> pl.LazyFrame:
        """The columns of ours that the frame has, under our names; all others are left out.

        Raises:
            ConfigError: a mapped column does not exist.
            SchemaError: no column stands for the user or the item.
        """
        names = self.resolve(frame.collect_schema().names(), source)
        return frame.select(**{ours: pl.col(theirs) for ours, theirs in names.items()})

    def resolve(self, found: Sequence[str], source: str) -> dict[str, str]:
        """Which of the columns found stand for which of ours; raises as `apply`."""
        for ours, theirs in self.pairs:
            if theirs not in found:
                raise ConfigError(
                    f"--map {ours}={theirs}: {source} has no column {theirs!r}. Columns found: {', '.join(found)}. "
                    f"What holds for some files only, say of these: --map 'GLOB:{ours}={theirs}'."
                )
        names = {ours: theirs for ours, theirs in self.all_names().items() if theirs in found}
        if c.WEIGHT not in names and RATING in found:
            names[c.WEIGHT] = RATING
        for required in (c.USER, c.ITEM):
            if required not in names:
                raise SchemaError(
                    f"{source} has no column {required!r}. Columns found: {', '.join(found)}. {_separated_by(found)}"
                    f"Say which one it is: --map {required}={value_parsers.guess(required, list(found))}."
                )
        return names

    def all_names(self) -> dict[str, str]:
        """Of each of our columns the one that stands for it, whether a log has it or not."""
        return {name: name for name in c.INTERACTION_COLUMNS} | dict(self.pairs)

    def weights(self) -> tuple[str, ...]:
        """Columns that may hold the weight; the first that is there does."""
        named = dict(self.pairs).get(c.WEIGHT)
        return (named,) if named else (c.WEIGHT, RATING)

    def may_read(self) -> tuple[str, ...]:
        """All columns of a log that may be read."""
        return tuple(dict.fromkeys([*self.all_names().values(), *self.weights()]))


def find_files(patterns: Sequence[str]) -> tuple[Path, ...]:
    """Files that the paths and globs name, each once, sorted within a glob; of a folder its parts.

    Raises:
        DataError: a pattern matches no file, or a folder holds files of several kinds.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        named = Path(pattern).expanduser()
        matches = [named] if named.exists() else [Path(p) for p in sorted(glob.glob(str(named), recursive=True))]
        folders = [match for match in matches if match.is_dir()] if not any(map(Path.is_file, matches)) else []
        files = [match for match in matches if match.is_file()] + [part for one in folders for part in parts_of(one)]
        if not files:
            raise DataError(f"No file matches {pattern!r}. Give files, folders of parts or quoted globs: 'logs/*.csv'.")
        found |= dict.fromkeys(files)
    return tuple(found)


def _separated_by(found: Sequence[str]) -> str:
    """A hint where a whole header was taken for one column."""
    marks = {";": "';'", "\t": "tab", "|": "'|'", " ": "blank"}
    wrong = [name for mark, name in marks.items() if len(found) == 1 and mark in found[0].strip()]
    return f"The columns seem to stand apart otherwise: --separator {wrong[0]}. " if wrong else ""


def _parse_pair(option: str) -> tuple[str, str]:
    ours, equals, theirs = option.partition("=")
    if not (equals and ours and theirs):
        raise ConfigError(f"--map takes OURS=THEIRS, for example user_id=userId; got {option!r}.")
    if ours not in c.INTERACTION_COLUMNS:
        raise UnknownNameError("column of an interaction", ours, c.INTERACTION_COLUMNS)
    return ours, theirs
