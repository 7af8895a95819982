"""Bodies that cannot be read, and those of the fast path and of the plain one: one meaning, told alike."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.app import create_app
from service.settings import Settings
from tests.service.test_routes import check_problem
from tests.service.tiny import fill

POST = "/v1/recommendations"
FAST, PLAIN = "application/json", "application/x+json"
UNREADABLE = [
    (b'{"k": 1', "Expecting"),
    (b"\xff\xfe{", "UTF-8"),
    (b'{"user_id": "\xff"}', "UTF-8"),
    (b"[" * 100_000, "too deep"),
    (b'{"metadata": ' * 50_000 + b"1" + b"}" * 50_000, "too deep"),
    (b'{"k": ' + b"9" * 5000 + b"}", "4300 digits"),
]


ADDRESSES = (POST, f"{POST}:batch", "/v1/events", "/v1/admin/reload")


@pytest.fixture(scope="module")
def client(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One for all of them: nothing here changes what is answered."""
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'events.db'}"
    fill(store)
    with TestClient(create_app(Settings(bundle=bundle_path, store=store))) as client:
        yield client


@pytest.mark.parametrize("kind", [FAST, PLAIN])
@pytest.mark.parametrize(("content", "words"), UNREADABLE)
def test_what_cannot_be_read_is_told_as_documented_everywhere(
    client: TestClient, content: bytes, words: str, kind: str
) -> None:
    for address in ADDRESSES:
        response = client.post(address, content=content, headers={"Content-Type": kind})
        problem = check_problem(response, 400, "not-json")
        assert problem["detail"].startswith("The body is not JSON")
        assert words in problem["detail"]


def test_no_body_is_a_missing_one_where_one_is_needed(client: TestClient) -> None:
    for kind in (FAST, PLAIN):
        found = [client.post(address, content=b"", headers={"Content-Type": kind}) for address in ADDRESSES]
        assert [response.status_code for response in found] == [422, 422, 422, 200]


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "k": st.one_of(st.integers(-1, 9), st.integers(), st.floats(), st.sampled_from(["3", "x", "", None, [], True])),
        "user_id": st.one_of(st.sampled_from(["u0", "nobody", ""]), st.text(max_size=3), st.integers(), st.none()),
        "history": st.one_of(
            st.lists(st.one_of(st.sampled_from("abx"), st.integers(), st.fixed_dictionaries(
                {"item_id": st.sampled_from(["a", "", 7])},
                optional={"weight": st.floats(), "time": st.sampled_from(["2026-01-01", "x", "20240131", 1, 20240131])},
            )), max_size=3),
            st.none(), st.text(max_size=2),
        ),
        "exclude": st.one_of(st.lists(st.sampled_from("abx"), max_size=3), st.none()),
        "candidates": st.one_of(st.lists(st.sampled_from("abx"), max_size=3), st.none()),
        "diversity": st.one_of(st.floats(), st.sampled_from(["0.5", True, 1])),
        "explain": st.sampled_from([True, False, "yes", 1, 0, 2, None, "x"]),
        "metadata": st.dictionaries(st.text(max_size=2), st.one_of(st.integers(), st.text(max_size=2), st.floats())),
        "filter": st.one_of(st.none(), st.sampled_from([
            {"op": "eq", "column": "genre", "value": "drama"}, {"op": "eq", "column": "genre", "value": 1},
            {"op": "not", "of": {"op": "in", "column": "year", "values": [1990, 2.5]}}, {"op": "range"}, {}, 1,
        ])),
        "boost": st.one_of(st.none(), st.sampled_from([[{"by": "add", "value": 1, "items": ["a"]}], [{}], "x"])),
        "cursor": st.sampled_from(["", "hello", None, 1]),
        "more": st.none(),
    },
)  # fmt: skip


def told(client: TestClient, address: str, body: object, kind: str) -> tuple[int, Any, set[str]]:
    """Status, answer and headers, without what is each request's own."""
    headers = {"Content-Type": kind, "X-Request-ID": "same"}
    response = client.post(address, content=json.dumps(body).encode(), headers=headers)
    return response.status_code, response.json(), {name for name in response.headers if name != "content-length"}


@hypothesis_settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
@given(FIELDS)
def test_the_fast_path_answers_just_like_the_plain_one(client: TestClient, body: dict) -> None:
    assert told(client, POST, body, FAST) == told(client, POST, body, PLAIN)
    many = {"requests": [body, {"k": 1}]}
    assert told(client, f"{POST}:batch", many, FAST) == told(client, f"{POST}:batch", many, PLAIN)


@pytest.mark.parametrize(
    "body", [None, 1, "x", [], {}, {"requests": 1}, {"requests": []}, {"requests": [1, None, "x", []]}]
)
def test_bodies_of_another_shape_too(client: TestClient, body: object) -> None:
    for address in (POST, f"{POST}:batch"):
        assert told(client, address, body, FAST) == told(client, address, body, PLAIN)
