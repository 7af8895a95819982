"""Outputs: where a command may write. It replaces what the same command wrote before, and nothing of anybody else's.

`check_output` is asked before the work begins, and touches nothing; atomic.py asks again before it replaces anything.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any, Protocol

import polars as pl

from recsys_vae.errors import ConfigError
from recsys_vae.frames import columns_in
from recsys_vae.home import home

REGISTRIES = ("mlruns", "mlartifacts")
"""Folders that MLflow keeps."""
MARKED_BYTES = 1 << 16
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
"""How an address begins, also once a path has been made of it, which leaves one stroke of two."""
ANYTHING = "**"
"""As the last part of a pattern: whatever lies below."""


class Product(Protocol):
    """What a command writes: how errors call it, and how one is told from anything else."""

    @property
    def name(self) -> str:
        """With its article, as in `a bundle`."""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, and no file."""

    @property
    def is_part(self) -> bool:
        """Whether it belongs inside another product, as a split does inside its dataset."""

    def doubt(self, path: Path) -> str:
        """Why what stands at `path` is not all this product, in words; empty where it is, or where it is empty."""


@dataclass(frozen=True)
class DirectoryProduct:
    """A directory that a command writes.

    Attributes:
        name: with its article.
        marker: name of the JSON file by which it is recognised.
        contents: from what the marker says to patterns of the paths that may lie in it; None where it is another's.
        is_part: whether it belongs inside another product.
    """

    name: str
    marker: str
    contents: Callable[[Mapping[str, Any]], Iterable[str] | None]
    is_part: bool = False
    is_directory = True

    def doubt(self, path: Path) -> str:
        """Why not everything here was written by the command; links count as strangers."""
        if not path.is_dir():
            return "it is no folder"
        try:
            if not any(path.iterdir()):
                return ""
            patterns = self.contents(_json(path / self.marker))
            if patterns is None:
                return f"it has no {self.marker} of {self.name}"
            stranger = next(_strangers(path, [PurePath(pattern).parts for pattern in patterns]), None)
        except OSError as error:
            return f"it cannot be read ({error.strerror})"
        return f"{stranger} in it is no part of {self.name}" if stranger else ""


@dataclass(frozen=True)
class FileProduct:
    """A file that a command writes.

    Attributes:
        name: with its article.
        is_ours: whether a file that is not empty was written by the command.
    """

    name: str
    is_ours: Callable[[Path], bool]
    is_part: bool = False
    is_directory = False

    def doubt(self, path: Path) -> str:
        """Why it was not written by the command."""
        if not path.is_file():
            return "it is no plain file"
        try:
            ours = path.stat().st_size == 0 or self.is_ours(path)
        except (OSError, ValueError, pl.exceptions.PolarsError):
            ours = False
        return "" if ours else f"it is not {self.name}"


def new_directory(name: str, replaceable: Iterable[str] = ()) -> DirectoryProduct:
    """A directory that nothing marks: it is written where there is none, or beside nothing but these files."""
    return DirectoryProduct(name, "content", lambda _: tuple(replaceable))


def table_product(name: str, columns: Iterable[str]) -> FileProduct:
    """A Parquet file, recognised by the names of its columns."""
    return FileProduct(name, lambda path: columns_in(path) in ([], list(columns)))


def marked_product(name: str, *marks: bytes) -> FileProduct:
    """A file that says near its beginning or its end what wrote it."""

    def is_ours(path: Path) -> bool:
        with path.open("rb") as file:
            ends = [file.read(MARKED_BYTES)]
            file.seek(max(path.stat().st_size - MARKED_BYTES, 0))
            ends.append(file.read())
        return any(mark in end for mark in marks for end in ends)

    return FileProduct(name, is_ours)


def check_output(path: Path, product: Product) -> Path:
    """The absolute place of an output, once it is known that nothing else would be lost there.

    Raises:
        ConfigError: the path names no place of its own, is or leads through a link or a file, lies inside what another
            command keeps, holds what all commands need, or something stands there that is not (all) this product.
    """
    place = _place(path)
    _check_above(place, product)
    if product.is_directory:
        _check_below(place)
    if os.path.lexists(place) and (doubt := product.doubt(place)):
        raise ConfigError(
            f"{place} is left as it is: {doubt}. Only {product.name} is replaced here; name another place, or move "
            "away what is there."
        )
    return place


def _place(path: Path) -> Path:
    if address := ADDRESS.match(str(path)):
        raise ConfigError(
            f"{address[1]}:... is an address, and what is written here are files and folders of this machine. Name "
            "one, and hand it on with the tools of where it is to go."
        )
    try:
        path = path.expanduser()
        if path.name in ("", ".."):
            raise ConfigError(
                f"{str(path)!r} names no file or folder of its own to write to (is a variable unset?). Give a name."
            )
        place = path.parent.resolve() / path.name
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{path} cannot be written to: {error}. Name another place.") from error
    if place.is_symlink():
        raise ConfigError(f"{place} is a link, and is left as it is. Name what it leads to, or another place.")
    return place


def _check_above(place: Path, product: Product) -> None:
    present = next(parent for parent in place.parents if os.path.lexists(parent))
    if not os.path.isdir(present):
        raise ConfigError(f"{place} cannot be written: {present} is no folder. Name another place.")
    if not os.access(present, os.W_OK | os.X_OK):
        raise ConfigError(f"{place} cannot be written: nothing may be added to {present}. Name another place.")
    holder = None if product.is_part else next(filter(None, map(_held_by, place.parents)), None)
    if holder:
        raise ConfigError(f"{place} lies inside {holder}, where only its own command writes. Name another place.")


def _check_below(place: Path) -> None:
    for needed, what in _needed():
        if place == needed or place in needed.parents:
            raise ConfigError(f"{place} is left as it is: it is or holds {what}. Name a folder of its own.")


def _needed() -> Iterator[tuple[Path, str]]:
    with suppress(FileNotFoundError):  # it may have been removed under us
        yield Path.cwd(), "the working directory"
    yield Path.home().resolve(), "the home directory"
    kept = home().resolve()
    for folder in ("datasets", "public", "downloads", "bundles", *REGISTRIES):
        yield kept / folder, f"the {folder} of RECSYS_HOME"
    yield kept, "RECSYS_HOME"


def _held_by(folder: Path) -> str:
    """What a folder is, where it is a product that holds nothing but its own."""
    if folder.name in REGISTRIES:
        return f"the registry {folder}"
    if {"format_version", "files", "checksum"} <= _json(folder / "manifest.json").keys():
        return f"the saved model {folder}"
    if (folder / "interactions.parquet").is_file() and "rows_in" in _json(folder / "summary.json"):
        return f"the dataset {folder}"
    return ""


def _json(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one where there is none."""
    try:
        content = json.loads(path.read_bytes()) if path.is_file() and not path.is_symlink() else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _strangers(root: Path, patterns: list[tuple[str, ...]]) -> Iterator[Path]:
    """Paths below `root`, relative to it, that no pattern allows: files, links, and folders that no file may lie in."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(root, onerror=fail):
        within = Path(folder).relative_to(root)
        for name in [*folders, *files]:
            parts = (within / name).parts
            allowed = (pattern[: len(parts)] if name in folders else pattern for pattern in patterns)
            if (root / within / name).is_symlink() or not any(_fits(parts, pattern) for pattern in allowed):
                yield within / name


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if pattern[-1:] == (ANYTHING,):
        parts, pattern = parts[: len(pattern) - 1], pattern[:-1]
    return len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern))
