"""What all pages have in common: headers, tokens, scopes, errors as pages, what is shipped."""

import re

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from service.security.authorization import is_open, scopes_of
from service.security.same_origin import CHANGING
from service.security.sessions import is_page
from service.ui.navigation import ENTRIES
from service.ui.rendering import FOLDER, POLICY
from tests.service.ui.logins import LogIn, token_of

INLINE = re.compile(r"<script(?![^>]*\bsrc=)|\bstyle=|\son[a-z]+=|javascript:|<style", re.IGNORECASE)


def test_every_page_has_the_headers_and_nothing_inline(client: TestClient) -> None:
    addresses = [
        "/ui",
        *(entry.address for entry in ENTRIES),
        "/ui/users/u0",
        "/ui/users/u0?add=h&drop=a&item=a",
        "/ui/nowhere",
    ]
    for address in addresses:
        response = client.get(address)
        assert response.headers.get_list("content-security-policy") == [POLICY], address
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "same-origin"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert INLINE.search(response.text) is None, address
        assert response.text.count("<h1") == response.text.count('id="main"') == 1, address
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', response.text), address
    assert "unsafe" not in POLICY


def test_what_pages_load_is_shipped_and_kept_for_good(client: TestClient) -> None:
    found = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', client.get("/ui").text)
    assert sorted(address.rsplit("/", 1)[1] for address in found) == ["app.css", "app.js", "base.css", "htmx.min.js"]
    for address in found:
        asset = client.get(address)
        assert (asset.status_code, asset.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert "Zero-Clause BSD" in (FOLDER / "static" / "htmx.LICENSE").read_text()


def test_every_page_names_the_scope_and_every_change_asks_for_the_token(client: TestClient) -> None:
    pages = [(path, scope) for path, scope in scopes_of(client.app) if is_page(path) and not is_open(path)]
    assert {scope for _, scope in pages} == {"ui"}
    changing = [
        (method, re.sub(r"\{[^}]*\}", "x", str(context.path)))
        for context in iter_route_contexts(client.app.routes)
        for method in sorted((context.methods or set()) & CHANGING)
        if is_page(str(context.path))
    ]
    assert ("POST", "/ui/logout") in changing
    client.get("/ui")
    for method, address in changing:
        for fields in ({}, {"form_token": "0" * 64}, {"form_token": "ü"}):
            assert client.request(method, address, data=fields).status_code == 403, address


def test_the_token_of_another_session_is_refused(log_in: LogIn) -> None:
    mine, other = log_in("ui"), log_in("ui")
    refused = mine.post("/ui/logout", data={"form_token": token_of(other, "/ui")})
    assert (refused.status_code, "not of this session" in refused.text) == (403, True)
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert mine.post("/ui/logout", data={"form_token": token_of(mine, "/ui")}, headers=elsewhere).status_code == 403


def test_pages_are_in_no_document_and_metrics_know_them_by_their_templates(client: TestClient) -> None:
    client.get("/ui/users/somebody")
    client.get("/ui/nowhere/at-all")
    assert not [path for path in client.get("/openapi.json").json()["paths"] if path.startswith("/ui")]
    metrics = client.get("/metrics").text
    assert 'route="/ui/users/{user_id}"' in metrics or 'route="/ui/users/{user_id:recsys_id}"' in metrics
    assert "somebody" not in metrics
    assert "at-all" not in metrics


@pytest.mark.parametrize("scopes", [["ui"], ["ui", "recommend"]])
def test_errors_are_pages(log_in: LogIn, scopes: list[str]) -> None:
    client = log_in(*scopes)
    missing = client.get("/ui/nowhere")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert missing.headers["x-request-id"] in missing.text
    assert client.get("/ui/users/" + "x" * 513).status_code == 422
    assert (
        client.post(
            "/ui/login", content=b"\xff", headers={"content-type": "application/x-www-form-urlencoded"}
        ).status_code
        == 400
    )


def test_a_defect_is_a_page_that_says_nothing_of_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ranking.engine.answer_all", lambda *_: 1 / 0)
    response = client.get("/ui/users/u0")
    assert response.status_code == 500
    assert "ZeroDivisionError" not in response.text
