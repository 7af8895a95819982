"""/ui/replay: the answer of the API as a page, for keys with both scopes; what is no list is said."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.ui.logins import LogIn


@pytest.fixture
def shown(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings.model_copy(update={"exposures": "on"}))) as client:
        client.post("/v1/recommendations", json={"user_id": "u0", "k": 3}, headers={"X-Request-ID": "r.1"})
        yield client


def test_it_says_that_a_list_is_identical_with_both_beside_each_other(shown: TestClient) -> None:
    text = shown.get("/ui/replay?request_id=r.1").text
    assert "Identical in 3 places." in text
    assert "differs" not in text
    assert shown.get("/ui/replay?request_id=r.1&user_id=u1").text.count("No list is kept of request") == 1


def test_what_is_typed_is_text(shown: TestClient) -> None:
    text = shown.get("/ui/replay", params={"request_id": "<script>alert(1)</script>"}).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("scopes", [("ui",), ("ui", "admin"), ("ui", "histories")])
def test_it_takes_both_scopes(log_in: LogIn, scopes: tuple[str, ...]) -> None:
    text = log_in(*scopes).get("/ui/replay?request_id=r.1").text
    assert "which this key lacks" in text
    assert "No list is kept" not in text
