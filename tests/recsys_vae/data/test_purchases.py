import numpy as np
import pytest

from recsys_vae.data.purchases import DAY, Purchases, Visits, purchases_of
from recsys_vae.data.signals import UNTIMED
from recsys_vae.errors import DataError
from tests.worlds import csr

# User 0 buys item 1 on days 3, 5 and twice on 9, and item 0 on day 5; user 2 buys item 2 on day 4; user 1 nothing.
USERS = np.array([2, 0, 0, 0, 0, 0])
ITEMS = np.array([2, 1, 1, 0, 1, 1])
TIMES = np.array([4, 9, 3, 5, 5, 9]) * DAY + np.array([0, 1, 2, 3, 4, 5])


def visits() -> Visits:
    return Visits.of_events(USERS, ITEMS, TIMES, (3, 3))


def test_a_day_is_one_purchase_of_an_item() -> None:
    found = visits()
    assert list(zip(found.users, found.days, found.items, strict=True)) == [
        (0, 3, 1), (0, 5, 0), (0, 5, 1), (0, 9, 1), (2, 4, 2),
    ]  # fmt: skip


def test_purchases_are_seen_from_the_last_visit() -> None:
    found = visits().purchases()
    np.testing.assert_array_equal(found.counts.toarray(), [[1, 3, 0], [0, 0, 0], [0, 0, 1]])
    assert found.counts.indices.tolist() == found.ages.indices.tolist() == [0, 1, 2]
    assert found.ages.data.tolist() == [4, 0, 0]
    assert found.spans.data.tolist() == [0, 6, 0]
    assert found.users.tolist() == [0, 0, 2]
    assert found.counts.has_canonical_format


def test_purchases_are_seen_from_any_later_day() -> None:
    assert visits().purchases(np.array([10, 0, 7])).ages.data.tolist() == [5, 1, 3]
    with pytest.raises(DataError, match="after the day"):
        visits().purchases(np.array([8, 0, 7]))


def test_the_last_visit_of_each_user_is_cut_off() -> None:
    before, last = visits().without_last()
    np.testing.assert_array_equal(before.matrix().toarray(), [[1, 2, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(last.matrix().toarray(), [[0, 1, 0], [0, 0, 0], [0, 0, 1]])


def test_no_events_are_no_purchases() -> None:
    nothing = np.zeros(0, np.int64)
    assert Visits.of_events(nothing, nothing, nothing, (2, 3)).purchases().counts.nnz == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="Rows of items"):
        Visits.of_events(USERS, ITEMS + 1, TIMES, (3, 3))
    one, other = csr([[0, 1]], 3), csr([[0, 2]], 3)
    with pytest.raises(DataError, match="another pattern"):
        Purchases(one, one, other)


def test_events_without_a_time_are_as_old_as_the_oldest_and_later_ones_count_as_of_the_day() -> None:
    """Of three users one has an event without a time and one that is still to come, one has times, one has none."""
    users, items = np.array([0, 0, 0, 1, 2]), np.array([0, 1, 2, 0, 0])
    times = np.array([UNTIMED, 5, 30, 8, UNTIMED])
    times = np.where(times == UNTIMED, UNTIMED, times * DAY)
    found = purchases_of(users, items, times, (3, 3), np.array([20, 10, 10]))
    assert found.users.tolist() == [0, 0, 0, 1]
    assert found.counts.indices.tolist() == [0, 1, 2, 0]
    assert found.ages.data.tolist() == [15, 15, 0, 2]


def test_purchases_of_some_users_are_their_rows() -> None:
    some = visits().purchases()[np.array([2, 0])]
    whole = visits().purchases()
    for name in ("counts", "ages", "spans"):
        np.testing.assert_array_equal(getattr(some, name).toarray(), getattr(whole, name).toarray()[[2, 0]])
