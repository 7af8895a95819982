"""Who comes in, by which cookie, and for how long."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.security.api_keys import entry_of, new_key
from service.security.login_attempts import MOST, WINDOW_SECONDS, LoginAttempts
from service.security.sessions import COOKIE, LOGIN_COOKIE, SECONDS, Sessions, with_secret
from service.settings import Settings
from service.store.database import Database
from service.store.logins import LoginTable
from service.ui.pages.login import own
from tests.service.places import Place
from tests.service.tiny import only
from tests.service.ui.logins import LogIn, show_key, token_of

SECRET = "s" * 32


@pytest.fixture
def keyed(settings: Settings, tmp_path: Path) -> tuple[Settings, Path, str]:
    """Settings with a file of two keys, and the key that opens the pages."""
    key, path = new_key(), tmp_path / "keys"
    lines = [entry_of(key, "product", ["ui", "recommend"]), entry_of(new_key(), "shop", ["recommend"])]
    path.write_text("\n".join(map(str, lines)))
    return settings.model_copy(update={"keys_file": path}), path, key


def test_a_browser_without_a_session_is_sent_to_the_login_and_back(keyed: tuple, chain: FallbackChain) -> None:
    chosen, _, key = keyed
    with TestClient(create_app(chosen, only(chain))) as client:
        sent = client.get("/ui/users/a%2Fb?k=3", follow_redirects=False)
        assert (sent.status_code, sent.headers["location"]) == (303, "/ui/login?next=/ui/users/a%252Fb%3Fk%3D3")
        assert 'value="/ui/users/a%2Fb?k=3"' in client.get(sent.headers["location"]).text
        assert client.post("/ui/logout", follow_redirects=False).headers["location"] == "/ui/login"
        part = client.get("/ui/users", headers={"HX-Request": "true"}, follow_redirects=False)
        assert (part.status_code, part.headers["hx-redirect"]) == (401, "/ui/login")
        back = show_key(client, key, "/ui/users/a%2Fb?k=3")
        assert (back.status_code, back.headers["location"]) == (303, "/ui/users/a%2Fb?k=3")
        assert client.get("/ui/users/a%2Fb?k=3").status_code == 200


def test_the_cookie_is_for_pages_alone_and_never_holds_the_key(keyed: tuple, chain: FallbackChain) -> None:
    chosen, _, key = keyed
    with TestClient(create_app(chosen, only(chain))) as client:
        cookie = next(one for one in show_key(client, key).headers.get_list("set-cookie") if one.startswith(COOKIE))
        assert cookie.endswith(f"; Max-Age={SECONDS}; Path=/ui; HttpOnly; SameSite=Strict")
        assert key not in cookie
        assert client.get("/v1/bundle").status_code == 401
        held = client.cookies.get(COOKIE)
        assert client.get("/v1/bundle", headers={"Cookie": f"{COOKIE}={held}"}).status_code == 401
        assert (
            client.get(
                "/ui", headers={"Authorization": f"Bearer {key}", "Cookie": ""}, follow_redirects=False
            ).status_code
            == 303
        )


@pytest.mark.parametrize("changed", [{"ui_https": True}, {}], ids=["by the setting", "by the scheme"])
def test_the_cookie_is_secure_where_browsers_come_by_https(keyed: tuple, chain: FallbackChain, changed: dict) -> None:
    chosen, _, key = keyed
    app = create_app(chosen.model_copy(update=changed), only(chain))
    with TestClient(app, base_url="https://testserver") as client:
        assert all(one.endswith("; Secure") for one in show_key(client, key).headers.get_list("set-cookie"))


def test_a_session_ends_when_its_key_is_gone(
    keyed: tuple, chain: FallbackChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, path, key = keyed
    monkeypatch.setattr("service.security.api_keys.LOOK_AGAIN_SECONDS", 0.0)
    with TestClient(create_app(chosen, only(chain))) as client:
        show_key(client, key)
        assert client.get("/ui", follow_redirects=False).status_code == 200
        path.write_text(path.read_text().splitlines()[1])
        client.get("/v1/bundle")  # looks at the file again
        assert client.get("/ui", follow_redirects=False).status_code == 303


def test_logging_out_ends_the_session_for_a_copy_of_the_cookie_too(log_in: LogIn) -> None:
    client = log_in("ui")
    token, copy = token_of(client, "/ui"), client.cookies.get(COOKIE)
    assert client.post("/ui/logout", data={"form_token": token}, follow_redirects=False).status_code == 303
    assert client.cookies.get(COOKIE) is None
    assert client.get("/ui", headers={"Cookie": f"{COOKIE}={copy}"}, follow_redirects=False).status_code == 303


def test_only_keys_with_the_scope_open_the_pages_and_wrong_ones_wait(keyed: tuple, chain: FallbackChain) -> None:
    chosen, _, key = keyed
    lists_only = new_key()
    chosen = chosen.model_copy(update={"keys": str(entry_of(lists_only, "lists", ["recommend"]))})
    with TestClient(create_app(chosen, only(chain))) as client:
        refused = show_key(client, lists_only)
        assert (refused.status_code, COOKIE in client.cookies) == (403, False)
        assert "lacks the scope ui" in refused.text
        for _ in range(MOST - 1):
            assert show_key(client, new_key()).status_code == 403
        assert show_key(client, key).status_code == 429
    assert lists_only not in refused.text


def test_without_a_key_of_the_scope_there_are_no_pages(settings: Settings, chain: FallbackChain) -> None:
    keys = str(entry_of(new_key(), "lists", ["recommend"]))
    with TestClient(create_app(settings.model_copy(update={"keys": keys}), only(chain))) as client:
        assert client.get("/ui", follow_redirects=False).status_code == 401
        assert client.get("/ui/login").status_code == 404
    with TestClient(create_app(settings.model_copy(update={"ui": False}), only(chain))) as client:
        assert client.get("/ui").status_code == 404


def test_without_keys_a_session_of_nobody_carries_the_tokens_of_forms(client: TestClient) -> None:
    first = client.get("/ui")
    assert first.status_code == 200
    assert first.headers["set-cookie"].startswith(f"{COOKIE}=")
    assert "set-cookie" not in client.get("/ui").headers
    assert client.get("/ui/login", follow_redirects=False).headers["location"] == "/ui"


def test_who_follows_a_link_of_another_site_comes_once_more_with_the_cookie(log_in: LogIn) -> None:
    client = log_in("ui")
    session = client.cookies.get(COOKIE)
    client.cookies.clear()  # what a browser does: the cookie is strict
    arrival = client.get("/ui/users", headers={"Sec-Fetch-Site": "cross-site"})
    assert 'http-equiv="refresh" content="0"' in arrival.text
    assert "set-cookie" not in arrival.headers
    again = client.get("/ui/users", headers={"Sec-Fetch-Site": "same-origin", "Cookie": f"{COOKIE}={session}"})
    assert "<h1>Users</h1>" in again.text


def test_a_login_is_bound_to_the_form_that_was_shown(keyed: tuple, chain: FallbackChain) -> None:
    chosen, _, key = keyed
    with TestClient(create_app(chosen, only(chain))) as client:
        token = token_of(client)
        assert client.post("/ui/login", data={"key": key, "form_token": "0" * 64}).status_code == 403
        client.cookies.delete(LOGIN_COOKIE)
        assert client.post("/ui/login", data={"key": key, "form_token": token}).status_code == 403


def test_tokens_that_were_not_signed_here_or_have_expired_are_none() -> None:
    now = 0.0
    sessions = Sessions(SECRET, clock=lambda: now)
    session = sessions.begin(b"d" * 32)
    token = sessions.token(session)
    assert sessions.read(token) == session
    assert Sessions(SECRET, clock=lambda: now).read(token) == session  # another worker
    assert Sessions("t" * 32, clock=lambda: now).read(token) is None
    others = [token[:-1], "A" + token[1:], "", "ü", token + token, token[:20]]
    assert [sessions.read(other) for other in others] == [None] * len(others)
    now = SECONDS
    assert sessions.read(token) is None


def test_addresses_to_go_back_to_are_those_of_pages() -> None:
    pages = ["/ui", "/ui/users/a%2Fb?add=x%20y"]
    assert [own(address) for address in pages] == pages
    others = [
        "https://evil.example/ui",
        "//evil.example",
        "/v1/bundle",
        "/ui//evil",
        "/ui\\evil",
        "/ui/../v1",
        "/uix",
        "/ui/%2e%2e/v1",
        "/ui\n",
        "",
    ]
    assert {own(address) for address in others} == {"/ui"}


@pytest.fixture
def logins(place: Place) -> Iterator[LoginTable]:
    with closing(Database(place.url)) as database:
        yield LoginTable(database)


def test_an_address_that_failed_often_waits_and_its_neighbours_of_ipv6_with_it(logins: LoginTable) -> None:
    now = 1e9
    attempts, other = LoginAttempts(lambda: now), LoginAttempts(lambda: now)  # of two workers

    def waits(address: str) -> float:
        attempt = attempts.begin(logins, address)
        attempts.passed(logins, attempt)
        return attempt.wait_seconds

    for number in range(MOST):
        assert waits("2001:db8::1") == 0
        worker = (attempts, other)[number % 2]
        worker.failed(worker.begin(logins, "2001:db8::1"))
        now += 1
    assert waits("2001:db8::ffff") == pytest.approx(WINDOW_SECONDS - MOST)
    assert waits("2001:db8:0:1::1") == waits("192.0.2.1") == 0
    now = 1e9 + WINDOW_SECONDS
    assert waits("2001:db8::1") == 0


def test_no_more_keys_are_let_through_however_many_are_tried_at_once(logins: LoginTable) -> None:
    workers = [LoginAttempts(), LoginAttempts()]
    with ThreadPoolExecutor(8) as threads:
        tried = list(threads.map(lambda number: workers[number % 2].begin(logins, "192.0.2.1"), range(3 * MOST)))
    assert sum(attempt.wait_seconds == 0 for attempt in tried) == MOST


def test_without_the_store_each_process_counts_for_itself(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(Database(f"sqlite:///{tmp_path / 'file' / 'events.db'}")) as database:
        logins, attempts = LoginTable(database), LoginAttempts()
        for _ in range(MOST):
            attempt = attempts.begin(logins, "192.0.2.1")
            assert attempt.wait_seconds == 0
            attempts.failed(attempt)
        assert attempts.begin(logins, "192.0.2.1").wait_seconds > 0
        sessions = Sessions(SECRET)
        session = sessions.begin(b"d" * 32)
        assert not sessions.has_ended(session, logins)
        sessions.end(session, logins)
        assert sessions.read(sessions.token(session)) is None


def test_whoever_logs_out_of_one_worker_is_out_of_all(keyed: tuple, chain: FallbackChain, place: Place) -> None:
    chosen, _, key = keyed
    chosen = chosen.model_copy(update={"store": place.url, "ui_secret": SECRET})
    with TestClient(create_app(chosen, only(chain))) as one, TestClient(create_app(chosen, only(chain))) as other:
        show_key(one, key)
        taken = {"Cookie": f"{COOKIE}={one.cookies.get(COOKIE)}"}
        assert other.get("/ui", headers=taken, follow_redirects=False).status_code == 200
        one.post("/ui/logout", data={"form_token": token_of(one, "/ui")}, follow_redirects=False)
        for worker in (other, one):
            assert worker.get("/ui", headers=taken, follow_redirects=False).headers["location"].startswith("/ui/login")


def test_wrong_keys_are_counted_over_all_workers(keyed: tuple, chain: FallbackChain, place: Place) -> None:
    chosen, _, key = keyed
    chosen = chosen.model_copy(update={"store": place.url, "ui_secret": SECRET})
    with TestClient(create_app(chosen, only(chain))) as one, TestClient(create_app(chosen, only(chain))) as other:
        assert show_key(one, key).status_code == 303  # a right one does not count
        found = [show_key((one, other)[number % 2], "wrong").status_code for number in range(MOST + 2)]
        assert found == [403] * MOST + [429] * 2
        assert show_key(other, key).status_code == 429


def test_all_workers_of_a_start_sign_alike_and_every_start_anew(settings: Settings) -> None:
    started = with_secret(settings)
    assert with_secret(started).ui_secret == started.ui_secret
    assert len(started.ui_secret) >= 32
    assert with_secret(settings).ui_secret != started.ui_secret
