"""/ui/catalogue: pages of items in an order, by what holds of them; nothing is said that is not known."""

import re
from collections.abc import Iterator
from contextlib import closing
from html import unescape

import pytest
from fastapi.testclient import TestClient

from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.ranking.served_model import Catalogue
from service.settings import Settings
from service.store.events import EventStore
from service.ui import catalogue_view
from service.ui.browse import Cursor
from service.ui.shown_tally import Tally
from tests.service.ui.logins import LogIn
from tests.service.ui.test_user_page import ids

BY_POPULARITY = list("abcgdefh")


def listed(client: TestClient, query: str = "") -> list[str]:
    return ids(client.get(f"/ui/catalogue{query}").text, "items")


def figure(text: str, name: str) -> str:
    return re.sub(r"<[^>]*>", "", re.search(rf"<dt>{name}</dt><dd>(.*?)</dd>", text)[1]).strip()


def follow(client: TestClient, text: str, rel: str) -> str | None:
    found = re.search(rf'href="([^"]*)" rel="{rel}"', text)
    return None if found is None else client.get(unescape(found[1])).text


@pytest.fixture
def noting(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings.model_copy(update={"exposures": "on"}))) as client:
        yield client


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("", BY_POPULARITY),
        ("?sort=least", list("defhgcba")),
        ("?find=c", ["c"]),
        ("?find=zz", []),
        ("?filter=is:genre:drama", list("age")),
        ("?filter=least:year:1994&filter=not:genre:drama", list("fh")),
        ('?where={"op":"in","column":"year","values":[1990,1997]}', list("ah")),
        ('?where={"op":"range","column":"year","max":1992}&filter=is:genre:drama', ["a"]),
        ("?show=cold", []),
        ("?show=hidden", ["b"]),
        ("?show=deleted", ["c"]),
        ("?show=unknown", ["new-2", "new-1"]),
        ("?show=unknown&find=2", ["new-2"]),
        ("?show=never", []),
    ],
)
def test_items_by_what_is_asked(client: TestClient, query: str, items: list[str]) -> None:
    client.patch("/v1/items/b", json={"hidden": True})
    client.delete("/v1/items/c")
    for item in ("new-1", "new-2"):
        client.put(f"/v1/items/{item}", json={"fields": {"price": 1}})
    assert listed(client, query) == items


def test_newest_first_is_the_list_of_the_api(client: TestClient) -> None:
    order = client.get("/v1/lists/new?k=8").json()["items"]
    assert listed(client, "?sort=newest") == [one["item_id"] for one in order]


def test_pages_follow_each_other_forth_and_back(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_view, "PAGE", 3)
    for item in "xyzw":
        client.put(f"/v1/items/{item}", json={"fields": {"price": 1}})
    for query, items in (("", BY_POPULARITY), ("?sort=least", list("defhgcba")), ("?show=unknown", list("wzyx"))):
        text, seen = client.get(f"/ui/catalogue{query}").text, []
        assert 'rel="prev"' not in text
        pages = []
        while text is not None:
            pages.append(text)
            seen += ids(text, "items")
            text = follow(client, text, "next")
        assert seen == items
        for before in reversed(pages[:-1]):
            back = follow(client, pages.pop(), "prev")
            assert ids(back, "items") == ids(before, "items")


def test_a_cursor_is_read_as_it_was_written_and_anything_else_counts_for_nothing(client: TestClient) -> None:
    assert Cursor.read(str(Cursor(-0.1, 7))) == Cursor(-0.1, 7)
    for text in ("", "x", "1", "nan:1", "1:x", ":"):
        assert Cursor.read(text) is None
        assert listed(client, f"?after={text}&sort=zz&show=zz&often=-1") == BY_POPULARITY
    assert listed(client, "?after=1e999:99999999999999999999") == []


def test_what_was_shown_is_said_where_it_is_kept(client: TestClient, noting: TestClient) -> None:
    assert "What is shown is not kept here" in client.get("/ui/catalogue").text
    assert "Nobody can say" in client.get("/ui/catalogue?show=never").text
    for user in ("u0", "u1", "u2", "u3"):
        noting.get(f"/v1/users/{user}/recommendations?k=2")
    shown = [noting.get(f"/v1/users/{user}").json()["shown"][0]["items"] for user in ("u0", "u1", "u2", "u3")]
    counts = {item: sum(item in one for one in shown) for item in BY_POPULARITY}
    text = noting.get("/ui/catalogue?sort=shown").text
    assert [counts[one] for one in ids(text, "items")] == sorted(counts.values(), reverse=True)
    never = [item for item in BY_POPULARITY if not counts[item]]
    assert listed(noting, "?show=never") == never
    assert figure(text, "Never shown") == str(len(never))
    assert figure(text, "Coverage") == f"{100 * (8 - len(never)) / 8:.1f} % shown at all"
    often = [item for item in BY_POPULARITY if counts[item] >= 2]
    assert listed(noting, "?show=often&often=50") == often != []
    assert f"{max(counts.values())} <span" in text


def test_a_tally_counts_anew_after_a_minute(noting: TestClient, settings: Settings, chain: FallbackChain) -> None:
    now, catalogue = [0.0], Catalogue(chain)
    with closing(EventStore(settings.store_url)) as store:
        tally = Tally(store.database, lambda: now[0])
        assert tally.of(catalogue).counted.lists == 0
        noting.get("/v1/users/u0/recommendations?k=2")
        noting.get("/v1/users/u0")
        assert tally.of(catalogue).counted.lists == 0
        now[0] = 61.0
        found = tally.of(catalogue)
    assert (found.counted.lists, found.lists.sum(), found.concentration) == (1, 2, 0.5)


def test_what_was_typed_wrong_is_said_and_the_form_stays(client: TestClient) -> None:
    wrong = ("where={", "where=[]", 'where={"op":"eq"}', "filter=is:colour:red", "filter=is:year:soon")
    for query in wrong:
        response = client.get(f"/ui/catalogue?{query}")
        assert (response.status_code, 'role="alert"' in response.text, 'id="browse"' in response.text) == (
            200, True, True,
        ), query  # fmt: skip
    assert client.get("/ui/catalogue?variant=zz").status_code == 422


def test_the_form_becomes_an_address_to_send_on(client: TestClient) -> None:
    sent = {"apply": "1", "find": " a ", "f_column": "genre", "f_op": "not", "f_value": "a:b", "sort": "least",
            "show": "all", "often": "10", "where": "", "filter": "is:year:1990", "after": "1:1"}  # fmt: skip
    folded = client.get("/ui/catalogue", params=sent, follow_redirects=False)
    assert folded.status_code == 303
    assert folded.headers["location"] == (
        "/ui/catalogue?find=a&filter=is%3Ayear%3A1990&filter=not%3Agenre%3Aa%3Ab&sort=least"
    )


@pytest.mark.parametrize(
    ("scopes", "lacking"),
    [(["ui"], {"recommend"}), (["ui", "recommend"], {"histories"}), (["ui", "recommend", "histories"], set())],
)
def test_a_key_sees_what_it_may_see(log_in: LogIn, scopes: list[str], lacking: set[str]) -> None:
    text = log_in(*scopes).get("/ui/catalogue?show=never").text
    assert set(re.findall(r"needs the scope <code>(\w+)</code>", text)) == lacking
    assert ("Items of the bundle" in text) is ("recommend" in scopes)
