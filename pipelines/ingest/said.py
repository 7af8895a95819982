"""What is said of files on the command line: of all of them, or of those that a glob names before a colon."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from pipelines.ingest.formats.recognition import Says
from pipelines.ingest.log_files import ColumnMap
from recsys_vae.data import columns as c
from recsys_vae.errors import ConfigError

_OF_COLUMN = re.compile(r"(?:(?P<glob>.+):)?(?P<pair>[A-Za-z_]+=.*)", re.DOTALL)
ANY_EVENT = "*"
"""As an event type with a weight: any that has no weight of its own, and none at all."""


def names(glob: str | None, path: Path) -> bool:
    """Whether a glob means a file, by its name or the last folders before it; None means all."""
    return glob is None or f"/{path.as_posix()}".endswith(f"/{glob}") or fnmatchcase(f"/{path.as_posix()}", f"*/{glob}")


@dataclass(frozen=True)
class Said:
    """What is said of files, each as pairs (glob or None, what is said); the last that names a file holds.

    Attributes:
        tables: of the layout of all logs.
        formats: names of formats.
        encodings: names of encodings.
        maps: options of `--map`.
        prefixes: pairs (`user_id` or `item_id`, text put before each id).
    """

    tables: Says = field(default_factory=Says)
    formats: tuple[tuple[str | None, str], ...] = ()
    encodings: tuple[tuple[str | None, str], ...] = ()
    maps: tuple[tuple[str | None, str], ...] = ()
    prefixes: tuple[tuple[str | None, tuple[str, str]], ...] = ()

    def of(self, path: Path) -> Says:
        """What is said of a log's layout."""
        form = _last(self.formats, path)
        return replace(self.tables, format=form, encoding=_last(self.encodings, path))

    def of_metadata(self, path: Path) -> Says:
        """The same of a file of metadata: what names it by a glob."""
        return Says(
            format=_last([(glob, one) for glob, one in self.formats if glob is not None], path),
            encoding=_last([(glob, one) for glob, one in self.encodings if glob is not None], path),
        )

    def mapping_of_all(self) -> ColumnMap:
        """What is said of the columns of all logs."""
        return ColumnMap.parse(option for glob, option in self.maps if glob is None)

    def mapping_of(self, path: Path) -> ColumnMap:
        """Which of a log's columns is which: what is said of the file rules over what is said of all."""
        return self.mapping_of_all().updated(
            ColumnMap.parse(option for glob, option in self.maps if glob is not None and names(glob, path))
        )

    def prefixes_of(self, path: Path) -> Mapping[str, str]:
        """What is put before the ids of a file."""
        return dict(pair for glob, pair in self.prefixes if names(glob, path))

    def check(self, files: Sequence[Path]) -> None:
        """Raise ConfigError where a glob names none of the files, or an option of `--map` is none."""
        for path in files:
            self.mapping_of(path)
        said = (*self.formats, *self.encodings, *self.maps, *self.prefixes)
        for glob in dict.fromkeys(glob for glob, _ in said if glob is not None):
            if not any(names(glob, path) for path in files):
                raise ConfigError(
                    f"{glob!r} names none of the files: {', '.join(path.name for path in files[:10])}. What stands "
                    "before the colon is the name of a file, or a glob such as 'clicks-*.csv'."
                )


def split_column_option(option: str) -> tuple[str | None, str]:
    """An option of the form `[GLOB:]NAME=VALUE`."""
    match = _OF_COLUMN.fullmatch(option)
    return (match["glob"], match["pair"]) if match else (None, option)


def split_plain_option(option: str) -> tuple[str | None, str]:
    """An option of the form `[GLOB:]VALUE`, whose value has no colon."""
    glob, _, value = option.rpartition(":")
    return glob or None, value


def split_event_option(event: str, files: Sequence[Path]) -> tuple[str | None, str]:
    """`[GLOB:]EVENT`: event types may hold colons, so what stands before one is a glob where it names a file."""
    colons = [place for place, character in enumerate(event) if character == ":"]
    globs = [event[:place] for place in colons if any(names(event[:place], path) for path in files)]
    return (globs[0], event[len(globs[0]) + 1 :]) if globs else (None, event)


def parse_prefixes(options: Iterable[str]) -> tuple[tuple[str | None, tuple[str, str]], ...]:
    """Read options of `--id-prefix`.

    Raises:
        ConfigError: not of the form `[GLOB:]user_id=TEXT`.
    """
    found = []
    for option in options:
        glob, pair = split_column_option(option)
        name, equals, prefix = pair.partition("=")
        if not (equals and prefix and name in (c.USER, c.ITEM)):
            raise ConfigError(f"--id-prefix takes user_id=TEXT or item_id=TEXT, perhaps after 'GLOB:'; got {option!r}.")
        found.append((glob, (name, prefix)))
    return tuple(found)


def _last(pairs: Sequence[tuple[str | None, str]], path: Path) -> str | None:
    return next((value for glob, value in reversed(pairs) if names(glob, path)), None)
