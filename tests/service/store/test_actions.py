"""Who did what, over both databases."""

import logging
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text

from recsys_vae.errors import UnavailableError
from service import timestamps
from service.jobs.retention import clean_events
from service.store.actions import Action, ActionLog
from service.store.database import Database
from service.store.events import EventStore
from tests.service.places import Place


@pytest.fixture
def store(place: Place) -> Iterator[EventStore]:
    with closing(place.open()) as store:
        yield store


@pytest.fixture
def log(store: EventStore) -> ActionLog:
    return ActionLog(store.database)


def subjects(actions: list[Action]) -> list[str]:
    return [one.subject for one in actions]


def test_what_is_noted_is_told_latest_first_by_pages_subject_and_action(log: ActionLog) -> None:
    began = timestamps.now()
    log.note("shop", "change-item", "item:ü/'1", {"hidden": True, "fields.price": None}, "r1")
    log.note("ops", "reload", "deployment", {"generation": 2}, "r2")
    log.note("shop", "change-items", "items", {"accepted": 2}, "r3")
    assert subjects(log.latest(2)) == ["items", "deployment"]
    [first] = log.latest(2, before=log.latest(2)[-1].sequence)
    assert first[1:6] == ("shop", "change-item", "item:ü/'1", {"hidden": True, "fields.price": None}, "r1")
    assert began <= first.done_at <= timestamps.now()
    assert log.latest(9, subject="item:ü/'1") == [first]
    assert subjects(log.latest(9, action="reload")) == ["deployment"]
    assert log.latest(9, subject="deployment", action="change-item") == []


def test_a_long_detail_keeps_its_names(log: ActionLog) -> None:
    log.note("shop", "change-item", "item:a", {"fields.title": "x" * 5_000, "hidden": True}, "r")
    log.note("shop", "change-item", "item:b", {f"fields.{'x' * 100}{n}": n for n in range(64)}, "r")
    assert [one.detail for one in log.latest(2)] == [{"left_out": 64}, {"fields.title": "…", "hidden": "…"}]


def test_erasing_a_user_reaches_what_was_done_to_the_user_and_no_item_of_that_name(
    store: EventStore, log: ActionLog
) -> None:
    for subject in ("user:ann", "user:anna", "item:ann"):
        log.note("ops", "look", subject, {}, "r")
    store.erase("ann")
    assert subjects(log.latest(9)) == ["item:ann", "user:anna"]


def test_old_ones_go_by_their_own_limit(store: EventStore, log: ActionLog) -> None:
    for number in range(5):
        log.note("ops", "reload", "deployment", {"generation": number}, "r")
    with store.database.writing() as connection:
        connection.execute(text("UPDATE actions SET done_at = sequence"))
    limits = {"events_before": None, "impressions_before": None, "actions_before": 4}
    assert clean_events(store.database, **limits, dry_run=True).actions == 3
    assert clean_events(store.database, **limits, batch=2).actions == 3
    assert [one.done_at for one in log.latest(9)] == [5, 4]


def test_what_the_store_does_not_take_is_in_the_log_of_the_process(caplog: pytest.LogCaptureFixture) -> None:
    database = Database("postgresql+psycopg://127.0.0.1:1/none")
    with closing(database), caplog.at_level(logging.WARNING, "recsys.service"):
        ActionLog(database).note("shop", "change-item", "item:a", {"hidden": True}, "r7")
        with pytest.raises(UnavailableError):
            ActionLog(database).latest(1)
    assert "item:a" in caplog.text
    assert "r7" in caplog.text
