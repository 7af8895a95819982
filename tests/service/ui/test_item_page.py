"""/ui/items: an item as the API knows it, who gets it; what changes it is asked for once more, and noted."""

import re
from collections.abc import Iterator
from html import unescape

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.ui.logins import TOKEN, LogIn
from tests.service.ui.test_user_page import HOSTILE, hostile, ids

__all__ = ["hostile"]
HIDDEN = re.compile(
    r'<(?:input type="hidden"|textarea) name="([^"]*)"(?: hidden)?(?: value="([^"]*)">|>\n(.*?)</textarea>)', re.DOTALL
)


def form_of(text: str) -> dict[str, str]:
    """Hidden fields of the last form of a page."""
    form = text[text.rindex('<form method="post" action="/ui/items') :]
    return {unescape(name): unescape(value or long) for name, value, long in HIDDEN.findall(form)}


def start(client: TestClient, item: str) -> dict[str, str]:
    """What the form of an item carries without being filled in."""
    text = client.get(f"/ui/items/{item}/edit").text
    return {"form_token": TOKEN.search(text)[1], "version": re.search(r'name="version" value="(\d+)"', text)[1]}


def edit(client: TestClient, item: str, **fields: str):
    """Fill the form in, confirm; the answers to both."""
    sent = start(client, item) | {name.replace("__", "."): text for name, text in fields.items()}
    asked = client.post(f"/ui/items/{item}/review", data=sent)
    if asked.status_code != 200:
        return asked, None
    return asked, client.post(f"/ui/items/{item}/change", data=form_of(asked.text), follow_redirects=False)


def cells(text: str, name: str) -> list[str]:
    """The row of a field."""
    row = re.search(rf'<tr>\s*<th scope="row"><bdi>{name}</bdi></th>(.*?)</tr>', text, re.DOTALL)[1]
    plain = [re.sub(r"<[^>]*>", " ", cell).split() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
    return [" ".join(cell).replace(" ,", ",") for cell in plain]


@pytest.fixture
def noting(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings.model_copy(update={"exposures": "on"}))) as client:
        yield client


def test_each_field_says_which_counts(client: TestClient) -> None:
    assert cells(client.get("/ui/items/a").text, "genre")[:2] == ["drama", "bundle"]
    client.patch("/v1/items/a", json={"fields": {"genre": "western", "price": 3}})
    text = client.get("/ui/items/a").text
    assert cells(text, "genre")[:2] == ["western the bundle says drama", "change"]
    assert cells(text, "year")[:2] == ["1990", "bundle"]
    assert cells(text, "price")[:2] == ["3", "change"]
    row = {"item_id": "a", "fields": {"year": 1900}, "timestamp": "2001-01-01T00:00:00Z"}
    assert client.post("/v1/items", json={"items": [row]}).json()["accepted"] == 1
    assert cells(client.get("/ui/items/a").text, "year")[:2] == [
        "1990 an older change said 1900, 2001-01-01 00:00",
        "bundle",
    ]
    assert client.get("/ui/items/zz").status_code == 404


def test_similar_and_bought_together_are_the_apis(client: TestClient) -> None:
    text = client.get("/ui/items/a").text
    for name, heading in (("similar", "similar"), ("bought-together", "together")):
        answer = client.get(f"/v1/items/a/{name}?k=8").json()
        assert ids(text, heading) == [one["item_id"] for one in answer["items"]] != []
    assert "Events a day, latest 7 days</dt><dd>0.57" in text
    assert "+78 %" in text, "4 in 7 days after 9 in 28"
    assert re.search(r"Place by these</dt><dd>1 ", text)


def test_who_gets_it_is_said_where_it_is_kept(client: TestClient, noting: TestClient) -> None:
    assert "is not kept here" in client.get("/ui/items/h").text
    assert "No list has been shown yet" in noting.get("/ui/items/h").text
    for user in ("u0", "u1", "u5"):
        noting.get(f"/v1/users/{user}/recommendations?k=5")
    held = [user for user in ("u0", "u1", "u5") if f'/ui/users/{user}"' in noting.get("/ui/items/h").text]
    assert held == ["u0", "u1"], "u5 has it"
    assert "In <strong>2</strong> of the 3 lists from" in noting.get("/ui/items/h").text
    assert "none of the 3 lists from" in noting.get("/ui/items/a").text
    assert "all without a time" in noting.get("/ui/items/h").text


def test_fields_are_edited_after_a_question_and_who_did_it_is_noted(client: TestClient) -> None:
    asked, done = edit(client, "a", v__genre="a <b>\r\n'tale'", v__year="", new_name="tags", new_kind="texts",
                       new_value="x | y")  # fmt: skip
    assert "a &lt;b&gt;" in asked.text
    assert "no value" in asked.text
    assert client.get("/v1/items/a").json()["version"] == 1, "nothing before it is confirmed, one change after"
    assert (done.status_code, done.headers["location"]) == (303, "/ui/items/a")
    found = client.get("/v1/items/a").json()["fields"]
    assert found == {"popularity": 5.0, "genre": "a <b>\n'tale'", "tags": ["x", "y"]}
    text = client.get("/ui/items/a").text
    assert re.search(r"<strong><bdi>anybody</bdi></strong>.*?<bdi>tags</bdi>: <bdi>x, y</bdi>", text, re.DOTALL)
    assert edit(client, "a", v__year="1999.5")[1].status_code == 303, "numbers that are not whole are taken"


def test_nothing_is_changed_by_looking_at_the_changes(client: TestClient) -> None:
    client.post("/ui/items/a/review", data=start(client, "a") | {"v.genre": "x", "hidden": "yes"})
    assert client.get("/v1/items/a").json()["version"] == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Nothing is other than it is"),
        ({"v__year": "soon"}, "This is no number"),
        ({"new_name": "ok", "new_kind": "flag", "new_value": "perhaps"}, "neither yes nor no"),
        ({"new_name": "n", "new_kind": "numbers", "new_value": "1 | x"}, "not all numbers"),
        ({"new_name": "popularity", "new_value": "9"}, "is no metadata"),
        ({"v__genre": "x" * 5000}, "at most 4096"),
    ],
)
def test_what_is_no_change_is_told_and_the_form_stays(client: TestClient, fields: dict, words: str) -> None:
    asked, done = edit(client, "a", **fields)
    assert (asked.status_code, done) == (422, None)
    assert words in asked.text
    assert 'name="v.genre"' in asked.text
    assert all(f'"{text}"' in asked.text for name, text in fields.items() if name == "v__year")


def test_an_item_is_hidden_and_shown_again(client: TestClient) -> None:
    for hidden, word in (("yes", "hidden"), ("no", "shown again")):
        sent = {**start(client, "a"), "hidden": hidden}
        asked = client.post("/ui/items/a/review", data=sent)
        assert word in asked.text
        client.post("/ui/items/a/change", data=form_of(asked.text))
        assert client.get("/v1/items/a").json()["hidden"] is (hidden == "yes")
        assert ("in no answer" in client.get("/ui/items/a").text) is (hidden == "yes")


def test_who_changes_what_somebody_else_changed_meanwhile_is_told(client: TestClient) -> None:
    first = start(client, "a") | {"v.genre": "x"}
    asked = client.post("/ui/items/a/review", data=first)
    client.patch("/v1/items/a", json={"fields": {"price": 7}})
    for response in (
        client.post("/ui/items/a/change", data=form_of(asked.text)),
        client.post("/ui/items/a/review", data=first),
    ):
        assert response.status_code == 409
        assert "changed meanwhile" in response.text
    assert client.get("/v1/items/a").json()["fields"]["genre"] == "drama"


def test_what_does_not_fit_a_column_in_service_is_told(client: TestClient) -> None:
    client.patch("/v1/items/b", json={"fields": {"price": 7}})
    asked, _ = edit(client, "a", k__price="text", v__price="much")
    assert asked.status_code == 422


@pytest.mark.parametrize(
    ("scopes", "lacking", "edits"),
    [
        (["ui"], {"recommend"}, False),
        (["ui", "recommend"], {"histories", "items"}, False),
        (["ui", "recommend", "items"], {"histories"}, True),
        (["ui", "recommend", "histories"], {"items"}, False),
    ],
)
def test_a_key_sees_and_does_what_it_may(log_in: LogIn, scopes: list[str], lacking: set[str], edits: bool) -> None:
    client = log_in(*scopes)
    text = client.get("/ui/items/a").text
    assert set(re.findall(r"needs the scope <code>(\w+)</code>", text)) == lacking
    assert ("Edit fields" in text) is ("drama" in client.get("/ui/items/a/edit").text) is edits
    token = {"form_token": TOKEN.search(client.get("/ui").text)[1], "version": "0", "hidden": "yes"}
    for step, status in (("review", 200), ("change", 303)):
        response = client.post(f"/ui/items/a/{step}", data=token, follow_redirects=False)
        assert response.status_code == (status if edits else 403)
        assert client.post(f"/ui/items/a/{step}", data=token | {"form_token": "0"}).status_code == 403


def test_items_are_found_by_id_and_by_the_title_that_they_have_now(client: TestClient) -> None:
    client.put("/v1/items/new-1", json={"fields": {"price": 1}})
    assert ids(client.get("/ui/items?find=new-1").text, "found") == ["new-1"]
    assert ids(client.get("/ui/items?find=b").text, "found") == ["b"]
    client.patch("/v1/items/b", json={"hidden": True})
    assert ids(client.get("/ui/items").text, "changed") == ["b", "new-1"]
    assert "No item has the id" in client.get("/ui/items?find=nothing").text


def test_hostile_items_are_text_and_can_be_edited(hostile: Settings) -> None:
    with TestClient(create_app(hostile)) as client:
        client.patch("/v1/items/https%3A%2F%2Fx%2F%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", json={"hidden": False})
        listed = client.get("/ui/catalogue").text
        links = [unescape(one) for one in re.findall(r'class="card-title"><a href="([^"]+)"', listed)]
        assert len(set(links)) == len(HOSTILE)
        pages = [listed, client.get("/ui/items?find=<script>").text]
        for link in links:
            item = link.removeprefix("/ui/items/")
            asked, done = edit(client, item, v__title="</textarea><script>\n\"'<b>", new_name="<i>", new_value="<u>")
            assert done.headers["location"] == link
            pages += [client.get(link).text, client.get(f"{link}/edit").text, asked.text]
        pages.append(client.get("/ui/items").text)
        for text in pages:
            assert not re.search(r"<script>|<img src=x|<b>|<i>|<u>|(?:href|src)=\"javascript:|src=\"http:", text)
