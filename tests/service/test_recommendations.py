"""What a recommendation request can say: filter, boost, diversity, explain, cursor, metadata, and many in one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.http.conversion import to_request
from service.schemas.recommendations import RecommendationRequest
from service.security.api_keys import entry_of, new_key
from service.settings import Settings
from service.store.events import Event, EventStore
from tests.service.test_routes import check_problem, codes, item_ids
from tests.service.tiny import HISTORIES, only, write_tiny_bundle

POST = "/v1/recommendations"
DRAMA = {"op": "eq", "column": "genre", "value": "drama"}


def test_a_filter_chooses_by_metadata(client: TestClient) -> None:
    body = client.post(POST, json={"history": ["a"], "k": 8, "filter": DRAMA}).json()
    assert sorted(item_ids(body)) == ["c", "e", "g"]
    decade = {"op": "range", "column": "year", "min": 1992, "max": 1994}
    both = {"op": "and", "of": [DRAMA, decade]}
    assert sorted(item_ids(client.post(POST, json={"k": 8, "filter": both}).json())) == ["c", "e"]
    neither = {"op": "not", "of": {"op": "or", "of": [DRAMA, decade]}}
    assert sorted(item_ids(client.post(POST, json={"k": 8, "filter": neither}).json())) == ["b", "f", "h"]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"op": "eq", "column": "colour", "value": "red"}, "popularity (Int64), genre (String), year (Int64)"),
        ({"op": "eq", "column": "year", "value": "1990"}, "'year' holds Int64, which '1990' does not fit"),
        ({"op": "like", "column": "genre", "value": "d%"}, "expected tags"),
        ({"op": "eq", "column": "genre", "value": None}, "text, a number, true or false"),
        ({"op": "eq", "column": "genre", "value": {"$ne": 1}}, "text, a number, true or false"),
        ({"op": "in", "column": "genre", "values": []}, "at least 1 item"),
        ({"op": "in", "column": "year", "values": [1] * 1001}, "at most 1000 items"),
        ({"op": "range", "column": "year"}, "a min, a max or both"),
        ({"op": "and", "of": []}, "at least 1 item"),
        ({"op": "eq", "column": "genre"}, "Field required"),
        ({"op": "and", "of": [DRAMA] * 64}, "at most 64 conditions"),
        ("genre == 'drama'", "dictionary"),
    ],
)  # fmt: skip
def test_a_filter_that_does_not_fit_says_what_would(client: TestClient, condition: object, words: str) -> None:
    found = check_problem(client.post(POST, json={"filter": condition}), 422, "invalid-request")
    assert words in found["detail"]
    assert found["errors"][0]["field"].startswith("body.filter")


def test_a_filter_may_be_neither_deep_nor_a_trap(client: TestClient) -> None:
    condition: object = DRAMA
    for _ in range(200):
        condition = {"op": "not", "of": condition}
    found = check_problem(client.post(POST, json={"filter": condition}), 422, "invalid-request")
    assert "at most 8 deep" in found["detail"]


def test_boosts_move_items_and_the_order_stays_that_of_the_scores(client: TestClient) -> None:
    plain = client.post(POST, json={"k": 8}).json()
    assert item_ids(plain)[:2] == ["a", "b"]
    added = client.post(POST, json={"k": 3, "boost": [{"by": "add", "value": 10, "items": ["h", "zzz"]}]}).json()
    assert [(i["item_id"], i["score"]) for i in added["items"]] == [("h", 11.0), ("a", 5.0), ("b", 4.0)]
    assert "unknown_items_in_boost" in codes(added)
    halved = client.post(POST, json={"k": 1, "boost": [{"by": "multiply", "value": 0.5, "where": DRAMA}]}).json()
    assert (item_ids(halved), halved["items"][0]["score"]) == (["b"], 4.0)


def test_a_factor_above_one_moves_up_whatever_the_sign(client: TestClient) -> None:
    plain = client.post(POST, json={"history": ["h"], "k": 8}).json()["items"]
    last = plain[-1]["item_id"]
    boosted = client.post(
        POST, json={"history": ["h"], "k": 8, "boost": [{"by": "multiply", "value": 1.5, "items": [last]}]}
    ).json()["items"]
    assert next(i["score"] for i in boosted if i["item_id"] == last) >= plain[-1]["score"]


@pytest.mark.parametrize(
    ("boost", "field"),
    [
        ({"by": "add", "value": 1}, "body.boost.0"),
        ({"by": "add", "value": 1, "items": ["a"], "where": DRAMA}, "body.boost.0"),
        ({"by": "multiply", "value": 0, "items": ["a"]}, "body.boost.0"),
        ({"by": "divide", "value": 1, "items": ["a"]}, "body.boost.0.by"),
        ({"by": "add", "value": 1, "where": {"op": "eq", "column": "no", "value": 1}}, "body.boost.0.where"),
    ],
)
def test_a_boost_that_breaks_its_contract_is_named(client: TestClient, boost: dict, field: str) -> None:
    found = check_problem(client.post(POST, json={"boost": [boost]}), 422, "invalid-request")
    assert found["errors"][0]["field"] == field


def test_diversity_needs_item_vectors_and_says_so(client: TestClient) -> None:
    body = client.post(POST, json={"history": ["a"], "k": 8, "diversity": 0.5}).json()
    assert "diversity_not_used" in codes(body)
    assert item_ids(body) == item_ids(client.post(POST, json={"history": ["a"], "k": 8}).json())


def test_explained_items_name_what_pushed_them_up_and_others_do_not(client: TestClient) -> None:
    explained = client.post(POST, json={"history": ["a", "g"], "k": 3, "explain": True}).json()["items"]
    assert {cause["item_id"] for item in explained for cause in item["because"]} <= {"a", "g"}
    assert explained[0]["because"][0]["effect"] > 0
    assert "because" not in client.post(POST, json={"history": ["a"], "k": 1}).json()["items"][0]


def test_metadata_is_taken_and_said_not_to_be_used(client: TestClient) -> None:
    body = client.post(POST, json={"history": ["a"], "k": 2, "metadata": {"country": "NZ", "age": 31}}).json()
    assert codes(body) == ["metadata_not_used"]
    check_problem(client.post(POST, json={"metadata": {"a": [1]}}), 422, "invalid-request")


def test_history_items_may_say_how_and_when(client: TestClient) -> None:
    said = [
        {"item_id": "a", "event_type": "purchase", "time": "2026-11-24T15:30:00Z", "weight": 2},
        {"item_id": "b", "time": "2026-11-24T14:30:00"},
    ]
    plain = client.post(POST, json={"history": ["a", "b"], "k": 3}).json()
    assert client.post(POST, json={"history": said, "k": 3}).json()["items"] == plain["items"]


def test_the_time_of_a_history_item_may_be_a_date_in_one_number(client: TestClient) -> None:
    asked = {
        "k": 1,
        "history": [{"item_id": "a", "time": "20240131"}, {"item_id": "b", "time": "2024-01-30T23:00:00Z"}],
    }
    assert client.post(POST, json=asked).status_code == 200
    assert [entry.time for entry in RecommendationRequest.model_validate(asked).history] == [
        datetime(2024, 1, 31), datetime(2024, 1, 30, 23, tzinfo=UTC),
    ]  # fmt: skip
    asked["history"][0]["time"] = 20240231
    check_problem(client.post(POST, json=asked), 422, "invalid-request")


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (["a", "b", "a"], {"b": 1.0, "a": 1.0}),
        (["a", "b", "c", "a", {"item_id": "b", "weight": 3}], {"c": 1.0, "a": 1.0, "b": 3.0}),
        (
            [{"item_id": item, "time": f"2026-11-{day}T00:00:00Z"} for item, day in (("a", 24), ("b", 22), ("a", 20))],
            {"b": 1.0, "a": 1.0},
        ),
        ([{"item_id": "a", "time": "2026-11-20T00:00:00Z"}, "b", "a"], {"b": 1.0, "a": 1.0}),
    ],
)
def test_the_last_place_of_a_repeated_item_counts(history: list, expected: dict[str, float]) -> None:
    found = to_request(RecommendationRequest.model_validate({"history": history})).query.history
    assert list(found.items()) == list(expected.items())


def test_what_is_sent_is_more_recent_than_what_is_stored(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """An explanation leaves out the end of the history."""
    monkeypatch.setattr("service.ranking.explanations.LONGEST", 1)
    send_to = {"k": 8, "explain": True}
    assert causes(client, {"history": ["a", "b", "c"], **send_to}) == {"c"}
    assert causes(client, {"history": ["a", "b", "c", "a"], **send_to}) == {"a"}
    stored = HISTORIES["u0"]
    assert causes(client, {"user_id": "u0", **send_to}) == {stored[-1]}
    assert causes(client, {"user_id": "u0", "history": [stored[0]], **send_to}) == {stored[0]}


def causes(client: TestClient, asked: dict) -> set[str]:
    items = client.post(POST, json=asked).json()["items"]
    return {cause["item_id"] for item in items for cause in item["because"]}


def test_pages_of_a_stored_user_go_on_with_the_history_that_they_began_with(
    client: TestClient, settings: Settings
) -> None:
    first = client.get("/v1/users/u0/recommendations?k=2").json()
    store = EventStore(settings.store_url)
    store.append([[Event("new", "u0", "h", None, 1.0, None)]], "clicks")
    second = client.get("/v1/users/u0/recommendations", params={"k": 8, "cursor": first["next_cursor"]}).json()
    assert sorted(item_ids(first) + item_ids(second)) == ["d", "e", "f", "g", "h"]
    assert (second["items"][0]["rank"], second["next_cursor"]) == (3, None)
    assert "h" not in item_ids(client.get("/v1/users/u0/recommendations?k=8").json())
    store.replace([[Event("other", "u0", "a", None, 1.0, None)]], "tiny")
    store.close()
    again = {"k": 2, "cursor": first["next_cursor"]}
    check_problem(client.get("/v1/users/u0/recommendations", params=again), 410, "cursor-expired")


def test_a_cursor_of_another_request_or_none_at_all_is_refused(client: TestClient) -> None:
    body = {"history": ["a"], "k": 2}
    cursor = client.post(POST, json=body).json()["next_cursor"]
    assert client.post(POST, json=body | {"cursor": cursor, "k": 3, "explain": True}).status_code == 200
    for other in ({"history": ["b"]}, {"exclude": ["b"]}, {"filter": DRAMA}, {"diversity": 0.1}, {"user_id": "u1"}):
        found = check_problem(client.post(POST, json=body | other | {"cursor": cursor}), 422, "invalid-request")
        assert found["errors"][0]["field"] == "body.cursor"
        assert "another request" in found["detail"]
    for damaged in (cursor[:-1], "x" + cursor[1:], "hello"):
        found = check_problem(client.post(POST, json=body | {"cursor": damaged}), 422, "invalid-request")
        assert "damaged" in found["detail"]


def test_a_cursor_of_a_model_that_is_no_longer_in_service_has_expired(
    client: TestClient, settings: Settings, tmp_path: Path
) -> None:
    cursor = client.post(POST, json={"k": 2}).json()["next_cursor"]
    other = settings.model_copy(update={"bundle": write_tiny_bundle(tmp_path / "other", "popularity")})
    with TestClient(create_app(other)) as replaced:
        found = check_problem(replaced.post(POST, json={"k": 2, "cursor": cursor}), 410, "cursor-expired")
    assert "another model" in found["detail"]


def test_many_requests_in_one_have_each_its_answer_or_problem(client: TestClient) -> None:
    asked = [
        {"history": ["a", "b"], "k": 3},
        {"k": 0},
        {"user_id": "u0", "k": 2},
        {"filter": {"op": "eq", "column": "no", "value": 1}},
        {"cursor": "hello"},
        "text",
        None,
        {"k": 1},
    ]
    body = client.post(f"{POST}:batch", json={"requests": asked}).json()
    results = body["results"]
    assert [result["status"] for result in results] == [200, 422, 200, 422, 422, 422, 422, 200]
    assert results[0]["answer"]["items"] == client.post(POST, json=asked[0]).json()["items"]
    assert results[1]["problem"]["errors"][0]["field"] == "body.k"
    assert "no column 'no'" in results[3]["problem"]["detail"]
    assert "problem" not in results[0]
    ids = [result["answer"]["request_id"] for result in results if "answer" in result]
    assert ids == [f"{body['request_id']}.0", body["request_id"], f"{body['request_id']}.7"]
    assert {result["problem"]["request_id"] for result in results if "problem" in result} == {body["request_id"]}


@pytest.mark.parametrize("requests", [[], [{}] * 257, {}])
def test_many_requests_are_at_least_one_and_at_most_256(client: TestClient, requests: object) -> None:
    check_problem(client.post(f"{POST}:batch", json={"requests": requests}), 422, "invalid-request")
    assert len(client.post(f"{POST}:batch", json={"requests": [{}] * 256}).json()["results"]) == 256


def test_overload_and_lateness_are_problems_that_say_when_to_come_back(bundle_path: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/e.db"
    with TestClient(create_app(Settings(bundle=bundle_path, store=url, max_queue=1))) as client:
        body = client.post(f"{POST}:batch", json={"requests": [{}] * 3}).json()
        assert [result["status"] for result in body["results"]] == [200, 503, 503]
        assert body["results"][1]["problem"]["type"] == "urn:recsys:problem:overloaded"
    with TestClient(create_app(Settings(bundle=bundle_path, store=url, deadline_ms=0.0001))) as client:
        response = client.post(POST, json={"k": 3})
        check_problem(response, 503, "deadline")
        assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"item_id": "a", "weight": 1e-50}, "weight"),
        ({"item_id": "a", "weight": 1e13}, "weight"),
        ({"item_id": "a", "time": "9999-12-31T23:59:59-14:00"}, "time"),
        ({"item_id": "a", "time": "0001-01-01T00:00:00"}, "time"),
    ],
)
def test_weights_and_times_of_a_history_that_mean_nothing_are_named(client: TestClient, item: dict, field: str) -> None:
    found = check_problem(client.post(POST, json={"history": [item]}), 422, "invalid-request")
    assert found["errors"][0]["field"].endswith(f".{field}")


def test_caps_count_items_by_value(client: TestClient) -> None:
    asked = {"k": 8, "at_most": [{"column": "genre", "n": 1}]}
    body = client.post(POST, json=asked).json()
    assert sorted(item_ids(body)) == ["a", "b"]
    assert "fewer_items_than_k" in codes(body)
    assert body["next_cursor"] is None
    many = client.post(f"{POST}:batch", json={"requests": [asked, {"at_most": [{"column": "no", "n": 1}]}]}).json()
    assert [one["status"] for one in many["results"]] == [200, 422]
    assert item_ids(many["results"][0]["answer"]) == item_ids(body)
    assert "body.at_most.0.column" in many["results"][1]["problem"]["detail"]


def test_quotas_and_calibration_make_another_list(client: TestClient) -> None:
    plain = client.post(POST, json={"history": ["a"], "k": 2}).json()
    asked = {"history": ["a"], "k": 2, "quotas": [{"n": 1, "items": ["h"]}], "calibration": {"column": "genre"}}
    body = client.post(POST, json=asked).json()
    assert "h" in item_ids(body)
    assert "h" not in item_ids(plain)
    assert not codes(body)
    refused = client.post(POST, json={"history": ["a"], "k": 2, "cursor": body["next_cursor"]})
    assert "another request" in check_problem(refused, 422, "invalid-request")["detail"]
    page = client.post(POST, json={**asked, "cursor": body["next_cursor"]}).json()
    assert not set(item_ids(page)) & set(item_ids(body))
    assert codes(page) == ["quota_not_met"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"at_most": [{"column": "genre", "n": 0}]}, "body.at_most.0.n"),
        ({"at_most": [{"column": "genre"}]}, "body.at_most.0.n"),
        ({"at_most": [{"column": "genre", "n": 1}] * 9}, "body.at_most"),
        ({"quotas": [{"n": 1, "group": "new"}] * 9}, "body.quotas"),
        ({"calibration": {"column": "genre", "strength": 2}}, "body.calibration.strength"),
        ({"calibration": {"column": "no"}}, "body.calibration.column"),
        ({"quotas": [{"n": 1, "where": {"op": "eq", "column": "no", "value": 1}}]}, "body.quotas.0.where"),
        ({"seen": "never"}, "body.seen"),
    ],
)
def test_caps_and_seen_that_break_their_contract_are_named(client: TestClient, body: dict, field: str) -> None:
    found = check_problem(client.post(POST, json=body), 422, "invalid-request")
    assert found["errors"][0]["field"] == field


def test_what_was_seen_comes_back_where_that_is_allowed(client: TestClient) -> None:
    asked = {"history": ["a", "b"], "k": 8, "seen": "allow"}
    assert sorted(item_ids(client.post(POST, json=asked).json())) == list("abcdefgh")
    found = item_ids(client.post(POST, json={**asked, "exclude": ["a", "h"]}).json())
    assert sorted(found) == list("bcdefg")


def test_unknown_items_of_a_stored_history_are_named_to_those_who_may_know_them(
    settings: Settings, chain: FallbackChain
) -> None:
    keys = {scope: new_key() for scope in ("recommend", "explain", "histories")}
    lines = ";".join(str(entry_of(key, scope, ["recommend", "events", scope])) for scope, key in keys.items())
    with TestClient(create_app(settings.model_copy(update={"keys": lines}), only(chain))) as client:
        for scope, key in keys.items():
            client.headers["Authorization"] = f"Bearer {key}"
            client.post("/v1/events", json={"events": [{"user_id": "u0", "item_id": "secret-item"}]})
            for answer in (
                client.post("/v1/recommendations", json={"user_id": "u0", "k": 3}),
                client.post("/v1/recommendations:batch", json={"requests": [{"user_id": "u0", "k": 3}]}),
                client.get("/v1/users/u0/rows"),
            ):
                assert "not in the catalogue and were left out" in answer.text, answer.text
                assert ("secret-item" in answer.text) == (scope != "recommend")
