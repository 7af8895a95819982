"""Two variants whose lists are interleaved, over HTTP: what is answered, in pages and batches, and what is recorded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from recsys_vae.errors import ConfigError
from service.app import create_app
from service.client.client import Client
from service.schemas.recommendations import RecommendationRequest, Recommendations
from service.settings import Settings, read_settings
from tests.service.places import Place
from tests.service.test_routes import check_problem, item_ids
from tests.service.tiny import HISTORIES, ITEMS, fill, write_tiny_bundle

POST = "/v1/recommendations"
HEADER = "X-Recsys-Variant"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for name, model in (("one", "ease"), ("two", "mult-vae"), ("three", "popularity")):
        write_tiny_bundle(folder / name, model)
    return folder


@pytest.fixture(params=["sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(f"sqlite:///{tmp_path / 'events.db'}")


@pytest.fixture
def settings(root: Path, place: Place) -> Settings:
    fill(place.url)
    variants = (f"a=1:{root / 'one'}", f"b=1:{root / 'two'}", f"c=0:{root / 'three'}")
    return Settings(variant=variants, interleave="a,b", bundle_root=root, store=place.url, poll_seconds=0.05)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def ask(client: TestClient, request_id: str = "r1", **asked: object) -> dict:
    response = client.post(POST, json=asked, headers={"X-Request-ID": request_id})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_list_is_drafted_from_both_and_again_in_the_same_way(client: TestClient) -> None:
    alone = {name: client.post(POST, json={"user_id": "u0", "k": 4}, headers={HEADER: name}).json() for name in "ab"}
    answer = ask(client, user_id="u0", k=4)
    assert answer["variant"] == "a+b"
    assert answer["model_version"] == "+".join(alone[name]["model_version"] for name in "ab")
    assert len(answer["items"]) == 4
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4]
    for item in answer["items"]:
        if item["variant"] is not None:
            assert item["item_id"] in item_ids(alone[item["variant"]])
    assert ask(client, user_id="u0", k=4) == answer
    orders = {tuple(item_ids(ask(client, f"r{number}", user_id="u0", k=4))) for number in range(30)}
    assert len(orders) > 1
    assert Recommendations.model_validate(answer).items[0].variant == answer["items"][0]["variant"]


@pytest.mark.parametrize("more", [
    {}, {"exclude": ["e"]}, {"candidates": ["d", "e", "g", "h"]}, {"diversity": 0.5}, {"metadata": {"age": 3}},
    {"filter": {"op": "eq", "column": "genre", "value": "comedy"}}, {"explain": True},
    {"boost": [{"by": "add", "value": 10, "items": ["h"]}]},
])  # fmt: skip
def test_what_is_allowed_comes_back_once_and_nothing_else(client: TestClient, more: dict) -> None:
    allowed = set(ITEMS) - {"a"} - set(more.get("exclude", ())) & set(more.get("candidates", ITEMS))
    if "candidates" in more:
        allowed = set(more["candidates"])
    if "filter" in more:
        allowed &= set("bdfh")
    answer = ask(client, history=["a"], k=20, **more)
    assert sorted(item_ids(answer)) == sorted(allowed)
    assert [warning["code"] for warning in answer["warnings"]].count("fewer_items_than_k") == 1
    assert answer["next_cursor"] is None
    two = ask(client, history=["a"], k=2, **more)
    assert len(set(item_ids(two))) == 2
    assert set(item_ids(two)) <= allowed
    assert all(("because" in item) == ("explain" in more) for item in answer["items"])


def test_pages_neither_repeat_nor_skip_an_item(client: TestClient) -> None:
    found, ranks, cursor = [], [], None
    for number in range(6):
        page = ask(client, f"r{number}", user_id="u0", k=1, **({"cursor": cursor} if cursor else {}))
        assert page["variant"] == "a+b"
        found += item_ids(page)
        ranks += [item["rank"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(found) == sorted(set(ITEMS) - set(HISTORIES["u0"]))
    assert ranks == list(range(1, 6))


def test_a_cursor_ends_with_the_interleaving_and_others_go_on(client: TestClient) -> None:
    drafted = ask(client, user_id="u0", k=1)["next_cursor"]
    single = client.post(POST, json={"user_id": "u0", "k": 1}, headers={HEADER: "a"}).json()["next_cursor"]
    assert ask(client, user_id="u0", k=1, cursor=single)["variant"] == "a"
    by_name = client.post(POST, json={"user_id": "u0", "k": 1, "cursor": drafted}, headers={HEADER: "a"}).json()
    assert by_name["variant"] == "a+b"  # pages go on with what they began with
    assert client.post("/v1/admin/reload", json={"source": "three", "variant": "b"}).json()["interleaved"] == ["a", "b"]
    again = {"user_id": "u0", "k": 1, "cursor": drafted}
    check_problem(client.post(POST, json=again), 410, "cursor-expired")
    assert client.post("/v1/admin/rollback").json()["interleaved"] == ["a", "b"]
    assert ask(client, user_id="u0", k=1, cursor=drafted)["variant"] == "a+b"


def test_batches_and_the_client_get_interleaved_lists(client: TestClient) -> None:
    requests = [{"user_id": "u0", "k": 3}, {"user_id": "u1", "k": 3}, {"k": 3}]
    body = client.post(f"{POST}:batch", json={"requests": requests}, headers={"X-Request-ID": "r1"}).json()
    assert [result["answer"]["variant"] for result in body["results"]] == ["a+b"] * 3
    again = ask(client, user_id="u0", k=3)  # computed in another batch, so the last bits of scores may differ
    first = body["results"][0]["answer"]
    assert [(one["item_id"], one["variant"]) for one in first["items"]] == [
        (one["item_id"], one["variant"]) for one in again["items"]
    ]
    assert client.get("/v1/users/u0/recommendations?k=3").json()["variant"] == "a+b"
    assert Client(http=client).recommend(RecommendationRequest(user_id="u0", k=3)).items[0].variant in ("a", "b", None)
    assert Client(http=client, variant="c").recommend(RecommendationRequest(user_id="u0")).variant == "c"


def test_the_record_says_who_put_each_item_there(client: TestClient) -> None:
    answer = ask(client, user_id="u0", k=4)
    [shown] = client.get("/v1/users/u0").json()["shown"]
    assert (shown["variant"], shown["is_dealt"], shown["items"]) == ("a+b", True, item_ids(answer))
    assert shown["teams"] == [item["variant"] for item in answer["items"]]
    assert 'recsys_variant_answers_total{variant="a+b"' in client.get("/metrics").text


def test_a_filter_that_one_bundle_does_not_know_is_refused_and_an_unknown_user_answered(client: TestClient) -> None:
    asked = {"filter": {"op": "eq", "column": "colour", "value": "red"}}
    check_problem(client.post(POST, json=asked), 422, "invalid-request")
    assert [one["code"] for one in ask(client, user_id="nobody", k=2)["warnings"]].count("unknown_user") == 1


def test_who_follows_interleaves_too(client: TestClient, settings: Settings) -> None:
    follower = Settings(follow=True, store=settings.store_url)
    with TestClient(create_app(follower)) as other:
        assert ask(other, user_id="u0", k=4) == ask(client, user_id="u0", k=4)


@pytest.mark.parametrize(("more", "said"), [
    ({"interleave": "a,d"}, "the variants named are: a, b"), ({"interleave": "a"}, "names two"),
    ({"interleave": "a,a"}, "names two"), ({"interleave": "a,b", "exposures": "off"}, "exposures off"),
    ({"interleave": "a,b", "variant": ["a=0:x", "b=0:y", "c=1:z"]}, "weight 0"),
])  # fmt: skip
def test_what_cannot_be_interleaved_is_refused(more: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_settings(**{"variant": ["a=1:x", "b=1:y"], **more})


def test_what_is_changed_about_items_holds_for_both_sides(client: TestClient) -> None:
    changes = [{"item_id": "e", "hidden": True}, {"item_id": "d", "fields": {"genre": "western", "price": 2}}]
    assert client.post("/v1/items", json={"items": changes}).json()["accepted"] == 2
    answer = ask(client, user_id="u0", k=20, fields=["genre", "price"])
    assert sorted(item_ids(answer)) == list("dfgh")
    told = {item["item_id"]: item["fields"] for item in answer["items"]}
    assert told["d"] == {"genre": "western", "price": 2}
    assert told["g"] == {"genre": "drama", "price": None}
    western = {"op": "eq", "column": "genre", "value": "western"}
    assert item_ids(ask(client, user_id="u0", k=2, filter=western)) == ["d"]
    boosted = ask(client, user_id="u0", k=1, boost=[{"by": "add", "value": 1e6, "where": western}])
    assert item_ids(boosted) == ["d"]
    problem = client.post(POST, json={"user_id": "u0", "fields": ["brand"]})
    check_problem(problem, 422, "invalid-request")


@pytest.mark.parametrize("k", [1, 2, 3])
def test_pages_hold_items_that_neither_model_knows_once(settings: Settings, k: int) -> None:
    new = [{"item_id": f"n{number}", "fields": {"genre": "drama"}} for number in range(5)]
    with TestClient(create_app(settings.model_copy(update={"explore_share": 0.4}))) as client:
        client.post("/v1/items", json={"items": new})
        items, cursor = [], None
        for number in range(20):
            page = ask(
                client, f"r{number}", user_id="u0", k=k, fields=["genre"], **({"cursor": cursor} if cursor else {})
            )
            assert page["variant"] == "a+b"
            items, cursor = items + page["items"], page["next_cursor"]
            assert len(page["items"]) == k or cursor is None
            if cursor is None:
                break
        assert [item["rank"] for item in items] == list(range(1, 11))
        assert sorted(item["item_id"] for item in items) == sorted([*"defgh", *(one["item_id"] for one in new)])
        assert sum(item["source"] == "explore" for item in items) == 5
        assert {item["fields"]["genre"] for item in items if item["source"] == "explore"} == {"drama"}
