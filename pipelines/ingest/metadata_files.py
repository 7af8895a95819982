"""Files of metadata: one, or the parts of one table; read whole, as far as there is memory for it."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from glob import has_magic
from pathlib import Path

import polars as pl

from pipelines.free_memory import free_memory
from pipelines.ingest.formats.format import Role
from pipelines.ingest.formats.recognition import Recognised, look_at
from pipelines.ingest.log_files import find_files
from pipelines.ingest.readers import Rejected, open_log
from recsys_vae.errors import DataError

TIMES = 4
"""As much memory as a table takes, its ids are checked and it is written in so much."""


def parts_of_table(path: Path) -> tuple[Path, ...]:
    """The file, or those that a folder or a glob names; raises DataError where a glob names none."""
    is_several = path.is_dir() or (has_magic(str(path)) and not path.is_file())
    return find_files([str(path)]) if is_several else (path,)


def is_part_of(file: str, path: Path) -> bool:
    """Whether a file was read of a table that was given by this path."""
    return file == str(path) or Path(file).is_relative_to(path) or fnmatch(file, str(path))


def read_table(path: Path, recognised: Recognised | None = None) -> tuple[pl.DataFrame, list[Rejected]]:
    """A table of one file whole, with all its columns, and the lines that could not be read.

    Args:
        recognised: how it is read; as it looks when None.

    Raises:
        ConfigError: it has no header.
        DataError: there is no such file, it cannot be read, or it is too large for the memory that is free.
        EmptyDataError: it has no header and no row.
    """
    found, rejected = read_parts([path], [recognised or look_at(path, role=Role.USERS)])
    return found, [one for _, one in rejected]


def read_parts(parts: Sequence[Path], ways: Sequence[Recognised]) -> tuple[pl.DataFrame, list[tuple[Path, Rejected]]]:
    """The same of a table in parts; with each line the part that it stands in.

    Args:
        ways: how each part is read; all are of one format.
    """
    rejected: list[tuple[Path, Rejected]] = []
    frames = list(_blocks(parts, ways, rejected))
    return (ways[0].whole(pl.concat(frames, how="diagonal_relaxed")) if frames else pl.DataFrame()), rejected


def refuse(path: Path, rejected: Sequence[Rejected]) -> None:
    """Raise DataError, which names the first of them, where lines of a table could not be read."""
    if rejected:
        raise DataError(f"{path.name}, line {rejected[0].line:,}: {rejected[0].reason}. Correct it, or remove it.")


def _blocks(
    parts: Sequence[Path], ways: Sequence[Recognised], rejected: list[tuple[Path, Rejected]]
) -> Iterator[pl.DataFrame]:
    """Rows as they are read; no more than there is memory for."""
    most, held = free_memory() / TIMES, 0
    for part, recognised in zip(parts, ways, strict=True):
        for block in open_log(part, recognised.layout):
            rejected += [(part, one) for one in block.rejected]
            if not block.rows.width:
                continue
            rows = recognised.rows(block.rows)
            held += int(rows.estimated_size())
            if held > most:
                raise DataError(
                    f"{part.name} is too large: metadata are read whole, and take {TIMES} times the memory of their "
                    f"rows. Of these {held >> 20:,} MiB are read, and {int(TIMES * most) >> 20:,} MiB were free. Leave "
                    "out columns that no field is made of, or ids that no log has."
                )
            yield rows
