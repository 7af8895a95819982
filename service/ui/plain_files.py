"""Files that other programs wrote: read bounded, from RECSYS_HOME alone, and taken for no more than they are."""

import json
import os
import stat
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final

from recsys_vae.home import home
from recsys_vae.redaction import redacted

LARGEST: Final = 4 * 2**20
"""Bytes of a file that is read."""
MOST: Final = 10**15
"""Above any count; floats tell whole numbers below it apart."""
LONGEST: Final = 200
"""Characters of a value that are shown."""
LONGEST_SECRET: Final = 2_000
"""Characters beyond those that are shown in which a secret may end that begins among them."""


def content_of(path: Path) -> Mapping[str, Any]:
    """What a file of JSON holds by name; nothing where it is none, too large, or cannot be read."""
    try:
        return mapping(json.loads(content_bytes(path)))
    except (OSError, ValueError, RecursionError):
        return {}


def content_bytes(path: Path) -> bytes:
    """What a plain file holds.

    Raises:
        OSError: it cannot be read, or is larger than pages read.
    """
    found = tail_bytes(path, LARGEST + 1)
    if len(found) > LARGEST:
        raise OSError(f"{path} is larger than {LARGEST:,} bytes.")
    return found


def tail_bytes(path: Path, most: int) -> bytes:
    """The end of a plain file, `most` bytes of it.

    Raises:
        OSError: it cannot be read, or is no plain file: a link may lead anywhere, a pipe would be waited for, a device
            never ends.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise OSError(f"{path} is no plain file.")
        file.seek(max(0, state.st_size - most))
        return file.read(most)


def is_plain(path: Path) -> bool:
    """Whether a path is that of a file, and of no link to one."""
    return path.is_file() and not path.is_symlink()


def is_at_home(folder: Path) -> bool:
    """Whether a folder lies under RECSYS_HOME, and no link leads out of there."""
    try:
        return folder.is_dir() and folder.resolve().is_relative_to(home().resolve())
    except (OSError, RuntimeError):
        return False


def mapping(value: Any) -> Mapping[str, Any]:
    """Values by name; none where it is something else."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> Sequence[Any]:
    """A list; an empty one where it is something else."""
    return value if isinstance(value, list) else []


def whole(value: Any) -> int:
    """A whole number that can be a count; 0 where it is something else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else 0


def figure(value: Any) -> float | None:
    """A finite number; None where it is something else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e300 and isfinite(value) else None


def text(value: Any, longest: int = LONGEST) -> str:
    """A value as text that is not too long; empty for none."""
    if value is None:
        return ""
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    shown = redacted(told[: longest + LONGEST_SECRET].encode(errors="replace").decode())  # JSON may hold half a pair
    return shown if len(shown) <= longest else f"{shown[:longest]}…"


def minute(value: Any) -> str:
    """A moment in ISO 8601 to the minute, in UTC; empty where it is something else."""
    if not isinstance(value, str):
        return ""
    try:
        return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return ""
