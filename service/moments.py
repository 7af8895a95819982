"""Moments: times as people and JSON have them, and as the store keeps them."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970, UTC; a time without a zone is taken as UTC."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (known - EPOCH) // MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The same moment in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)


def now() -> int:
    """Microseconds since 1970, UTC."""
    return to_microseconds(datetime.now(UTC))
