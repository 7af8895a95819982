"""A day of metrics: what was added between samples, in steps of time, and how long requests took."""

import numpy as np
import pytest

from service.observability.day import CACHE, MEMORY, MOST_SERIES, OTHER, QUEUE, ROUTE, STATUS, TIER, Day, quantile
from service.observability.metrics import BUCKETS, Metrics

AT = 1_700_000_100.0  # a round minute


def test_counters_are_kept_as_what_was_added_between_samples() -> None:
    metrics, day = Metrics(), Day(8)
    metrics.count_request("GET", "/a", 200, 0.003, "history")
    day.take(metrics.families(), AT)
    metrics.count_request("GET", "/a", 200, 0.003, "history")
    metrics.count_request("POST", "/a", 503, 9.0)
    metrics.count_history_lookup(is_hit=True)
    metrics.show_queue(7)
    day.take(metrics.families(), AT + 15, memory=5e6)
    metrics.show_queue(3)
    metrics.count_request("GET", "/a", 0, 0.003)
    day.take(metrics.families(), AT + 30, memory=6e6)
    stretch = day.stretch(60, 4, AT + 45)
    assert stretch.starts.tolist() == [AT - 15, AT, AT + 15, AT + 30]
    assert stretch.seconds.tolist() == [0, 15, 15, 0]
    assert stretch.count(ROUTE, "/a").tolist() == [0, 2, 1, 0]
    statuses = {kind: stretch.count(STATUS, kind).tolist() for kind in ("2xx", "5xx", "left")}
    assert statuses == {"2xx": [0, 1, 0, 0], "5xx": [0, 1, 0, 0], "left": [0, 0, 1, 0]}
    assert stretch.count(f"{ROUTE} 5xx", "/a").tolist() == [0, 1, 0, 0]
    assert stretch.count(CACHE, "hit").tolist() == [0, 1, 0, 0]
    assert stretch.labels(TIER) == ["history"]
    assert stretch.added[TIER, "history"][1].tolist() == [0, 0, 1] + [0] * (len(BUCKETS) - 2)
    assert stretch.added[ROUTE, "/a"][1][-1] == 1
    np.testing.assert_array_equal(stretch.gauges[QUEUE], [np.nan, 7, 3, np.nan])
    np.testing.assert_array_equal(stretch.gauges[MEMORY], [np.nan, 5e6, 6e6, np.nan])


def test_the_ring_forgets_the_oldest_and_counters_that_begin_anew_count_as_nothing() -> None:
    day = Day(2)
    for place, total in enumerate((0, 1, 3, 1, 6)):
        metrics = Metrics()
        for _ in range(total):
            metrics.count_store_error("read")
        day.take(metrics.families(), AT + 15 * place)
    assert day.stretch(90, 6, AT + 90).count("store", "read").tolist() == [0, 0, 0, 5, 0, 0]


def test_a_clock_that_is_set_back_spoils_nothing() -> None:
    day = Day(4)
    for at in (AT, AT - 100, AT - 85):
        day.take(Metrics().families(), at)
    assert day.stretch(60, 4, AT - 85).seconds.sum() == 15


def test_there_are_so_many_series_and_no_more() -> None:
    metrics, day = Metrics(), Day(2)
    day.take(metrics.families(), AT)
    for number in range(MOST_SERIES + 9):
        metrics.count_request("GET", f"/{number}", 200, 0.001)
    day.take(metrics.families(), AT + 15)
    stretch = day.stretch(30, 1, AT + 15)
    assert len(stretch.added) <= MOST_SERIES + 3
    assert sum(stretch.count(ROUTE, name).sum() for name in stretch.labels(ROUTE)) == MOST_SERIES + 9
    assert OTHER in stretch.labels(ROUTE)


@pytest.mark.parametrize(
    ("counts", "share", "seconds"),
    [
        ({}, 0.5, None),
        ({0: 10}, 0.5, 0.0005),
        ({2: 4}, 0.5, 0.00375),
        ({2: 2, 3: 2}, 0.75, 0.0075),
        ({2: 1, len(BUCKETS): 1}, 0.99, 5.0),
    ],
)
def test_quantiles_lie_within_their_bucket(counts: dict[int, int], share: float, seconds: float | None) -> None:
    found = np.zeros(len(BUCKETS) + 1)
    found[list(counts)] = list(counts.values())
    assert quantile(found, share) == (None if seconds is None else pytest.approx(seconds))
