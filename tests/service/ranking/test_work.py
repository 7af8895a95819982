import pytest

from service.ranking.boosts import Boost
from service.ranking.filters import Eq
from service.ranking.results import Cap, Query
from service.ranking.work import work_of

HISTORY = {str(number): 1.0 for number in range(30)}
LONG = {str(number): 1.0 for number in range(1000)}


def test_a_plain_request_is_one_whatever_it_does_not_ask_for() -> None:
    assert {work_of(Query(k, history)) for k in (1, 20, 100) for history in ({}, HISTORY)} == {1.0}
    assert work_of(Query(20), n_stored=500) == 1.0


@pytest.mark.parametrize(
    ("heavy", "least", "most"),
    [
        (Query(1000, HISTORY), 1.5, 3),
        (Query(20, LONG), 1.1, 2),
        (Query(20, HISTORY, explain=True), 1.5, 3),
        (Query(20, LONG, explain=True), 30, 60),
        (Query(20, HISTORY, diversity=0.5), 2, 4),
        (Query(1000, HISTORY, diversity=0.5), 300, 500),
        (Query(20, HISTORY, boosts=(Boost("add", 1.0, None, ("a",)),) * 16), 7, 12),
        (Query(20, HISTORY, candidates=list(map(str, range(10_000)))), 8, 15),
        (Query(20, HISTORY, exclude=list(map(str, range(10_000)))), 1.5, 3),
        (Query(20, HISTORY, filter=Eq("a", 1)), 1.2, 2),
        (Query(20, HISTORY, caps=(Cap("a", 3),)), 2, 4),
        (Query(1000, LONG, explain=True, diversity=0.5), 400, 600),
    ],
)
def test_what_costs_more_counts_as_more(heavy: Query, least: float, most: float) -> None:
    assert least <= work_of(heavy) <= most


def test_a_stored_history_is_explained_at_the_same_price() -> None:
    stored = work_of(Query(20, explain=True), n_stored=1000)
    assert stored == pytest.approx(work_of(Query(20, LONG, explain=True)))
