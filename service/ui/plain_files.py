"""Files of JSON that other programs wrote: read whole, bounded, and taken for no more than they are."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final

LARGEST: Final = 4 * 2**20
"""Bytes of a file that is read."""
LONGEST: Final = 200
"""Characters of a value that are shown."""


def content_of(path: Path) -> Mapping[str, Any]:
    """What a file of JSON holds by name; nothing where it is none, too large, or cannot be read."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        return mapping(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}


def mapping(value: Any) -> Mapping[str, Any]:
    """Values by name; none where it is something else."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> Sequence[Any]:
    """A list; an empty one where it is something else."""
    return value if isinstance(value, list) else []


def whole(value: Any) -> int:
    """A whole number; 0 where it is something else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def figure(value: Any) -> float | None:
    """A finite number; None where it is something else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e300 and isfinite(value) else None


def text(value: Any, longest: int = LONGEST) -> str:
    """A value as text that is not too long; empty for none."""
    if value is None:
        return ""
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return told if len(told) <= longest else f"{told[:longest]}…"


def minute(value: Any) -> str:
    """A moment in ISO 8601 to the minute, in UTC; empty where it is something else."""
    if not isinstance(value, str):
        return ""
    try:
        return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return ""
