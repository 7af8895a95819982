"""What serves where, versions side by side, and putting something else in service by forms."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.security.api_keys import entry_of, new_key
from service.settings import NamedSource, Settings
from tests.service.tiny import write_tiny_bundle
from tests.service.ui.logins import LogIn, show_key, token_of

HOME = "/ui/deployments"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two bundles, and a folder that holds none."""
    root = tmp_path / "bundles"
    root.mkdir()
    write_tiny_bundle(root / "one", "ease")
    write_tiny_bundle(root / "two", "popularity")
    (root / "<b>none").mkdir()
    return root


@pytest.fixture
def client(root: Path, settings: Settings) -> Iterator[TestClient]:
    """Of a service on the first, which may load the others."""
    with TestClient(create_app(settings.model_copy(update={"bundle": root / "one", "bundle_root": root}))) as client:
        yield client


@pytest.fixture
def pair(root: Path, settings: Settings) -> Iterator[TestClient]:
    """Of a service with two variants."""
    variants = (NamedSource("a", 3, str(root / "one")), NamedSource("b", 1, str(root / "two")))
    with TestClient(create_app(settings.model_copy(update={"bundle": None, "variant": variants}))) as client:
        yield client


def confirm(client: TestClient, address: str, **changes: str):
    """Open what asks, and answer yes; redirects followed."""
    asked = client.get(address)
    assert asked.status_code == 200, asked.text
    action = re.search(r'<form method="post" action="(/ui/deployments/[^"]+)"', asked.text)[1]
    fields = {
        unescape(name): unescape(text)
        for name, text in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', asked.text)
    }
    return client.post(action, data=fields | changes)


def versions_of(client: TestClient) -> list[str]:
    return [one["model_version"] for one in client.get("/v1/admin/deployment").json()["variants"]]


def test_a_bundle_is_looked_at_loaded_and_rolled_back(client: TestClient) -> None:
    assert "Nothing was in service before this" in client.get(HOME).text
    [before] = versions_of(client)
    asked = client.get(f"{HOME}/reload?source=two").text
    found = re.search(r"There lies now</dt><dd><code>([^<]+)", asked)[1]
    assert found.startswith("popularity-")
    assert f"one={before}&amp;other={found}" in asked
    assert versions_of(client) == [before]

    loaded = confirm(client, f"{HOME}/reload?source=two")
    assert (loaded.status_code, loaded.url.query) == (200, b"done=reload")
    assert versions_of(client) == [found]
    assert re.search(rf"Back to\s+<a [^>]+><code>{before}", loaded.text)

    assert before in client.get(f"{HOME}/rollback").text
    back = confirm(client, f"{HOME}/rollback")
    assert (back.url.query, versions_of(client)) == (b"done=rollback", [before])
    told = re.findall(r"<strong>anybody</strong>, ([\w-]+)", back.text)
    assert told == ["roll-back", "reload"]
    assert confirm(client, f"{HOME}/reload?source=one").url.query == b"done=unchanged"
    assert client.get(HOME).text.count("<strong>anybody</strong>") == 2


def test_what_cannot_be_loaded_is_said_and_nothing_changes(client: TestClient) -> None:
    before = versions_of(client)
    for source, words in {
        "../..": "outside the bundle root",
        "models:/x": "a model is named by",
        "x" * 2000: "at most",
    }.items():
        asked = client.get(f"{HOME}/reload", params={"source": source})
        assert (asked.status_code, words in asked.text) == (422, True), source
        assert 'type="submit" class="main"' not in asked.text
    none = confirm(client, f"{HOME}/reload?source=<b>none")
    assert (none.status_code, "&lt;b&gt;none" in none.text, "<b>none" in none.text) == (422, True, False)
    nothing = client.get(f"{HOME}/rollback")
    assert (nothing.status_code, "Nothing was in service before" in nothing.text) == (409, True)
    assert versions_of(client) == before


def test_what_was_confirmed_is_not_done_once_something_else_is_in_service(client: TestClient) -> None:
    late = confirm(client, f"{HOME}/reload?source=two", generation="0")
    assert (late.status_code, "Something else was put in service" in late.text) == (409, True)
    assert versions_of(client)[0].startswith("ease-")


def test_weights_change_shares_and_keep_bundles(pair: TestClient) -> None:
    bundles = versions_of(pair)
    asked = pair.get(f"{HOME}/weights?weight.a=1&weight.b=3").text
    assert re.findall(r'<td class="n">([\d.]+ %)</td>', asked) == ["75.0 %", "25.0 %", "25.0 %", "75.0 %"]
    changed = confirm(pair, f"{HOME}/weights?weight.a=1&weight.b=3")
    assert changed.url.query == b"done=weights"
    told = pair.get("/v1/admin/deployment").json()
    assert [(one["weight"], one["share"]) for one in told["variants"]] == [(1, 0.25), (3, 0.75)]
    assert versions_of(pair) == bundles
    assert "set-weights" in changed.text
    assert confirm(pair, f"{HOME}/weights?weight.a=1&weight.b=3").url.query == b"done=unchanged"


NO_WEIGHTS = (
    "weight.a=x&weight.b=1",
    "weight.a=-1&weight.b=1",
    "weight.a=nan&weight.b=1",
    "weight.a=0&weight.b=0",
    "weight.a=1",
)


@pytest.mark.parametrize("query", NO_WEIGHTS)
def test_what_is_no_weight_is_said(pair: TestClient, query: str) -> None:
    asked = pair.get(f"{HOME}/weights?{query}")
    assert (asked.status_code, 'role="alert"' in asked.text) == (422, True)


def test_a_variant_is_replaced_by_name_only(pair: TestClient) -> None:
    assert pair.get(f"{HOME}/reload?source=models:/m/1").status_code == 422
    assert pair.get(f"{HOME}/reload?variant=zz").status_code == 422
    assert pair.get(f"{HOME}/reload?variant=b").status_code == 200


def test_versions_stand_side_by_side(client: TestClient) -> None:
    text = client.get(HOME).text
    one, other = sorted(set(re.findall(r'<option value="((?:ease|popularity)-\w+)"', text)))
    both = client.get(f"{HOME}/versions?one={one}&other={other}").text
    row = re.search(r'<tr class="differs">\s*<th scope="row"><bdi>model</bdi></th>\s*(.*?)</tr>', both, re.DOTALL)[1]
    assert re.findall(r"<td><bdi>(\w+)</bdi></td>", row) == ["ease", "popularity"]
    assert re.search(r"<bdi>items</bdi></th>\s*<td><bdi>8</bdi></td>\s*<td><bdi>8</bdi></td>", both)
    assert "differs" not in client.get(f"{HOME}/versions?one={one}").text.partition("<h2>")[2]
    assert client.get(f"{HOME}/versions?one=nowhere").status_code == 404


@pytest.mark.parametrize("scopes", [["ui"], ["ui", "recommend"], ["ui", "admin"]])
def test_a_key_sees_and_does_what_it_may(log_in: LogIn, scopes: list[str]) -> None:
    client = log_in(*scopes)
    text, is_admin = client.get(HOME).text, "admin" in scopes
    assert ("Variants in service" in text) == (len(scopes) > 1)
    assert ("Who did what" in text) == ('class="path"' in text) == is_admin
    assert client.get(f"{HOME}/versions").status_code == (200 if "recommend" in scopes else 403)
    for what in ("reload", "rollback", "weights"):
        asked = client.get(f"{HOME}/{what}")
        sent = client.post(f"{HOME}/{what}", data={"form_token": token_of(client, "/ui")})
        assert (asked.status_code == 403) == (sent.status_code == 403) == (not is_admin)


def test_the_log_names_the_key_and_hides_users_from_keys_without_histories(settings: Settings) -> None:
    keys = {scopes: new_key() for scopes in ("ui,admin", "ui,admin,histories")}
    entries = [str(entry_of(key, f"key{place}", scopes.split(","))) for place, (scopes, key) in enumerate(keys.items())]
    with TestClient(create_app(settings.model_copy(update={"keys": ";".join(entries)}))) as client:
        log = client.app_state["services"].actions
        for number in range(21):
            log.note("k<i>", "change-item", f"item:<b>{number}", {"fields.title": "<script>"}, "r")
        log.note("k", "erase-user", "user:somebody", {"n": 1}, "r")
        show_key(client, keys["ui,admin"])
        text = client.get(HOME).text
        assert ("somebody" in text, "k&lt;i&gt;" in text, "<script>" in text, "item:<b>" in text) == (
            False,
            True,
            False,
            False,
        )
        older = unescape(re.search(r'href="(/ui/deployments\?before=\d+)', text)[1])
        assert ["item:&lt;b&gt;0<" in page for page in (text, client.get(older).text)] == [False, True]
        show_key(client, keys["ui,admin,histories"])
        assert "user:somebody" in client.get(HOME).text
