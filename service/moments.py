"""Moments: times as people and JSON have them, and as the store keeps them."""

from datetime import UTC, datetime, timedelta

from recsys_vae.columns import EARLIEST, LATEST

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
        raise ValueError(f"Input should lie between {EARLIEST:%Y-%m-%d} and {LATEST:%Y-%m-%d} in UTC")
    return moment


def from_microseconds(microseconds: int) -> datetime:
    """The same moment in UTC; the first or last that there is, for one beyond, as early versions stored them."""
    return EPOCH + timedelta(microseconds=min(max(microseconds, FIRST), LAST))


def now() -> int:
    """Microseconds since 1970, UTC."""
    return to_microseconds(datetime.now(UTC))
