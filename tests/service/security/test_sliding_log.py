from hypothesis import given
from hypothesis import strategies as st

from service.security.sliding_log import PARTS, SlidingLogs

ASKED = st.lists(st.tuples(st.floats(0, 4), st.integers(1, 9)), max_size=80)
"""Seconds since the one before, and the weight."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(ASKED, st.integers(1, 30), st.integers(1, 10))
def test_no_window_wherever_it_begins_holds_more_than_the_amount(
    asked: list[tuple[float, int]], amount: int, seconds: int
) -> None:
    clock = Clock()
    logs, granted = SlidingLogs(clock), []
    for pause, weight in asked:
        clock.now += pause
        count = logs.ask("a", amount, seconds, weight)
        in_window = sum(w for at, w in granted if at > clock.now - seconds)
        if count.is_granted:
            granted.append((clock.now, weight))
            assert in_window + weight <= amount
            assert count.remaining <= amount - in_window - weight
        else:  # nothing is refused that fits, but for what lies within a part of the end of the window
            late = sum(w for at, w in granted if at > clock.now - seconds - seconds / PARTS - 1e-9)
            assert late + weight > amount
        assert 0 <= count.remaining <= amount
        assert 0 < count.reset_seconds <= seconds


def test_what_was_refused_fits_when_it_is_said_to() -> None:
    clock = Clock()
    logs = SlidingLogs(clock)
    for clock.now in (0.0, 1.0, 2.0, 3.0):
        assert logs.ask("a", 4, 10).is_granted
    refused = logs.ask("a", 4, 10, weight=2)
    assert (refused.is_granted, refused.remaining, refused.reset_seconds) == (False, 0, 8.0)
    clock.now += 8.0
    assert logs.ask("a", 4, 10, weight=2).is_granted


def test_a_log_stays_short_however_much_it_counts() -> None:
    clock = Clock()
    logs = SlidingLogs(clock)
    for _ in range(50_000):
        clock.now += 0.001
        assert logs.ask("a", 1_000_000, 10).is_granted
    assert all(len(log.grants) <= PARTS + 1 for log in logs._logs.values())
