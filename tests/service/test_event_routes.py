"""Events and users over HTTP."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Signal
from threading import Semaphore

import pytest
from fastapi.testclient import TestClient

from service.app import WRITERS, create_app
from service.schemas.events import MAX_EVENTS
from service.settings import Settings
from service.store.events import Event, EventStore, Fate
from tests.service.places import Place
from tests.service.test_routes import check_problem, codes, item_ids
from tests.service.tiny import HISTORIES

POST = "/v1/events"


def click(user_id: str = "ann", item_id: str = "a", **more: object) -> dict[str, object]:
    return {"user_id": user_id, "item_id": item_id, **more}


def send(client: TestClient, *rows: object, key: str | None = None) -> dict:
    response = client.post(POST, json={"events": rows}, headers={"Idempotency-Key": key} if key else {})
    assert response.status_code == 200, response.text
    return response.json()


def statuses(receipt: dict) -> list[str]:
    assert [result["index"] for result in receipt["results"]] == list(range(len(receipt["results"])))
    found = [result["status"] for result in receipt["results"]]
    assert [receipt[name] for name in ("accepted", "duplicates", "rejected")] == [
        found.count(status) for status in ("accepted", "duplicate", "rejected")
    ]
    return found


@pytest.fixture
def replicas(place: Place, bundle_path: Path) -> Iterator[tuple[TestClient, TestClient]]:
    """Two services over one store."""
    settings = Settings(bundle=bundle_path, store=place.url)
    with TestClient(create_app(settings)) as one, TestClient(create_app(settings)) as other:
        yield one, other


def test_an_acknowledged_event_is_in_the_next_answer_of_every_replica(replicas: tuple[TestClient, TestClient]) -> None:
    address = "/v1/users/ann/recommendations?k=8"
    assert [codes(replica.get(address).json())[0] for replica in replicas] == ["unknown_user"] * 2
    for count, item_id in enumerate("abcdef", start=1):
        assert statuses(send(replicas[count % 2], click(item_id=item_id))) == ["accepted"]
        for replica in replicas:
            found = replica.get(address).json()
            assert sorted(item_ids(found)) == sorted("abcdefgh"[count:])
            assert found["tier"] == "history"


def test_a_malformed_row_does_not_sink_the_others(client: TestClient) -> None:
    receipt = send(
        client, click(), 7, click(weight=0), {"user_id": "ann"}, click(timestamp="2026-01-01"), click(x=1), click("bob")
    )
    assert statuses(receipt) == ["accepted", *["rejected"] * 5, "accepted"]
    reasons = [result["reason"] for result in receipt["results"]]
    assert (reasons[0], reasons[6]) == (None, None)
    expected = ("an object", "weight", "item_id: Field required", "timestamp", "x: Extra")
    for reason, words in zip(reasons[1:6], expected, strict=True):
        assert words in reason
    assert client.get("/v1/users/ann").json()["events"] == 1


def test_a_date_is_not_read_as_an_epoch(client: TestClient) -> None:
    receipt = send(client, *(click(timestamp=at) for at in ("20240131", 20240131120000, "20240231", 1706659200)))
    assert statuses(receipt) == ["rejected"] * 3 + ["accepted"]
    reasons = [result["reason"] for result in receipt["results"]]
    assert "timezone" in reasons[0]
    assert "timezone" in reasons[1]
    assert "calendar date" in reasons[2]
    assert client.get("/v1/users/ann").json()["first"] == "2024-01-31T00:00:00Z"


@pytest.mark.parametrize(
    "row",
    [
        click(user_id=""),
        click(user_id="a\x00b"),
        click(item_id="x" * 513),
        click(weight=-1),
        click(weight=1e13),
        click(weight="much"),
        click(event_type=""),
        click(event_type="x" * 65),
        click(timestamp="yesterday"),
        click(timestamp="2026-01-01T12:00:00"),
        click(timestamp="9999-12-31T23:59:59-14:00"),
        click(timestamp="0001-01-01T00:00:00+14:00"),
        click(weight=1e-50),
        click(event_id=""),
        click(event_id="x" * 129),
        click(request_id=7),
        [],
        None,
        "text",
    ],
)
def test_a_row_that_breaks_its_contract_is_rejected_with_a_reason(client: TestClient, row: object) -> None:
    receipt = send(client, row)
    assert statuses(receipt) == ["rejected"]
    assert receipt["results"][0]["reason"]
    assert "Value error" not in receipt["results"][0]["reason"]


@pytest.mark.parametrize("body", [{}, [], {"events": []}, {"events": {}}, {"events": [{}], "x": 1}, click()])
def test_an_envelope_that_breaks_its_contract_is_refused_whole(client: TestClient, body: object) -> None:
    check_problem(client.post(POST, json=body), 422, "invalid-request")


def test_a_thousand_events_are_taken_and_one_more_is_not(client: TestClient) -> None:
    rows = [click(f"u{i % 7}", f"i{i}") for i in range(MAX_EVENTS)]
    assert send(client, *rows)["accepted"] == MAX_EVENTS
    found = check_problem(client.post(POST, json={"events": [*rows, click()]}), 422, "invalid-request")
    assert found["errors"][0]["field"] == "body.events"


def test_what_is_no_text_is_rejected_and_not_echoed(client: TestClient) -> None:
    content = (
        b'{"events": [{"user_id": "\\ud800", "item_id": "a"}, {"user_id": "u", "item_id": "a", "\\udfff": 1}, '
        b'{"user_id": "u", "item_id": "a", "event_id": "\\ud800"}, {"user_id": "u", "item_id": "a"}]}'
    )
    response = client.post(POST, content=content, headers={"content-type": "application/json"})
    assert statuses(response.json()) == ["rejected", "rejected", "rejected", "accepted"]


def test_an_event_id_is_taken_once(client: TestClient) -> None:
    rows = [click(event_id="1"), click(item_id="b", event_id="2")]
    assert statuses(send(client, *rows)) == ["accepted"] * 2
    receipt = send(client, click(item_id="c", event_id="3"), *rows)
    assert statuses(receipt) == ["accepted", "duplicate", "duplicate"]
    assert [result["event_id"] for result in receipt["results"]] == ["3", "1", "2"]
    assert client.get("/v1/users/ann").json()["events"] == 3


def test_an_event_id_that_names_another_event_is_rejected_and_says_so(client: TestClient) -> None:
    send(client, click(event_id="1"))
    for other in (click("bob", event_id="1"), click(item_id="b", event_id="1"), click(weight=2, event_id="1")):
        receipt = send(client, other)
        assert statuses(receipt) == ["rejected"]
        assert "names another event already" in receipt["results"][0]["reason"]


def test_a_request_sent_again_under_its_key_changes_nothing(client: TestClient) -> None:
    rows = [click(), 7, click(), click(event_id="own")]
    assert statuses(send(client, *rows, key="k1")) == ["accepted", "rejected", "accepted", "accepted"]
    assert statuses(send(client, *rows, key="k1")) == ["duplicate", "rejected", "duplicate", "duplicate"]
    assert statuses(send(client, *rows, key="k2")) == ["accepted", "rejected", "accepted", "duplicate"]
    assert client.get("/v1/users/ann").json()["events"] == 5


def test_without_key_and_id_every_event_is_new(client: TestClient) -> None:
    assert statuses(send(client, click(), click())) == statuses(send(client, click(), click())) == ["accepted"] * 2


def test_a_client_cannot_choose_an_id_that_was_made_from_a_key(client: TestClient) -> None:
    send(client, click(), key="k1")
    assert statuses(send(client, click(event_id="k1\x1f0"))) == ["accepted"]
    assert statuses(send(client, click(event_id="\x00k1\x1f0"))) == ["rejected"]


@pytest.mark.parametrize("key", ["", "x" * 129])
def test_a_key_that_is_none_is_refused(client: TestClient, key: str) -> None:
    response = client.post(POST, json={"events": [click()]}, headers={"Idempotency-Key": key})
    assert check_problem(response, 422, "invalid-request")["errors"][0]["field"] == "header.idempotency-key"


def test_what_is_held_about_a_user_is_shown_page_by_page(client: TestClient) -> None:
    moment = "2026-01-01T13:30:00+02:00"
    more = {"event_type": "buy", "weight": 2.5, "timestamp": moment, "request_id": "r1"}
    before = datetime.now(UTC)
    send(client, click("u0", "h", **more), click("u0", "a"))
    body = client.get("/v1/users/u0?limit=2").json()
    assert (body["user_id"], body["events"], body["items"]) == ("u0", 5, 4)
    assert body["sources"] == {"api": 2, "tiny": 3}
    newest, older = body["history"]
    assert body["first"] == older["timestamp"] == "2026-01-01T11:30:00Z"
    assert body["last"] == newest["timestamp"]
    assert before <= datetime.fromisoformat(newest["timestamp"]) <= datetime.now(UTC)
    assert [older[name] for name in ("item_id", "source", "event_type", "weight", "request_id")] == [
        "h", "api", "buy", 2.5, "r1",
    ]  # fmt: skip
    rest = client.get("/v1/users/u0", params={"limit": 3, "before": body["next_before"]}).json()
    assert [event["item_id"] for event in rest["history"]] == list(reversed(HISTORIES["u0"]))
    assert rest["next_before"] is None


def test_a_user_who_was_never_seen_is_no_error(client: TestClient) -> None:
    body = client.get("/v1/users/nobody").json()
    assert (body["events"], body["first"], body["sources"], body["history"]) == (0, None, {}, [])
    assert client.delete("/v1/users/nobody").json()["erased"] == 0


@pytest.mark.parametrize(("name", "value"), [("limit", "0"), ("limit", "1001"), ("before", "0"), ("before", "x")])
def test_a_page_has_bounds(client: TestClient, name: str, value: str) -> None:
    found = check_problem(client.get("/v1/users/u0", params={name: value}), 422, "invalid-request")
    assert found["errors"][0]["field"] == f"query.{name}"


def test_an_erased_user_is_unknown_to_every_replica(replicas: tuple[TestClient, TestClient]) -> None:
    one, other = replicas
    send(one, *(click("ann", item_id) for item_id in "abc"), click("bob"))
    assert [replica.get("/v1/users/ann/recommendations").json()["warnings"][:1] for replica in replicas] == [
        [{"code": "fewer_items_than_k", "message": "20 items were asked for, 5 are allowed: all of them are here."}]
    ] * 2
    assert [one.delete("/v1/users/ann").json()["erased"], other.delete("/v1/users/ann").json()["erased"]] == [3, 0]
    for replica in replicas:
        assert codes(replica.get("/v1/users/ann/recommendations").json())[0] == "unknown_user"
        assert replica.get("/v1/users/ann").json()["events"] == 0
        assert replica.get("/v1/users/bob").json()["events"] == 1


def test_ids_of_users_may_hold_slashes(client: TestClient) -> None:
    send(client, click("x/y z"))
    assert client.get("/v1/users/x%2Fy%20z").json()["events"] == 1
    assert client.delete("/v1/users/x%2Fy%20z").json()["erased"] == 1


def test_what_is_acknowledged_is_on_disk(client: TestClient, settings: Settings) -> None:
    send(client, click())
    with closing(EventStore(settings.store_url)) as elsewhere:
        assert tuple(elsewhere.history("ann").history) == ("a",)


def test_writers_that_wait_for_the_store_leave_the_threads_of_readers_free(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the 40 threads that anyio has for everything."""
    began, let_go = Semaphore(0), Signal()

    def hang(*_: object) -> list[Fate]:
        began.release()
        assert let_go.wait(20)
        return [Fate.ACCEPTED]

    monkeypatch.setattr(EventStore, "take", hang)
    with ThreadPoolExecutor(50) as threads:
        sent = [threads.submit(send, client, click(item_id=str(number))) for number in range(50)]
        try:
            for _ in range(WRITERS):
                assert began.acquire(timeout=20)
            assert client.get("/v1/users/u0/recommendations?k=3").json()["tier"] == "history"
            assert client.get("/v1/users/u0").json()["events"] == len(HISTORIES["u0"])
        finally:
            let_go.set()
        assert all(statuses(receipt.result()) == ["accepted"] for receipt in sent)


def test_the_api_describes_a_row_and_takes_anything_for_one(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    first, otherwise = schemas["NewEvents"]["properties"]["events"]["items"]["anyOf"]
    assert first == {"$ref": "#/components/schemas/NewEvent"}
    assert set(otherwise) == {"description"}
    assert schemas["NewEvent"]["required"] == ["user_id", "item_id"]


def test_every_time_that_is_taken_is_given_back(client: TestClient) -> None:
    times = ["0001-01-02T00:00:00Z", "9999-12-29T12:00:00-12:00", "1969-12-31T23:59:59.999999+14:00"]
    assert statuses(send(client, *(click(timestamp=time, item_id=time) for time in times))) == ["accepted"] * 3
    history = client.get("/v1/users/ann").json()["history"]
    found = {event["item_id"]: datetime.fromisoformat(event["timestamp"]) for event in history}
    assert found == {time: datetime.fromisoformat(time) for time in times}


def test_a_user_with_a_time_that_was_once_taken_is_shown(client: TestClient, settings: Settings) -> None:
    store = EventStore(settings.store_url)
    store.take([Event("1", "ann", "a", None, 1.0, 2**60), Event("2", "ann", "b", None, 1.0, -(2**60))], "api")
    store.close()
    answer = client.get("/v1/users/ann")
    assert answer.status_code == 200
    assert answer.json()["last"].startswith("9999-12-30")
