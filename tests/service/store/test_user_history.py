from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.data.signals import UNTIMED, SignalRules, evidence
from service.store.events import EventStore
from service.store.user_history import UserEvents, UserHistory, history_of, joined
from tests.service.places import Place

DAY = 86_400_000_000
RETURNS = SignalRules(dislikes=("return",), dislike_below=2.5, event_weights=(("buy", 3.0),))
KINDS = st.sampled_from([None, "buy", "return"])
ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), KINDS, st.sampled_from([1.0, 2.0, 4.0]), st.integers(0, 9), st.booleans()),
    max_size=8,
)


def events(*rows: tuple[str, str | None, float | None, int | None]) -> UserEvents:
    return UserEvents(*zip(*((*row, False) for row in rows), strict=True)) if rows else UserEvents()


def test_the_latest_event_decides_for_or_against() -> None:
    done = events(("a", "return", 3.0, 0), ("b", "buy", 4.0, 1), ("a", None, 3.0, 2), ("b", None, 2.0, 3))
    assert list(history_of(done, RETURNS).items()) == [("a", 3.0), ("b", -2.0)]
    assert list(history_of(done, SignalRules()).items()) == [("a", 3.0), ("b", 2.0)]


def test_values_that_nobody_told_are_liked_unless_their_kind_is_a_dislike() -> None:
    assert history_of(UserEvents.of_ids("ab"), RETURNS) == {"a": 1.0, "b": 1.0}
    assert history_of(events(("a", "return", None, None), ("b", "buy", None, None)), RETURNS) == {"a": -1.0, "b": 3.0}


def test_kinds_without_a_weight_say_nothing() -> None:
    done = events(("a", "buy", 4.0, 0), ("a", "search", 4.0, 1), ("b", "search", None, 2), ("c", "return", 4.0, 3))
    assert history_of(done, RETURNS) == {"a": 12.0, "c": -4.0}
    for_any = replace(RETURNS, event_weights=(("buy", 3.0), ("*", 2.0)))
    assert history_of(done, for_any) == {"a": 8.0, "b": 2.0, "c": -8.0}


def test_final_weights_stay_as_they_are() -> None:
    done = UserEvents(("a", "b"), ("buy", "return"), (1.0, -2.0), (0, 0), (True, True))
    assert history_of(done, RETURNS) == {"a": 1.0, "b": -2.0}


def test_weights_add_up_and_halve_with_age_where_rules_say_so() -> None:
    done = events(("a", None, 1.0, 0), ("b", None, 1.0, DAY), ("a", None, 2.0, 2 * DAY))
    rules = SignalRules(keep="sum", half_life=1.0)
    assert list(history_of(done, rules).items()) == [("b", 0.5), ("a", 2.25)]


def test_what_is_sent_comes_after_what_is_stored_and_at_the_time_of_the_latest() -> None:
    stored = UserHistory(events(("a", None, 1.0, None), ("b", None, 1.0, 2 * DAY)))
    assert list(joined(stored, UserEvents.of_ids("ca"), SignalRules()).items()) == [("b", 1.0), ("c", 1.0), ("a", 1.0)]
    rules = SignalRules(keep="sum", half_life=2.0)
    sent = events(("c", None, 1.0, None), ("b", None, 1.0, 4 * DAY))
    assert joined(stored, sent, rules) == {"a": 0.5, "c": 1.0, "b": 1.5}
    assert list(joined(UserHistory(), sent, rules).items()) == [("c", 1.0), ("b", 1.0)]


@settings(deadline=None)
@given(rows=ROWS, cut=st.integers(0, 8), rules=st.sampled_from([RETURNS, SignalRules()]))
def test_the_short_way_is_that_of_evidence(rows: list, cut: int, rules: SignalRules) -> None:
    """No event is at another place or has another weight than where the rule of training is asked."""
    rows = sorted(rows, key=lambda row: row[3])
    done = UserEvents(*zip(*rows, strict=True)) if rows else UserEvents()
    codes = np.array(["abc".index(row[0]) for row in rows], dtype=np.int64)
    weights = np.array([row[2] if row[4] else rules.weight(row[1], row[2]) for row in rows])
    found = evidence(np.zeros_like(codes), codes, weights, np.full(len(rows), UNTIMED), rules)
    by_place = np.argsort(found.places)
    expected = [
        ("abc"[item], weight) for item, weight in zip(found.items[by_place], found.weights[by_place], strict=True)
    ]
    assert list(history_of(done, rules).items()) == expected
    assert list(history_of(done, replace(rules, half_life=1e300)).items()) == expected
    columns = [getattr(done, name) for name in ("item_ids", "kinds", "values", "times", "are_final")]
    before, after = (UserEvents(*(column[part] for column in columns)) for part in (slice(cut), slice(cut, None)))
    assert list(joined(UserHistory(before), after, rules).items()) == expected


def test_each_set_of_rules_has_a_history_of_its_own_made_once() -> None:
    history = UserHistory(events(("a", "return", 3.0, 0)))
    assert (history.under(RETURNS), history.history) == ({"a": -3.0}, {"a": 3.0})
    assert history.under(SignalRules(dislikes=("return",), half_life=inf, dislike_below=2.5,
                                     event_weights=(("buy", 3.0),))) is history.under(RETURNS)  # fmt: skip
    assert history == UserHistory(history.events)


@pytest.fixture
def store(place: Place) -> EventStore:
    return place.open()


def test_stored_events_keep_kind_value_and_time_and_come_in_order_of_time(store: EventStore) -> None:
    from service.store.events import Event

    rows = [("1", "a", "view", 1.0, 5), ("2", "b", None, 2.0, 3), ("3", "c", "buy", 1.0, None)]
    store.append([[Event(name, "ann", item, kind, value, time) for name, item, kind, value, time in rows]], "api")
    store.append([[Event("4", "ann", "d", None, -1.5, 4)]], "dataset:shop")
    found = store.history("ann")
    assert found.events == UserEvents(
        ("c", "b", "d", "a"), ("buy", None, None, "view"), (1.0, 2.0, -1.5, 1.0), (None, 3, 4, 5),
        (False, False, True, False),
    )  # fmt: skip
    assert found.sequence == 4
    assert store.history("ann", until=2).events.item_ids == ("b", "a")
    store.close()
