"""Peek: a look at the first lines of a file and at its name, from which its format is recognised."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.ingest.formats.encodings import decode
from pipelines.ingest.readers.streams import first_bytes
from recsys_vae.data.columns import ITEM, USER

SIZE = 1 << 16
MOST_LINES = 200
OTHERS = 0.1
"""Largest share of the lines that are not as a format has them; they will be quarantined."""
PACKED = (".gz", ".zst", ".bz2", ".xz")


@dataclass(frozen=True)
class Peek:
    """What can be seen of a file without reading it.

    Attributes:
        name: of the file in lower case, without the ending of a compression.
        lines: the first lines that are whole and not blank.
    """

    name: str
    lines: tuple[str, ...]

    @classmethod
    def at(cls, path: Path) -> "Peek":
        """Look at a file.

        Raises:
            DataError: it cannot be opened or unpacked.
            EmptyDataError: it is empty.
        """
        data = first_bytes(path, SIZE)
        return cls(unpacked_name(path), _whole_lines(decode(data), is_all=len(data) < SIZE))

    @property
    def header(self) -> str:
        """The first line; empty where there is none."""
        return self.lines[0] if self.lines else ""

    @property
    def names_our_columns(self) -> bool:
        """Whether the first line names users and items as we do, which that of no other format does."""
        return {USER, ITEM} <= {field.strip('" ') for field in re.split(r"::|[,;|\t]", self.header)}

    def rows(self, separator: str) -> list[list[str]]:
        """All lines, cut at a separator; quote marks are no marks here."""
        return [line.split(separator) for line in self.lines]

    def matches(self, pattern: str) -> bool:
        """Whether there are lines, and all but a few damaged ones are of a pattern from beginning to end."""
        others = (line for line in self.lines if re.fullmatch(pattern, line) is None)
        most = OTHERS * len(self.lines)
        return bool(self.lines) and not any(number > most for number, _ in enumerate(others, 1))

    @cached_property
    def keys(self) -> frozenset[str]:
        """Keys of the JSON object in the first line; none where it is no such object."""
        try:
            found: Any = json.loads(self.header)
        except ValueError:
            return frozenset()
        return frozenset(found) if isinstance(found, dict) else frozenset()


def unpacked_name(path: Path) -> str:
    """The name of a file in lower case, without the ending of a compression."""
    name = path.name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    return name


def _whole_lines(text: str, *, is_all: bool) -> tuple[str, ...]:
    lines = re.split(r"\r\n|\r|\n", text)
    kept = lines if is_all or len(lines) == 1 else lines[:-1]
    return tuple(line for line in kept if line.strip())[:MOST_LINES]
