"""Moments: times as people and JSON have them, and as the store keeps them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BeforeValidator

from recsys_vae.data.columns import EARLIEST, LATEST
from recsys_vae.dates import NO_EPOCHS, read_date

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970, UTC; a time without a zone is taken as UTC."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (known - EPOCH) // MICROSECOND


FIRST, LAST = to_microseconds(EARLIEST), to_microseconds(LATEST)


def checked(moment: datetime) -> datetime:
    """The moment; ValueError where it is one that could not be given back. Without a zone it is taken as UTC."""
    if not FIRST <= to_microseconds(moment) <= LAST:
        raise ValueError(f"Input should lie between {EARLIEST.date()} and {LATEST.date()} in UTC")
    return moment


def from_microseconds(microseconds: int) -> datetime:
    """The same moment in UTC; the first or last that there is, for one beyond, as early versions stored them."""
    return EPOCH + timedelta(microseconds=min(max(microseconds, FIRST), LAST))


def now() -> int:
    """Microseconds since 1970, UTC."""
    return to_microseconds(datetime.now(UTC))


def without_false_epochs(value: Any) -> Any:
    """A date that is written as one number, as a time without a zone; all else as it was.

    Raises:
        ValueError: a number that is neither a date nor an epoch.
    """
    try:
        number = int(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return value
    if number is None:
        return value
    if (date := read_date(number)) is not None:
        return date
    if len(str(abs(number))) in NO_EPOCHS:
        raise ValueError("a number of this many digits is a calendar date, such as 20240131, and this is none")
    return value


WRITTEN = BeforeValidator(without_false_epochs)
"""Annotates a time of a request: pydantic takes every number for an epoch."""
