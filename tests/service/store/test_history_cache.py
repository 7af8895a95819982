from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recsys_vae.data.signal_rules import SignalRules
from recsys_vae.errors import UnavailableError
from service import timestamps
from service.store.events import Event, EventStore
from service.store.history_cache import Histories
from service.store.user_history import UserHistory
from tests.service.places import Place


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with closing(EventStore(f"sqlite:///{tmp_path / 'events.db'}")) as store:
        yield store


def click(user_id: str, item_id: str) -> Event:
    return Event(f"{user_id} {item_id}", user_id, item_id, None, 1.0, None)


def test_a_history_is_read_once_while_nothing_changes(store: EventStore) -> None:
    store.take([click("ann", "tea")], "api")
    hits: list[bool] = []
    histories = Histories(store, on_look_up=hits.append)
    first = histories.history("ann")
    assert tuple(first.history) == ("tea",)
    assert histories.history("ann") is first
    assert hits == [False, True]


def test_whoever_took_an_event_everybody_knows_it_at_once(place: Place) -> None:
    with closing(place.open()) as here, closing(place.open()) as elsewhere:
        histories = [Histories(here), Histories(elsewhere)]
        for count in range(1, 6):
            (here if count % 2 else elsewhere).take([click("ann", f"item {count}")], "api")
            assert [len(each.history("ann").history) for each in histories] == [count, count]
        elsewhere.replace([[click("ann", "other")]], "api")
        assert [tuple(each.history("ann").history) for each in histories] == [("other",), ("other",)]
        elsewhere.erase("ann")
        assert [each.history("ann") for each in histories] == [UserHistory(), UserHistory()]


def test_what_was_erased_elsewhere_does_not_come_back_with_the_next_event(place: Place) -> None:
    with closing(place.open()) as here, closing(place.open()) as elsewhere:
        here.take([click("ann", "tea")], "api")
        histories = Histories(here)
        assert tuple(histories.history("ann").history) == ("tea",)
        elsewhere.erase("ann")
        elsewhere.take([click("ann", "jam")._replace(timestamp=timestamps.now())], "api")
        assert tuple(histories.history("ann").history) == ("jam",)


def test_it_holds_no_more_items_than_its_capacity_and_the_least_asked_for_go_first(store: EventStore) -> None:
    store.take([click(user, item) for user in ("ann", "bob", "cid") for item in ("tea", "jam")], "api")
    hits: list[bool] = []
    histories = Histories(store, 4, hits.append)
    for user in ("ann", "bob", "ann", "cid", "ann"):
        histories.history(user)
    assert hits == [False, False, True, False, True]
    histories.history("bob")
    assert not hits[-1]


def test_a_history_longer_than_the_capacity_is_answered_and_not_held(store: EventStore) -> None:
    store.take([click("ann", item) for item in ("tea", "jam", "bun")], "api")
    hits: list[bool] = []
    histories = Histories(store, 2, hits.append)
    assert [len(histories.history("ann").history) for _ in range(2)] == [3, 3]
    assert hits == [False, False]


def test_users_who_were_never_seen_take_no_room(store: EventStore) -> None:
    histories = Histories(store)
    assert all(histories.history(f"nobody {i}") == UserHistory() for i in range(50))
    assert not histories._held


def test_a_forgotten_user_is_held_no_more(store: EventStore) -> None:
    store.take([click("ann", "tea")], "api")
    histories = Histories(store)
    histories.history("ann")
    histories.forget("ann")
    histories.forget("nobody")
    assert (dict(histories._held), histories._n_events) == ({}, 0)


def test_nothing_is_answered_from_memory_while_the_store_is_down(store: EventStore, tmp_path: Path) -> None:
    store.take([click("ann", "tea")], "api")
    histories = Histories(store)
    histories.history("ann")
    store.close()
    for path in tmp_path.glob("events.db*"):
        path.rename(path.with_name(f"away {path.name}"))
    (tmp_path / "events.db").mkdir()
    with pytest.raises(UnavailableError):
        histories.history("ann")
    (tmp_path / "events.db").rmdir()
    for path in tmp_path.glob("away *"):
        path.rename(path.with_name(path.name.removeprefix("away ")))
    assert tuple(histories.history("ann").history) == ("tea",)


def test_what_is_held_and_current_is_at_hand(place: Place) -> None:
    rules, other = SignalRules(), SignalRules(half_life=30.0)
    with closing(place.open()) as here, closing(place.open()) as elsewhere:
        here.take([click("ann", "tea")], "api")
        hits: list[bool] = []
        histories = Histories(here, on_look_up=hits.append)
        assert histories.at_hand("ann", [rules]) is None
        held = histories.history("ann")
        assert histories.at_hand("ann", [rules]) is None  # nobody has applied the rules
        held.under(rules)
        is_file = here.database.has_one_writer
        assert histories.at_hand("ann", [rules]) is (held if is_file else None)
        assert histories.at_hand("ann", [rules, other]) is None
        assert histories.at_hand("bob", [rules]) == (UserHistory() if is_file else None)
        assert hits == ([False, True, False] if is_file else [False])
        elsewhere.take([click("ann", "jam")], "api")
        assert histories.at_hand("ann", [rules]) is None


def test_nothing_is_at_hand_while_another_thread_asks_or_the_store_does_not_answer(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.take([click("ann", "tea")], "api")
    histories = Histories(store)
    histories.history("ann").under(SignalRules())
    assert histories.at_hand("ann", [SignalRules()]) is not None
    with store._kept._lock:
        assert histories.at_hand("ann", [SignalRules()]) is None

    def fail(*_: object) -> None:
        raise UnavailableError("gone")

    monkeypatch.setattr(store._kept, "rows", fail)
    assert histories.at_hand("ann", [SignalRules()]) is None
