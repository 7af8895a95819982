"""Ids are carried as they are through every door: events, bodies, addresses and the client; or refused alike at all."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys_vae.errors import ConfigError
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.client.client import Client
from service.http.addresses import IdConvertor, path_of
from service.schemas.common import MAX_ID_LENGTH
from service.schemas.events import NewEvent
from service.schemas.recommendations import RecommendationRequest
from service.settings import Settings
from tests.service.test_routes import check_problem
from tests.service.tiny import only

IDS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=MAX_ID_LENGTH)
ODD = (
    "u/recommendations", "u", "/", "//", ".", "..", "../..", "%", "%2F", "%252F", "%25", "a%ff", "?", "a?k=1", "#",
    "a#b", "a\n", "\n", "\r\n", " ", "+", ";", ":", "@", "é", "e\u0301", "\ufffd", "🦎", "\u202e", "\\", '"',
    "recommendations", "{user_id}",    "x" * MAX_ID_LENGTH, "🦎" * MAX_ID_LENGTH,
)  # fmt: skip


@pytest.fixture(scope="module")
def service(chain: FallbackChain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The client, on the application, on a store of its own."""
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'events.db'}"
    with TestClient(create_app(Settings(store=store), only(chain))) as http:
        yield Client(http=http)


def check_it_is_carried(service: Client, user_id: str) -> None:
    assert service.show_user(user_id).events == 0
    service.send_events([NewEvent(user_id=user_id, item_id="a"), NewEvent(user_id=user_id, item_id=user_id)])
    shown = service.show_user(user_id)
    assert (shown.user_id, [event.item_id for event in shown.history]) == (user_id, [user_id, "a"])
    by_address = service.recommend_to_user(user_id, 2)
    by_body = service.recommend(RecommendationRequest(user_id=user_id, k=2))
    assert by_address.items == by_body.items
    assert by_address.tier == "history"
    erased = service.erase_user(user_id)
    assert (erased.user_id, erased.erased) == (user_id, 2)
    assert service.show_user(user_id).events == 0


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(IDS)
def test_any_id_goes_through_every_door_and_comes_back(service: Client, user_id: str) -> None:
    check_it_is_carried(service, user_id)


@pytest.mark.parametrize("user_id", ODD)
def test_ids_that_look_like_something_else_do_too(service: Client, user_id: str) -> None:
    check_it_is_carried(service, user_id)


def test_no_two_of_them_are_one_user(service: Client) -> None:
    service.send_events([NewEvent(user_id=user_id, item_id="a") for user_id in ODD])
    assert [service.erase_user(user_id).erased for user_id in ODD] == [1] * len(ODD)


@given(IDS, IDS)
@example("%2F", "/")
def test_the_path_tells_ids_apart_and_gives_each_back(one: str, other: str) -> None:
    convertor = IdConvertor()
    assert convertor.convert(convertor.to_string(one)) == one
    assert (convertor.to_string(one) == convertor.to_string(other)) == (one == other)
    assert "/" not in convertor.to_string(one)


@pytest.mark.parametrize("user_id", ["", "a\x00b", "x" * (MAX_ID_LENGTH + 1), "\ud800"])
def test_what_is_no_id_is_refused_at_every_door(service: Client, user_id: str) -> None:
    for ask in (service.recommend_to_user, service.show_user, service.erase_user, service.similar):
        with pytest.raises(ConfigError, match=r"is no id: (String|Input) should"):
            ask(user_id)
    with pytest.raises(ValidationError):
        RecommendationRequest(user_id=user_id)
    with pytest.raises(ValidationError):
        NewEvent(user_id=user_id, item_id="a")


@pytest.mark.parametrize("segment", ["%ff", "%fe", "%ed%a0%80", "%c3", "%", "%2", "%zz", "a%"])
def test_an_address_that_is_no_text_is_nobodys(client: TestClient, segment: str) -> None:
    for address in ("/v1/users/{}", "/v1/users/{}/recommendations", "/v1/items/{}/similar", "/{}"):
        for method in ("GET", "DELETE"):
            raw = address.format(segment).encode()
            request = client.build_request(method, "/")
            request.url = request.url.copy_with(raw_path=raw)
            assert request.url.raw_path == raw
            assert "UTF-8" in check_problem(client.send(request), 400, "bad-address")["detail"]


@pytest.mark.parametrize("user_id", ["", "%00", "x" * (MAX_ID_LENGTH + 1)])
def test_an_address_without_an_id_is_refused(client: TestClient, user_id: str) -> None:
    for address in (f"/v1/users/{user_id}", f"/v1/users/{user_id}/recommendations", f"/v1/items/{user_id}/similar"):
        check_problem(client.get(address), 422, "invalid-request")


def test_a_slash_that_is_not_encoded_parts_the_address(client: TestClient) -> None:
    for address in (
        "/v1/users/a/b",
        "/v1/users/a/",
        "/v1/users/a/b/recommendations",
        "/v1/items/a/b/similar",
        "/v1/bundle/",
    ):
        check_problem(client.get(address), 404, "not-found")
        check_problem(client.delete(address), 404, "not-found")


def test_a_server_that_hands_over_no_raw_path_is_served_too() -> None:
    assert path_of({"path": "/v1/users/a%b"}) == "/v1/users/a%25b"
    assert path_of({"path": "/v1/users/x", "raw_path": b"/v1/users/%2F%25"}) == "/v1/users/%2F%25"
