"""/ui/users/{id}: the list is the API's, whatever is played; what a key may not see is not there; all of it is text."""

import re
from html import unescape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.models import catalog
from service.app import create_app
from service.settings import Settings
from service.store.events import Event, EventStore
from tests.service.tiny import HISTORIES
from tests.service.ui.logins import LogIn

POST = "/v1/recommendations"
HOSTILE = ("<script>alert(1)</script>", "a\"b'c/d?e#f", "\u202eright to left", "https://x/<img src=x onerror=alert(1)>")


def ids(text: str, heading: str) -> list[str]:
    """Item ids of the cards below a heading."""
    part = re.search(rf'aria-labelledby="{heading}-title".*?</section>', text, re.DOTALL)[0]
    return [unescape(one) for one in re.findall(r'class="id"><bdi>(.*?)</bdi>', part, re.DOTALL)]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {"user_id": "u0"}),
        ("?k=2", {"user_id": "u0", "k": 2}),
        ("?add=h", {"user_id": "u0", "history": ["h"]}),
        ("?drop=a", {"history": ["b", "c"]}),
        ("?drop=a&add=h", {"history": ["b", "c", "h"]}),
        ("?filter=is:genre:drama", {"user_id": "u0", "filter": {"op": "eq", "column": "genre", "value": "drama"}}),
        ("?filter=least:year:1995", {"user_id": "u0", "filter": {"op": "range", "column": "year", "min": 1995}}),
        ("?boost=50::h", {"user_id": "u0", "boost": [{"by": "multiply", "value": 50, "items": ["h"]}]}),
        ("?cap=1:genre", {"user_id": "u0", "at_most": [{"column": "genre", "n": 1}]}),
        ("?repeat=allow&diversity=0.5", {"user_id": "u0", "repeat": "allow", "diversity": 0.5}),
    ],
)
def test_the_list_is_what_the_api_answers(client: TestClient, query: str, body: dict) -> None:
    answer = client.post(POST, json=body).json()
    text = client.get(f"/ui/users/u0{query}").text
    assert ids(text, "list") == [item["item_id"] for item in answer["items"]]
    assert all(f"<dd>{answer[name]}</dd>" in text for name in ("tier", "variant", "scorer", "model_version"))


def test_history_stands_beside_the_list_and_says_what_it_pushes(client: TestClient) -> None:
    text = client.get("/ui/users/u0?add=h").text
    assert ids(text, "history") == ["h", *reversed(HISTORIES["u0"])]
    assert "added here" in text
    assert "Because of" in text
    assert re.search(r"pushes \d+ up", text)


def test_what_moved_is_said(client: TestClient) -> None:
    plain, pushed = client.get("/ui/users/u0?k=3").text, client.get("/ui/users/u0?k=3&boost=1000::h").text
    assert 'class="move' not in plain
    assert ids(pushed, "list")[0] == "h"
    assert 'class="move up"' in pushed
    assert "Left the list" in pushed
    assert "data-news=" in pushed


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?item=a", "has it in the history"),
        ("?item=g&filter=is:genre:comedy", "The filter genre is comedy leaves it out: it has drama"),
        ("?item=g&cap=1:genre&k=1&add=zz", "in place|which is the cap"),
        ("?item=zz", "No item has this id"),
        ("?item=h&k=1", "below that of the last item shown"),
        ("?item=d&k=8", "It is in the list"),
        ("?item=d&repeat=only", "Only items of the history are asked for"),
        ("?item=h&add=h", "was added to the history here"),
    ],
)
def test_why_not_that(client: TestClient, query: str, words: str) -> None:
    assert re.search(words, client.get(f"/ui/users/u0{query}").text.replace("<strong>", "").replace("</strong>", ""))


def test_why_not_a_hidden_item(client: TestClient) -> None:
    assert client.patch("/v1/items/e", json={"hidden": True}).status_code == 200
    assert "It is hidden." in client.get("/ui/users/u0?item=e").text


def test_the_form_becomes_an_address_to_send_on(client: TestClient) -> None:
    sent = {"apply": "1", "add": "h", "f_column": "genre", "f_op": "not", "f_value": "a:b", "k": "5", "b_factor": "2",
            "b_column": "", "b_value": "g", "c_n": "3", "c_column": "genre", "why": "yes"}  # fmt: skip
    folded = client.get("/ui/users/u0", params=sent, follow_redirects=False)
    assert folded.status_code == 303
    assert folded.headers["location"] == (
        "/ui/users/u0?add=h&filter=not%3Agenre%3Aa%3Ab&boost=2%3A%3Ag&cap=3%3Agenre&k=5"
    )
    added = client.get("/ui/users/u0?find=h", follow_redirects=False)
    assert added.headers["location"] == "/ui/users/u0?add=h"
    assert "No item has the id" in client.get("/ui/users/u0?find=nothing").text


def test_what_was_typed_wrong_is_said_and_the_form_stays(client: TestClient) -> None:
    for query in ("?filter=is:colour:red", "?boost=-1::h", "?cap=0:genre", "?filter=is:year:soon"):
        response = client.get(f"/ui/users/u0{query}")
        assert (response.status_code, 'role="alert"' in response.text) == (200, True), query
        assert 'id="play"' in response.text
    assert client.get("/ui/users/u0?variant=zz").status_code == 422
    for query in "?k=x&diversity=nan&filter=&filter=a:b&boost=1&repeat=zz&cap=:":
        assert client.get(f"/ui/users/u0{query}").status_code == 200


def test_looking_is_no_answer_to_the_user(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"exposures": "on"}))) as client:
        client.get("/ui/users/u0?k=3&add=h&item=a")
        assert client.get("/v1/users/u0").json()["exposures"] == 0
        assert "recsys_answers_total{" not in client.get("/metrics").text


@pytest.mark.parametrize(
    ("scopes", "lacking", "is_listed", "is_read", "is_explained"),
    [
        (["ui"], {"recommend"}, False, False, False),
        (["ui", "recommend"], {"explain", "histories"}, True, False, False),
        (["ui", "recommend", "explain"], {"histories"}, True, False, True),
        (["ui", "recommend", "histories"], {"explain"}, True, True, False),
        (["ui", "recommend", "histories", "explain"], set(), True, True, True),
    ],
)
def test_a_key_sees_what_it_may_see_and_is_told_what_it_lacks(
    log_in: LogIn, scopes: list[str], lacking: set[str], is_listed: bool, is_read: bool, is_explained: bool
) -> None:
    text = log_in(*scopes).get("/ui/users/u0?item=h&k=2").text
    assert set(re.findall(r"needs the scope <code>(\w+)</code>", text)) == lacking
    assert ("List</h2>" in text) == is_listed
    assert ("Take out" in text) == is_read
    assert ("Because of" in text) == ('class="answer"' in text) == is_explained


def test_a_key_without_histories_learns_nothing_by_taking_items_out(log_in: LogIn) -> None:
    client = log_in("ui", "recommend")
    assert ids(client.get("/ui/users/u0?drop=a").text, "list") == ids(client.get("/ui/users/u0").text, "list")
    assert client.get("/ui/users/u0?repeat=allow").status_code == 403
    assert "u1" not in client.get("/ui/users?user=u").text


def test_users_are_found_by_the_beginning_of_their_ids(client: TestClient) -> None:
    assert [one for one in ("u0", "u5") if f"<bdi>{one}</bdi>" in client.get("/ui/users?user=u").text] == ["u0", "u5"]
    assert "No user of the event store has an id" in client.get("/ui/users?user=x").text
    assert "<bdi>u0</bdi>" in client.get("/ui/users").text


@pytest.fixture
def hostile(tmp_path: Path) -> Settings:
    """A bundle and a store whose ids, titles and pictures are what somebody would break pages with."""
    table = pl.DataFrame(
        {
            "item_id": HOSTILE,
            "title": HOSTILE,
            "image": ['https://x/"><script>', "javascript:alert(1)", "http://x", "https://x/y.png"],
        }
    )
    items = IdMap.from_values(sorted(HOSTILE, key=str.encode))
    model = catalog.create("ease", 4, None)
    model.fit(csr_array(np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 1]], np.float32)))
    write_bundle(
        tmp_path / "hostile", model, items, popularity=np.ones(4, np.float32), item_table=table.sort(pl.col("item_id")),
        provenance=Provenance(dataset="<b>", trained_on="all", n_users=3, metrics={"<i>": 0.5}),
    )  # fmt: skip
    store = EventStore(f"sqlite:///{tmp_path}/e.db")
    store.append(
        [[Event(f"{one} {other}", one, other, "<u>", 1.0, None) for one in HOSTILE for other in HOSTILE[:2]]], "t"
    )
    store.close()
    return Settings(bundle=tmp_path / "hostile", store=f"sqlite:///{tmp_path}/e.db")


def test_hostile_ids_titles_and_addresses_are_text(hostile: Settings) -> None:
    with TestClient(create_app(hostile)) as client:
        links = re.findall(r'href="(/ui/users/[^"]+)"', client.get("/ui/users").text)
        assert len(links) == len(HOSTILE)
        pages = [client.get("/ui").text, *(client.get(unescape(link)).text for link in links)]
        assert {
            unescape(re.search(r"<h1>User <bdi>(.*?)</bdi></h1>", text, re.DOTALL)[1]) for text in pages[1:]
        } == set(HOSTILE)
        for text in pages[1:]:
            assert set(ids(text, "list")) | set(ids(text, "history")) == set(HOSTILE)
            taken = unescape(re.search(r'href="([^"]*drop=[^"]*)"', text)[1])
            pages.append(client.get(taken).text)
            assert "Put back" in pages[-1]
        for text in pages:
            assert not re.search(r"<script>|<img src=x|<b>|<i>|<u>|javascript:|src=\"http:", text)
