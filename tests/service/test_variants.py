"""Several bundles at once: each user one of them, every answer says which, and what was shown is on record."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from recsys_vae.bundles.manifest import read_manifest
from service.app import create_app
from service.client.client import Client
from service.experiments.ab_test import Choice, count
from service.schemas.recommendations import RecommendationRequest
from service.settings import Settings
from service.store.events import EventStore
from tests.service.places import Place
from tests.service.test_routes import check_problem, item_ids
from tests.service.tiny import fill, write_tiny_bundle

POST = "/v1/recommendations"
HEADER = "X-Recsys-Variant"
USERS = [f"u{number}" for number in range(60)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, model in (("one", "ease"), ("two", "popularity"), ("three", "mult-vae")):
        write_tiny_bundle(tmp_path / "bundles" / name, model)
    return tmp_path / "bundles"


@pytest.fixture
def settings(root: Path, place: Place) -> Settings:
    fill(place.url)
    return Settings(
        variant=(f"a=2:{root / 'one'}", f"b=1:{root / 'two'}"), bundle_root=root, store=place.url, poll_seconds=0.05
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def ask(client: TestClient, user_id: str, variant: str | None = None, **more: object) -> dict:
    headers = {} if variant is None else {HEADER: variant}
    response = client.post(POST, json={"user_id": user_id, "k": 2, **more}, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def held(client: TestClient, user_id: str) -> dict:
    return client.get(f"/v1/users/{user_id}").json()


def test_users_are_dealt_by_weight_and_stay_where_they_are(client: TestClient, settings: Settings, root: Path) -> None:
    assigned = {user: ask(client, user)["variant"] for user in USERS}
    counts = Counter(assigned.values())
    assert counts["a"] > counts["b"] > 0
    versions = {"a": read_manifest(root / "one").version, "b": read_manifest(root / "two").version}
    with TestClient(create_app(settings)) as other:
        for user in USERS:
            answer = other.get(f"/v1/users/{user}/recommendations?k=2").json()
            assert (answer["variant"], answer["model_version"]) == (assigned[user], versions[assigned[user]])


def test_the_header_chooses_a_variant_and_an_unknown_one_is_refused(client: TestClient) -> None:
    for variant in "ab":
        assert {ask(client, user, variant)["variant"] for user in USERS[:9]} == {variant}
        for address in ("/v1/bundle", "/v1/items/a/similar", "/v1/users/u0/recommendations"):
            assert client.get(address, headers={HEADER: variant}).json()["variant"] == variant
    assert client.get("/v1/bundle").json()["variant"] == client.get("/v1/items/a/similar").json()["variant"] == "a"
    for response in (
        client.post(POST, json={}, headers={HEADER: "c"}),
        client.post(f"{POST}:batch", json={"requests": [{}]}, headers={HEADER: "c"}),
        client.get("/v1/bundle", headers={HEADER: "c"}),
        client.get("/v1/items/a/similar", headers={HEADER: ""}),
    ):
        found = check_problem(response, 422, "invalid-request")
        assert found["errors"][0]["field"] == "header.x-recsys-variant"
    assert "there are: a, b" in client.get("/v1/bundle", headers={HEADER: "c"}).json()["detail"]


def test_each_of_many_requests_is_dealt_by_its_own_user(client: TestClient) -> None:
    asked = [{"user_id": user, "k": 1} for user in USERS] + [{"k": 1}] * 60
    body = client.post(f"{POST}:batch", json={"requests": asked}).json()
    found = [result["answer"]["variant"] for result in body["results"]]
    assert found[:60] == [ask(client, user)["variant"] for user in USERS]
    assert set(found[60:]) == {"a", "b"}  # nobody in particular: each by itself


@pytest.mark.parametrize("name", ["mine", "x" * 128])
def test_a_click_on_a_list_of_an_anonymous_batch_is_credited_to_its_variant_alone(
    client: TestClient, settings: Settings, name: str
) -> None:
    asked = {"requests": [{"k": 8}] * 40}
    body = client.post(f"{POST}:batch", json=asked, headers={"X-Request-ID": name}).json()
    again = client.post(f"{POST}:batch", json=asked, headers={"X-Request-ID": name}).json()
    assert body["request_id"] == name
    answers = [result["answer"] for result in body["results"]]
    ids = [answer["request_id"] for answer in answers]
    assert len(set(ids)) == 40
    assert ids == [result["answer"]["request_id"] for result in again["results"]]
    clicked = next(answer for answer in answers if answer["variant"] == "b")
    click = {"user_id": "eve", "item_id": item_ids(clicked)[0], "request_id": clicked["request_id"]}
    assert client.post("/v1/events", json={"events": [click]}).json()["accepted"] == 1
    held(client, "eve")  # what was shown is written by then
    with closing(EventStore(settings.store_url)) as store:
        tallies, in_several = count(store.database, Choice())
    assert in_several == 0
    assert {variant: tally.clicked.sum() for variant, tally in tallies.items()} == {"a": 0, "b": 1}
    assert sum(tally.shown.sum() for tally in tallies.values()) == 40


def test_a_cursor_goes_on_with_the_variant_that_began(client: TestClient) -> None:
    other = {"a": "b", "b": "a"}[ask(client, "u0")["variant"]]
    first = ask(client, "u0", other)
    rest = ask(client, "u0", cursor=first["next_cursor"])
    assert (rest["variant"], rest["model_version"]) == (other, first["model_version"])
    assert not set(item_ids(first)) & set(item_ids(rest))
    assert client.post("/v1/admin/reload", json={"source": "three", "variant": other}).json()["changed"]
    again = {"user_id": "u0", "k": 2, "cursor": first["next_cursor"]}
    check_problem(client.post(POST, json=again), 410, "cursor-expired")


def test_one_variant_is_swapped_and_the_other_stays(client: TestClient, root: Path) -> None:
    before = ask(client, "u0", "a")
    found = check_problem(client.post("/v1/admin/reload", json={"source": "three"}), 422, "invalid-request")
    assert "several variants" in found["detail"]
    shares = client.post("/v1/admin/reload", json={"source": "three", "variant": "b"}).json()["variants"]
    assert [(one["name"], round(one["share"], 3), one["model"]) for one in shares] == [
        ("a", 0.667, "ease"),
        ("b", 0.333, "mult-vae"),
    ]
    assert ask(client, "u0", "a")["model_version"] == before["model_version"]
    assert client.post("/v1/admin/reload", json={"variant": "b"}).json()["variants"][1]["model"] == "popularity"


def test_what_was_shown_is_held_shown_and_erased(client: TestClient, settings: Settings) -> None:
    assigned, chosen = ask(client, "u0"), ask(client, "u0", "b")
    client.post(POST, json={"history": ["a"]})
    body = held(client, "u0")
    assert (body["exposures"], body["next_shown_before"]) == (2, None)
    newest, older = body["shown"]
    assert (newest["request_id"], newest["variant"], newest["is_dealt"]) == (chosen["request_id"], "b", False)
    assert [older[name] for name in ("request_id", "variant", "model_version", "is_dealt", "items")] == [
        assigned["request_id"], assigned["variant"], assigned["model_version"], True, item_ids(assigned),
    ]  # fmt: skip
    page = client.get("/v1/users/u0?limit=1").json()
    assert page["shown"] == [newest]
    assert client.get(f"/v1/users/u0?shown_before={page['next_shown_before']}").json()["shown"] == [older]
    ask(client, "u0")  # still waits to be written
    assert client.delete("/v1/users/u0").json()["erased_exposures"] == 3
    assert (held(client, "u0")["exposures"], held(client, "u0")["shown"]) == (0, [])


def test_a_list_that_another_replica_has_still_to_write_does_not_bring_an_erased_user_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.impression_writer.INTERVAL_SECONDS", 60)
    with TestClient(create_app(settings)) as one:
        with TestClient(create_app(settings)) as other:
            ask(other, "ann")
            ask(other, "bob")
            one.delete("/v1/users/ann")
        assert (held(one, "ann")["exposures"], held(one, "bob")["exposures"]) == (0, 1)


def test_what_waits_is_written_when_the_service_stops(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.impression_writer.INTERVAL_SECONDS", 60)
    with TestClient(create_app(settings)) as client:
        ask(client, "ann")
    with closing(Place(settings.store_url).open()) as store:
        from service.store.impressions import ImpressionTable

        assert ImpressionTable(store.database).count("ann") == 1


@pytest.mark.parametrize(("setting", "lists"), [("auto", 0), ("on", 1), ("off", 0)])
@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_one_bundle_is_an_experiment_only_when_asked(settings: Settings, root: Path, setting: str, lists: int) -> None:
    single = settings.model_copy(update={"variant": (), "bundle": root / "one", "exposures": setting})
    with TestClient(create_app(single)) as client:
        assert ask(client, "ann")["variant"] == "main"
        assert held(client, "ann")["exposures"] == lists


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_answers_and_exposures_are_counted_by_variant(client: TestClient, root: Path) -> None:
    for _ in range(3):
        ask(client, "u0", "b")
    held(client, "u0")
    lines = client.get("/metrics").text
    version = read_manifest(root / "two").version
    assert f'recsys_variant_answers_total{{variant="b",version="{version}"}} 3.0' in lines
    assert 'recsys_exposures_total{result="written"} 3.0' in lines
    assert f'recsys_deployment{{variant="b",version="{version}"}} 0.333' in lines


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_the_client_asks_for_a_variant(client: TestClient) -> None:
    for variant in "ab":
        service = Client(http=client, variant=variant)
        assert service.recommend(RecommendationRequest(user_id="u0", k=1)).variant == variant
        assert service.bundle().variant == variant


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_pages_of_other_origins_may_send_the_header(settings: Settings) -> None:
    allowed = settings.model_copy(update={"cors_origins": ("https://shop.example",)})
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": HEADER}  # fmt: skip
    with TestClient(create_app(allowed)) as client:
        response = client.options(POST, headers=asked)
    assert response.status_code == 200
    assert HEADER.lower() in response.headers["access-control-allow-headers"].lower()
