"""Formatting: numbers, times and ids as pages show them."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from recsys_vae.redaction import redacted

LONGEST_TEXT: Final = 300
NOTHING: Final = "\N{EN DASH}"
MOST: Final = 1e300
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def is_figure(value: float | None) -> bool:
    """Whether something is a number that can be shown; whole ones may be too large to be made another kind of."""
    return value is not None and abs(value) < MOST


def number(value: float | None, digits: int = 0) -> str:
    """With commas between thousands: `12,345`, `0.4749`; a dash for none."""
    if value is None or not is_figure(value):
        return NOTHING
    return f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float, digits: int = 4) -> str:
    """With its sign: `+0.0123`."""
    return f"{value:+,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(low: float, high: float) -> str:
    """The ends of an interval of differences: `+0.0012 to +0.0345`."""
    return f"{signed(low)} to {signed(high)}"


def score(value: float | None) -> str:
    """A score to four significant digits, at most six places."""
    if value is None or not is_figure(value):
        return NOTHING
    text = f"{value:.2f}" if abs(value) >= 100 else f"{value:.4f}" if abs(value) >= 0.1 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def percent(value: float | None, digits: int = 1) -> str:
    """A share as `12.3 %`."""
    return NOTHING if value is None or not is_figure(value) else f"{number(100 * value, digits)} %"


def moment(value: datetime | int | None) -> str:
    """A time, or microseconds since 1970, in UTC: `2026-11-30 04:10`."""
    if value is None:
        return NOTHING
    try:
        time = datetime.fromtimestamp(value / 1e6, UTC) if isinstance(value, int) else value.astimezone(UTC)
    except (OverflowError, ValueError, OSError):  # before the year 1, or after 9999
        return NOTHING
    return f"{time:%Y-%m-%d %H:%M}"


def iso(text: str) -> str:
    """A time in ISO 8601 with its zone: `2026-11-30 04:10 UTC`; what is none as it is."""
    try:
        return f"{moment(datetime.fromisoformat(text))} UTC"
    except ValueError:
        return text


def day_of(number: int) -> str:
    """A day since 1970 as `2026-11-30`."""
    try:
        return f"{EPOCH + timedelta(days=number):%Y-%m-%d}"
    except OverflowError:
        return f"day {number}"


def seconds(value: float | None) -> str:
    """How long something took: `0.4 s`, `3 min 20 s`, `2 h 05 min`."""
    if value is None or not is_figure(value):
        return NOTHING
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def lasting(value: timedelta) -> str:
    """A rhythm in words: `7 days`, `6 hours`."""
    hours = value.total_seconds() / 3600
    return f"{number(hours / 24, 0)} days" if hours >= 36 else f"{number(hours, 0)} hours"


def value(found: Any) -> str:
    """A value of metadata as text: lists with commas between their elements, long texts cut."""
    if found is None:
        return NOTHING
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, list | tuple):
        text = ", ".join(map(value, found))
    elif isinstance(found, datetime):
        text = moment(found)
    elif isinstance(found, float):
        text = f"{found:g}" if abs(found) < 1e15 else str(found)
    elif isinstance(found, date):
        text = found.isoformat()
    else:
        text = str(found)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def segment(identity: str) -> str:
    """An id as one segment of an address, whatever it holds."""
    return quote(identity, safe="", errors="replace")


def pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names as the options of a choice: what is sent, and what is shown."""
    return [(name, name) for name in names]


FILTERS: Final = {
    "number": number,
    "score": score,
    "percent": percent,
    "moment": moment,
    "iso": iso,
    "day": day_of,
    "seconds": seconds,
    "lasting": lasting,
    "value": value,
    "segment": segment,
    "pairs": pairs,
    "redacted": redacted,
}
