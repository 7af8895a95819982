from datetime import datetime

import pytest

from recsys_vae.dates import read_date


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (20240131, datetime(2024, 1, 31)),
        (202401311205, datetime(2024, 1, 31, 12, 5)),
        (20240131120507, datetime(2024, 1, 31, 12, 5, 7)),
        (20240131120507123, datetime(2024, 1, 31, 12, 5, 7, 123_000)),
        (20240231, None),
        (20240131240000, None),
        (19891231, None),
        (21010101, None),
        (-2024013, None),
        (1706659200, None),
    ],
)
def test_a_whole_number_is_a_date_where_it_spells_one(number: int, expected: datetime | None) -> None:
    assert read_date(number) == expected
