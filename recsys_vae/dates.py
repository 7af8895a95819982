"""Dates: which whole numbers are calendar dates, such as 20240131, and which can be no epoch.

What is read as an epoch where its author wrote a date is off by decades: 20240131 seconds are in 1970, 20240131120000
milliseconds in 2611.
"""

from datetime import datetime

DATE_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%3f"}
"""Digits -> format, as polars has it; 17 digits end in milliseconds."""

FIRST_YEAR, LAST_YEAR = 1990, 2100
"""Years of dates that are taken for dates."""

NO_EPOCHS = (8, 14, 17)
"""Digits of numbers that would be epochs of 1970 to 1973 or after 2286: dates, or nothing."""


def read_date(number: int) -> datetime | None:
    """The calendar date that a whole number spells, without a zone; None where it spells none."""
    text = str(number)
    if len(text) not in DATE_FORMATS or not FIRST_YEAR <= int(text[:4]) <= LAST_YEAR:
        return None
    fields = [int(text[at : at + 2]) for at in range(4, min(len(text), 14), 2)]
    try:
        return datetime(int(text[:4]), *fields, microsecond=int(text[14:] or 0) * 1000)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
