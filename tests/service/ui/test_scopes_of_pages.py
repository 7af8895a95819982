"""Every address under /ui, found in the application itself, with every kind of key: what it answers, and what it tells.

A world with something secret of each kind is looked at through all addresses. An address that came later is asked, too;
where it has an id of a new name, the test fails until `FILLED` says what to ask it for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
import torch
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.saved import Origin, save_image_model
from service.app import create_app
from service.security.api_keys import SCOPES, entry_of, new_key
from service.security.authorization import is_open
from service.security.same_origin import CHANGING
from service.security.sessions import COOKIE, is_page
from service.settings import Settings
from tests.recsys_vae.images.small import images, untrained
from tests.service.tiny import write_tiny_bundle
from tests.service.ui.logins import show_key, token_of

FRIEND = "https://friend.example"
"""Its pages may call the API."""
SECRETS = {
    "planted-user": {"histories"},
    "planted-set": {"histories"},
    "planted-event-item": {"histories"},
    "planted-quarantine": {"histories"},
    "planted-summary": {"histories"},
    "planted-log": {"admin"},
    "planted-note": {"admin"},
    "planted-folder": {"admin"},
    "planted-decision": {"recommend"},
    "planted-images": {"recommend"},
    "planted-title": {"recommend"},
}
"""What is hidden somewhere, and the scopes each of which alone shows it; a key with all scopes has to find each."""
FILLED = {
    "user_id": "u0", "item_id": "a", "name": "shop", "job": "shop", "run": "20261102T040000Z", "version": "IMAGES",
    "rest": "nowhere",
}  # fmt: skip
QUERIES = ("", "?apply=1", "?user=planted", "?find=planted", "?request_id=r.1", "?show=unknown", "?set=planted-set")
FIELDS = {"users": "u0\nu1", "do": "save", "name": "mine", "source": "planted", "generation": "1", "hidden": "yes"}


class Attributes(HTMLParser):
    """What a page holds that a strict policy would have to forbid."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.faults += [f"{tag} {name}" for name in names if name == "style" or name.startswith(("on", "hx-on"))]
        if tag in ("style", "iframe", "object", "embed", "base") or (tag == "script" and not names.get("src")):
            self.faults.append(tag)
        for name in ("href", "src", "action", "formaction", "hx-get", "hx-post"):
            address = (names.get(name) or "").strip().lower()
            if not address.startswith(("/ui", "?", "#", "data:image/", "data:,", "https://")) and address:
                self.faults.append(f"{tag} {name}={address}")


@dataclass
class World:
    """An application with keys, and addresses of its pages."""

    client: TestClient
    keys: dict[frozenset[str], str]
    addresses: list[tuple[str, str]]

    def log_in(self, *scopes: str) -> TestClient:
        """Its client, with nothing but the session of a key of these scopes."""
        self.client.cookies.clear()
        assert show_key(self.client, self.keys[frozenset(scopes)]).status_code == 303
        return self.client

    @property
    def read(self) -> list[str]:
        """Addresses that are asked for."""
        return [address for method, address in self.addresses if method == "GET"]

    @property
    def changed(self) -> list[str]:
        """Addresses that forms are sent to."""
        return [address for method, address in self.addresses if method in CHANGING]


def addresses_of(app: object, version: str) -> list[tuple[str, str]]:
    """Method and address of every page that needs a session."""
    filled = FILLED | {"version": version}
    found = []
    for context in iter_route_contexts(app.routes):  # type: ignore[attr-defined]
        path = str(context.path)
        if is_page(path) and not is_open(path):
            address = re.sub(r"\{(\w+)(?::\w+)?\}", lambda name: filled[name[1]], path)
            found += [(method, address) for method in sorted(context.methods or set()) if method != "HEAD"]
    return found


@pytest.fixture(scope="module")
def keys() -> dict[frozenset[str], str]:
    others = [scope for scope in SCOPES if scope != "ui"]
    kinds = [{"recommend"}, {"ui"}, set(SCOPES), *({"ui", other} for other in others)]
    return {frozenset(scopes): new_key() for scopes in kinds}


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, bundle_path: Path, keys: dict[frozenset[str], str]
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECSYS_HOME", str(folder / "home"))
        version = plant_files(folder / "home")
        (folder / "planted-folder").symlink_to(bundle_path)
        other = write_tiny_bundle(folder / "popularity", "popularity")
        lines = ";".join(str(entry_of(key, f"k{n}", sorted(scopes))) for n, (scopes, key) in enumerate(keys.items()))
        settings = Settings(
            variant=(f"main=1:{folder / 'planted-folder'}", f"other=1:{other}"),
            store=f"sqlite:///{folder / 'events.db'}", keys=lines, cors_origins=(FRIEND,), exposures="on",
        )  # type: ignore[arg-type]  # fmt: skip
        with TestClient(create_app(settings), headers={"Sec-Fetch-Site": "same-origin"}) as client:
            plant_rows(client, keys[frozenset(SCOPES)])
            yield World(client, keys, addresses_of(client.app, version))


def plant_files(home: Path) -> str:
    """What the tools leave under RECSYS_HOME; the version of an image model."""
    dataset, run, decisions = home / "datasets/shop", home / "retraining/shop/runs/20261102T040000Z", home / "decisions"
    for place in (dataset, run, decisions / "shop"):
        place.mkdir(parents=True)
    (dataset / "summary.json").write_text('{"sources": ["planted-summary"], "rows_in": 1}')
    rows = {"file": ["log.csv"], "line": [2], "reason": ["odd"], "raw": ["planted-quarantine"]}
    pl.DataFrame(rows).write_parquet(dataset / "quarantine.parquet")
    step = '{"name": "ingest", "status": "done", "note": "planted-note"}'
    (run / "run.json").write_text(
        '{"run": "r", "job": "shop", "status": "done", "started_at": "2026-11-02T04:00:00Z", "note": "planted-note", '
        f'"steps": {{"ingest": {step}}}}}'
    )
    (run / "log.txt").write_text("planted-log\n")
    decision = '{"decision": "refused", "version": "1", "reasons": ["planted-decision"]}'
    (decisions / "shop/20261102T040000-version-1.json").write_text(decision)
    examples = ImageSet(images(4), torch.arange(4) % 2)
    return save_image_model(home / "m", untrained("vae"), Origin(dataset="planted-images"), [], examples).version


def plant_rows(client: TestClient, key: str) -> None:
    """What comes to the store by the API."""
    headers = {"Authorization": f"Bearer {key}"}
    events = [{"user_id": user, "item_id": "planted-event-item"} for user in ("planted-user", "u0")]
    events += [{"user_id": "planted-user", "item_id": item} for item in "abc"]
    assert client.post("/v1/events", json={"events": events}, headers=headers).status_code < 300
    fields = {"fields": {"genre": "planted-title"}}
    for item in ("a", "planted-new"):
        assert client.patch(f"/v1/items/{item}", json=fields, headers=headers).status_code < 300
    asked = {"user_id": "planted-user", "k": 3}
    assert client.post("/v1/recommendations", json=asked, headers=headers | {"X-Request-ID": "r.1"}).status_code == 200
    assert show_key(client, key).status_code == 303
    form = {"form_token": token_of(client, "/ui"), "do": "save", "name": "planted-set", "users": "planted-user"}
    assert client.post("/ui/compare", data=form, follow_redirects=False).status_code == 303


def check_headers(response: object, where: str) -> None:
    headers = response.headers  # type: ignore[attr-defined]
    [policy] = headers.get_list("content-security-policy")
    assert "default-src 'none'" in policy, where
    assert "frame-ancestors 'none'" in policy, where
    assert "unsafe" not in policy, where
    assert headers["cache-control"] == "no-store", where
    assert headers["x-content-type-options"] == "nosniff", where
    assert headers["x-frame-options"] == "DENY", where
    assert headers["referrer-policy"] in ("same-origin", "no-referrer"), where
    assert "access-control-allow-credentials" not in headers, where
    for cookie in headers.get_list("set-cookie"):
        assert "; Path=/ui; HttpOnly; SameSite=Strict" in cookie, where
    if headers.get("content-type", "").startswith("text/html"):
        assert Attributes(response.text).faults == [], where  # type: ignore[attr-defined]


def test_nobody_comes_in_without_a_session(world: World) -> None:
    client, recommend = world.client, world.keys[frozenset({"recommend"})]
    assert len(world.read) > 20
    for headers in ({}, {"Authorization": f"Bearer {recommend}"}, {"Cookie": f"{COOKIE}=x"}):
        for method, address in world.addresses:
            client.cookies.clear()
            response = client.request(method, address, headers=headers, follow_redirects=False)
            assert response.status_code == 303, address
            assert response.headers["location"].startswith("/ui/login"), address
            assert "planted" not in response.text
            check_headers(response, address)
    client.cookies.clear()
    assert show_key(client, recommend).status_code == 403
    assert client.cookies.get(COOKIE) is None


@pytest.mark.parametrize("other", [scope for scope in SCOPES if scope != "ui"] + ["", "all"])
def test_a_page_tells_what_its_key_may_ask_for_and_nothing_else(world: World, other: str) -> None:
    scopes = set(SCOPES) if other == "all" else {"ui", other} - {""}
    client, found = world.log_in(*scopes), set()
    for address in world.read:
        for query in QUERIES:
            response = client.get(address + query, follow_redirects=False)
            assert response.status_code < 500, address + query
            check_headers(response, address + query)
            typed = set(re.findall(r"planted-?\w*", query))
            told = {secret for secret in SECRETS if secret in response.text} - typed
            readers = {secret: {"users"} | opening if "histories" in opening else opening for secret, opening in
                       SECRETS.items()}  # fmt: skip
            assert {one for one in told if not readers[one] & scopes} == set(), (address + query, scopes)
            found |= told
    if other == "all":
        assert found == set(SECRETS)
    if not other:
        assert found == set()


@pytest.mark.parametrize("other", [scope for scope in SCOPES if scope not in ("ui", "admin", "items")] + [""])
def test_what_changes_something_takes_the_token_and_the_scope(world: World, other: str) -> None:
    client = world.log_in(*{"ui", other} - {""})
    token, strange = token_of(client, "/ui"), new_key().encode().hex()[:64]
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    friendly = {"Sec-Fetch-Site": "cross-site", "Origin": FRIEND}
    assert "/ui/deployments/reload" in world.changed
    for address in world.changed:
        for fields, headers in (
            (FIELDS, {}), (FIELDS | {"form_token": strange}, {}), (FIELDS | {"form_token": token}, elsewhere),
            (FIELDS | {"form_token": token}, friendly),
        ):  # fmt: skip
            response = client.post(address, data=fields, headers=headers, follow_redirects=False)
            assert response.status_code == 403, (address, fields, headers)
            check_headers(response, address)
        if address != "/ui/logout" and not (address == "/ui/compare" and other in ("histories", "users")):
            allowed = client.post(address, data=FIELDS | {"form_token": token}, follow_redirects=False)
            assert allowed.status_code == 403, (address, other)
            assert "planted-" not in allowed.text
    assert client.get("/ui", follow_redirects=False).status_code == 200


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused_with_the_same_headers(world: World, method: str) -> None:
    client = world.log_in("ui")
    for address in ("/ui", "/ui/users/u0", "/ui/jobs"):
        response = client.request(method, address, follow_redirects=False)
        assert 400 <= response.status_code < 500, address
        check_headers(response, address)
