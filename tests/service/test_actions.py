"""Requests that change something leave a note of who asked, over HTTP."""

from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from service.store.actions import Action, ActionLog
from service.store.events import EventStore

ITEM = "/v1/items"


def noted(settings: Settings) -> list[Action]:
    return ActionLog(EventStore(settings.store_url).database).latest(20)[::-1]


def test_changes_of_items_are_noted_one_a_request_where_they_change_something(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        changed = client.patch(f"{ITEM}/a", json={"fields": {"price": 3}, "hidden": True})
        client.patch(f"{ITEM}/a", json={"fields": {"price": 3}})
        client.patch(f"{ITEM}/a", json={"fields": {"price": "much"}})
        client.put(f"{ITEM}/b", json={"fields": {"price": 4}})
        client.delete(f"{ITEM}/b")
        rows = [{"item_id": "a", "hidden": False}, {"item_id": "c", "fields": {"price": 1}}, {"item_id": 7}]
        client.post(ITEM, json={"items": rows})
        client.post(ITEM, json={"items": rows[:1]})
        client.post(ITEM, json={"items": [{"item_id": "a", "hidden": True}]})
    told = [(one.actor, one.action, one.subject, one.detail) for one in noted(settings)]
    assert told == [
        ("anybody", "change-item", "item:a", {"operation": "merge", "fields.price": 3, "hidden": True}),
        ("anybody", "change-item", "item:b", {"operation": "replace", "fields.price": 4, "hidden": False}),
        ("anybody", "change-item", "item:b", {"operation": "delete"}),
        ("anybody", "change-items", "items", {"accepted": 2, "rejected": 1}),
        ("anybody", "change-item", "item:a", {"operation": "merge", "hidden": True}),
    ]
    assert noted(settings)[0].request_id == changed.json()["request_id"]


def test_a_rollback_that_is_refused_is_not_noted(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        assert client.post("/v1/admin/rollback").status_code == 409
        assert client.post("/v1/admin/reload").json()["changed"] is False
    assert noted(settings) == []
