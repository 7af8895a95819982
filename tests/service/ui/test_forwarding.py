"""Pages that another process makes: who comes in, what is refused and what is told is the same as in one process."""

import asyncio
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from recsys_vae.errors import ConfigError
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.http.frames import HEAD, read_scope, read_start, write_scope, write_start
from service.security.api_keys import SCOPES, entry_of, new_key
from service.security.bind_checks import made_safe
from service.security.login_attempts import MOST
from service.security.sessions import COOKIE, has_pages_apart, with_secret
from service.server.pages_server import listen_at, serve_until
from service.settings import Settings
from service.ui import forwarding
from service.ui.rendering import ASSETS
from tests.service.tiny import only
from tests.service.ui.logins import show_key, token_of

SECONDS = 20.0


@contextmanager
def made_apart(app: FastAPI, place: str) -> Iterator[None]:
    """Pages of an application, made at a socket by a thread that stands for another process."""
    begun = threading.Event()

    async def serve() -> None:
        loops.append((asyncio.get_running_loop(), stopped := asyncio.Event()))
        await serve_until(stopped, app, place, begun.set, 1.0)

    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert begun.wait(SECONDS)
        yield
    finally:
        loop, stopped = loops[0]
        loop.call_soon_threadsafe(stopped.set)
        thread.join(SECONDS)


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def keyed(settings: Settings, key: str) -> Settings:
    entry = str(entry_of(key, "product", list(SCOPES)))
    return with_secret(settings.model_copy(update={"keys": entry, "max_body_bytes": 2048}))


@pytest.fixture(params=["here", "apart"])
def client(
    request: pytest.FixtureRequest, keyed: Settings, chain: FallbackChain, tmp_path: Path
) -> Iterator[TestClient]:
    """Whoever asks for pages, made by the process that is asked or by another one."""
    if request.param == "here":
        with TestClient(create_app(keyed, only(chain))) as asked:
            yield asked
        return
    place = str(tmp_path / "ui")
    with made_apart(create_app(keyed, only(chain), only_pages=True), place):
        assert stat.S_IMODE(os.stat(place).st_mode) == 0o600
        with TestClient(create_app(keyed, only(chain), pages_at=place)) as asked:
            yield asked


def test_strangers_are_sent_to_the_login_and_a_session_opens_pages_alone(client: TestClient, key: str) -> None:
    sent = client.get("/ui/users/a%2Fb?k=3", follow_redirects=False)
    assert (sent.status_code, sent.headers["location"]) == (303, "/ui/login?next=/ui/users/a%252Fb%3Fk%3D3")
    answered = show_key(client, key)
    [cookie] = [one for one in answered.headers.get_list("set-cookie") if one.startswith(f"{COOKIE}=")]
    assert cookie.endswith("; Path=/ui; HttpOnly; SameSite=Strict")
    shown = client.get("/ui/items/a", headers={"X-Request-ID": "asked.1"})
    assert (shown.status_code, shown.headers["x-request-id"]) == (200, "asked.1")
    [policy] = shown.headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert shown.headers["cache-control"] == "no-store"
    assert client.get("/v1/bundle").status_code == 401
    assert client.get("/ui/nowhere").status_code == 404
    assert client.get("/v1/bundle", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_forms_need_their_token_their_site_and_an_end(client: TestClient, key: str) -> None:
    show_key(client, key)
    form = {"form_token": token_of(client, "/ui"), "do": "save", "name": "mine", "users": "u0"}

    def post(fields: dict[str, str], site: str = "same-origin") -> Response:
        return client.post("/ui/compare", data=fields, headers={"Sec-Fetch-Site": site}, follow_redirects=False)

    assert post(form | {"form_token": "0" * 64}).status_code == 403
    assert post(form, "cross-site").status_code == 403
    assert post(form | {"users": "u" * 4096}).status_code == 413
    assert post(form).status_code == 303


def test_wrong_keys_are_counted_by_the_address_that_they_came_from(client: TestClient, key: str) -> None:
    for _ in range(MOST):
        assert show_key(client, new_key()).status_code == 403
    assert show_key(client, key).status_code == 429


def test_what_a_page_changes_holds_for_the_api_at_once(client: TestClient, key: str) -> None:
    show_key(client, key)
    form = {"form_token": token_of(client, "/ui"), "hidden": "yes", "version": "0"}
    assert client.post("/ui/items/a/change", data=form, follow_redirects=False).status_code == 303
    asked = {"history": ["b"], "k": 5}
    found = client.post("/v1/recommendations", json=asked, headers={"Authorization": f"Bearer {key}"})
    assert "a" not in [one["item_id"] for one in found.json()["items"]]


@pytest.fixture
def alone(keyed: Settings, chain: FallbackChain, tmp_path: Path) -> Iterator[TestClient]:
    """Whoever asks for pages where the process that makes them is not there."""
    with TestClient(create_app(keyed, only(chain), pages_at=str(tmp_path / "ui"))) as asked:
        yield asked


def check_says_unavailable(client: TestClient) -> None:
    answer = client.get("/ui/users")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert "a process of their own" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_page_says_so_where_nobody_makes_it_and_the_api_goes_on(
    alone: TestClient, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_says_unavailable(alone)
    assert alone.get(ASSETS.address("base.css")).status_code == 200
    assert alone.get("/v1/bundle", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    with listen_at(str(tmp_path / "ui")) as left:  # it hangs
        left.listen()
        monkeypatch.setattr(forwarding, "PATIENCE_SECONDS", 0.05)
        check_says_unavailable(alone)
    check_says_unavailable(alone)  # it has left its socket


def test_one_that_dies_while_it_answers_is_no_page(alone: TestClient, tmp_path: Path) -> None:
    def die(listener: socket.socket) -> None:
        stream, _ = listener.accept()
        with stream:
            stream.recv(65536)

    with listen_at(str(tmp_path / "ui")) as listener:
        listener.listen()
        thread = threading.Thread(target=die, args=(listener,))
        thread.start()
        check_says_unavailable(alone)
        thread.join()


def test_heads_come_as_they_went_and_bring_no_state() -> None:
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "https", "path": "/ui/é", "root_path": "",
        "raw_path": b"/ui/%C3%A9", "query_string": b"a=\xff", "headers": [(b"cookie", b"x=\xfe"), (b"cookie", b"y")],
        "client": ("10.0.0.1", 5), "server": ("h", 80), "state": {"access": "all"},
    }  # fmt: skip
    found = read_scope(write_scope(scope))
    assert {name: found[name] for name in scope if name != "state"} == {k: v for k, v in scope.items() if k != "state"}
    assert "state" not in found
    start = {"type": "http.response.start", "status": 303, "headers": [(b"set-cookie", b"a"), (b"set-cookie", b"b")]}
    assert read_start(write_start(start)) == start
    assert HEAD == b"H"


@pytest.mark.parametrize(
    ("changed", "is_apart"),
    [
        ({}, False),
        ({"workers": 2}, True),
        ({"keys": str(entry_of(new_key(), "product", ["ui"]))}, True),
        ({"keys": str(entry_of(new_key(), "shop", ["recommend"]))}, False),
        ({"workers": 2, "ui_process": False}, False),
        ({"ui_process": True}, True),
        ({"ui_process": True, "ui": False}, False),
        ({"keys": str(entry_of(new_key(), "product", ["ui"])), "rate_limit": "5/minute"}, False),
    ],
)
def test_pages_have_a_process_of_their_own_where_answers_are_to_be_kept_from_waiting(
    settings: Settings, changed: dict[str, Any], is_apart: bool
) -> None:
    assert has_pages_apart(settings.model_copy(update=changed)) is is_apart


def test_a_process_that_would_count_requests_apart_is_refused(settings: Settings) -> None:
    chosen = settings.model_copy(update={"ui_process": True, "rate_limit": "5/minute"})
    with pytest.raises(ConfigError, match="--no-ui-process"):
        made_safe(chosen)
