"""Items that change while they are in service, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Tiers, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.tier_policy import TierPolicy
from recsys_vae.data.features import Field, Schema
from recsys_vae.data.ids import IdMap
from recsys_vae.models import catalog
from recsys_vae.models.content_map import ContentMap
from recsys_vae.models.mult_vae import MultVAEConfig
from recsys_vae.protocols import ClosedFormRecommender, FactorizedRecommender
from service.app import create_app
from service.client import Client
from service.ranking.live_columns import Columns
from service.schemas.items import ItemChangeRow, ItemDocument, ItemPatch
from service.settings import Settings
from tests.service.test_routes import check_problem, codes, item_ids
from tests.service.tiny import ITEMS, MATRIX, METADATA, POPULARITY, fill, write_tiny_bundle

POST, ITEM = "/v1/recommendations", "/v1/items"
POPULAR = list("abcgdefh")


def popular(client: TestClient, **asked: object) -> list[str]:
    return item_ids(client.post(POST, json={"k": 8, **asked}).json())


def equal(column: str, value: object) -> dict:
    return {"op": "eq", "column": column, "value": value}


@pytest.fixture
def other(settings: Settings) -> Iterator[TestClient]:
    """Another replica."""
    with TestClient(create_app(settings)) as client:
        yield client


def test_an_acknowledged_change_is_in_the_next_answer_of_every_replica(client: TestClient, other: TestClient) -> None:
    assert popular(other, filter=equal("genre", "drama")) == list("acge")
    for price in range(5):
        changed = client.patch(f"{ITEM}/a", json={"fields": {"price": price, "genre": "western"}})
        assert changed.headers["etag"] == f'"{changed.json()["version"]}"'
        for replica in (other, client):
            body = replica.post(
                POST, json={"k": 1, "filter": equal("price", price), "fields": ["price", "year"]}
            ).json()
            assert [(item["item_id"], item["fields"]) for item in body["items"]] == [
                ("a", {"price": price, "year": 1990})
            ]
    assert popular(other, filter=equal("genre", "drama")) == list("cge")
    boost = [{"by": "add", "value": 9, "where": equal("genre", "western")}]
    assert other.post(POST, json={"k": 1, "boost": boost}).json()["items"][0]["score"] == 14
    assert other.get(f"{ITEM}/a").json()["fields"] == {"popularity": 5, "genre": "western", "year": 1990, "price": 4}


def test_what_is_hidden_is_in_no_answer_until_it_is_shown_again(client: TestClient, other: TestClient) -> None:
    client.patch(f"{ITEM}/b", json={"hidden": True})
    assert popular(other) == [item for item in POPULAR if item != "b"]
    assert popular(other, candidates=["a", "b"], filter=equal("genre", "comedy")) == []
    assert "b" not in popular(other, history=["a"])
    assert "b" not in item_ids(other.get(f"{ITEM}/d/similar?k=8").json())
    assert codes(other.post(POST, json={"k": 8, "history": ["a"]}).json()) == ["fewer_items_than_k"]
    assert other.get(f"{ITEM}/b").json()["hidden"] is True
    client.patch(f"{ITEM}/b", json={"hidden": False})
    assert popular(other) == POPULAR


def test_a_deleted_item_is_gone_until_a_change_brings_it_back(client: TestClient) -> None:
    assert client.delete(f"{ITEM}/a").json()["deleted"] is True
    assert popular(client) == POPULAR[1:]
    for address in (f"{ITEM}/a", f"{ITEM}/a/similar"):
        check_problem(client.get(address), 404, "unknown-item")
    assert client.delete(f"{ITEM}/a").json()["version"] == 1
    assert client.patch(f"{ITEM}/a", json={"fields": {"genre": "x"}}).json()["fields"] == {
        "popularity": 5,
        "genre": "x",
    }
    assert popular(client) == POPULAR


def test_what_is_replaced_has_nothing_else_and_null_removes(client: TestClient) -> None:
    assert client.put(f"{ITEM}/a", json={"fields": {"price": 1}}).json()["fields"] == {"popularity": 5, "price": 1}
    assert popular(client, filter=equal("year", 1990)) == []
    client.patch(f"{ITEM}/b", json={"fields": {"year": None}})
    assert popular(client, filter=equal("year", 1991)) == []


def test_pages_and_exactly_k_hold_while_items_are_hidden(client: TestClient) -> None:
    first = client.post(POST, json={"k": 3}).json()
    client.patch(f"{ITEM}/d", json={"hidden": True})
    rest = client.post(POST, json={"k": 8, "cursor": first["next_cursor"]}).json()
    assert item_ids(first) + item_ids(rest) == list("abcgefh")
    assert rest["next_cursor"] is None


def test_many_changes_are_judged_row_by_row(client: TestClient) -> None:
    rows = [
        {"item_id": "a", "fields": {"price": 1}, "timestamp": "2026-01-01T00:00:00Z"},
        {"item_id": "a", "fields": {"price": "cheap"}},
        {"item_id": "b", "op": "delete"},
        {"item_id": "c", "op": "delete", "hidden": True},
        {"item_id": "c", "fields": {"popularity": 1}},
        {"item_id": "c", "fields": {"year": "old"}},
        {"item_id": "", "fields": {}},
        "row",
    ]
    receipt = client.post(ITEM, json={"items": rows}).json()
    assert (receipt["accepted"], receipt["duplicates"], receipt["rejected"]) == (2, 0, 6)
    reasons = [result["reason"] for result in receipt["results"]]
    assert reasons[0] is reasons[2] is None
    for reason, words in zip(
        (reasons[1], *reasons[3:]),
        (
            "holds number",
            "op: delete comes without",
            "popularity is no metadata",
            "'year' holds Int64",
            "item_id",
            "object",
        ),
        strict=True,
    ):
        assert words in reason
    again = client.post(ITEM, json={"items": rows[:1] + rows[2:3]}).json()
    assert (again["accepted"], again["duplicates"]) == (0, 2)
    assert popular(client) == [item for item in POPULAR if item != "b"]
    metrics = client.get("/metrics").text
    assert 'recsys_item_changes_total{result="rejected"} 6.0' in metrics
    assert "recsys_live_items 2.0" in metrics


def test_a_version_that_was_changed_meanwhile_is_not_changed(client: TestClient) -> None:
    assert client.put(f"{ITEM}/a", json={}, headers={"If-Match": '"0"'}).status_code == 200
    stale = client.patch(f"{ITEM}/a", json={"hidden": True}, headers={"If-Match": '"0"'})
    assert "version is 1, not 0" in check_problem(stale, 412, "outdated")["detail"]
    check_problem(client.delete(f"{ITEM}/a", headers={"If-Match": "one"}), 422, "invalid-request")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"fields": {"year": "old"}}, "body.fields.year"),
        ({"fields": {"item_id": "x"}}, "body.fields.item_id.[key]"),
        ({"fields": {"price": {"eur": 1}}}, "body.fields.price"),
        ({"fields": {f"f{n}": 1 for n in range(65)}}, "body.fields"),
        ({"fields": {"tags": ["x"] * 257}}, "body.fields.tags"),
        ({"hiden": True}, "body.hiden"),
        ({"hidden": "yes"}, "body.hidden"),
    ],
)
def test_a_field_that_breaks_its_contract_is_named(client: TestClient, body: dict, field: str) -> None:
    problem = check_problem(client.patch(f"{ITEM}/a", json=body), 422, "invalid-request")
    assert problem["errors"][0]["field"] == field


def test_columns_come_with_items_by_every_way_and_unknown_ones_are_refused(client: TestClient) -> None:
    for plain in ("application/json", "application/x+json"):
        asked = client.post(POST, content=b'{"k": 1, "fields": ["genre"]}', headers={"content-type": plain}).json()
        assert [item["fields"] for item in asked["items"]] == [{"genre": "drama"}]
    by_get = client.get("/v1/users/u0/recommendations?k=1&fields=genre&fields=year").json()
    assert by_get["items"][0]["fields"] == {"genre": "drama", "year": 1996}
    assert client.get(f"{ITEM}/a/similar?k=1&fields=year").json()["items"][0]["fields"].keys() == {"year"}
    assert "fields" not in client.post(POST, json={"k": 1}).json()["items"][0]
    for response in (
        client.post(POST, json={"fields": ["nope"]}), client.get(f"{ITEM}/a/similar?fields=nope"),
    ):  # fmt: skip
        assert (
            "no column 'nope'; there are: popularity, genre"
            in check_problem(response, 422, "invalid-request")["detail"]
        )


def test_changes_outlive_restarts_and_reloads(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        client.patch(f"{ITEM}/a", json={"fields": {"price": 3}, "hidden": True})
    with TestClient(create_app(settings)) as client:
        assert popular(client) == POPULAR[1:]
        client.post("/v1/admin/reload")
        assert popular(client) == POPULAR[1:]
        assert client.get(f"{ITEM}/a").json()["fields"]["price"] == 3


def bundle_of(folder: Path, cutoff: str | None) -> Path:
    origin = Provenance(dataset="tiny", trained_on="all", training_cutoff=cutoff)
    model = catalog.create("popularity", len(ITEMS), None)
    assert isinstance(model, ClosedFormRecommender)
    model.fit(csr_array(MATRIX))
    ids = IdMap.from_values(ITEMS)
    write_bundle(folder, model, ids, popularity=POPULARITY, provenance=origin, item_table=METADATA)
    return folder


@pytest.mark.parametrize(
    ("cutoff", "newest"), [("2026-06-01T00:00:00+00:00", "drama"), ("2020-01-01T00:00:00+00:00", "x")]
)
def test_the_newer_of_bundle_and_change_counts_for_each_field(tmp_path: Path, cutoff: str, newest: str) -> None:
    settings = Settings(bundle=bundle_of(tmp_path / "bundle", cutoff), store=f"sqlite:///{tmp_path}/e.db")
    old = {"item_id": "a", "fields": {"genre": "x", "price": 1}, "timestamp": "2024-01-01T00:00:00Z"}
    gone = {"item_id": "b", "op": "delete", "timestamp": "2024-01-01T00:00:00Z"}
    with TestClient(create_app(settings)) as client:
        client.post(ITEM, json={"items": [old, gone]})
        fields = client.get(f"{ITEM}/a").json()["fields"]
        assert (fields["genre"], fields["price"]) == (newest, 1)  # the bundle has no say of prices
        assert "b" not in popular(client)  # nor does it bring back what was deleted
        client.patch(f"{ITEM}/a", json={"fields": {"genre": "now"}})
        assert client.get(f"{ITEM}/a").json()["fields"]["genre"] == "now"


def test_clients_change_items(settings: Settings) -> None:
    with TestClient(create_app(settings)) as transport:

        def answered(request: httpx2.Request) -> httpx2.Response:
            headers = {name: value for name, value in request.headers.items() if name != "host"}
            found = transport.request(request.method, str(request.url), content=request.content, headers=headers)
            return httpx2.Response(found.status_code, content=found.content, headers=dict(found.headers))

        http = httpx2.Client(base_url="http://testserver", transport=httpx2.MockTransport(answered))
        with Client(http=http) as client:
            receipt = client.change_items([ItemChangeRow(item_id="a", fields={"price": 2, "tags": ["x"]})])
            assert receipt.accepted == 1
            assert client.patch_item("a", ItemPatch(hidden=True), version=1).version == 2
            assert client.show_item("a").fields["tags"] == ["x"]
            assert client.replace_item("a", ItemDocument(fields={"price": 3})).fields["price"] == 3
            assert client.delete_item("a").deleted is True
            similar = client.similar("b", 1, fields=["genre"]).items[0]
            assert (similar.fields or {}).keys() == {"genre"}


def exploring(settings: Settings, share: float) -> TestClient:
    return TestClient(create_app(settings.model_copy(update={"explore_share": share})))


NEW = [{"item_id": f"n{number}", "fields": {"genre": "drama" if number % 2 else "comedy"}} for number in range(6)]


def explored(body: dict) -> list[str]:
    return [item["item_id"] for item in body["items"] if item["source"] == "explore"]


def test_items_that_the_model_does_not_know_get_their_share_of_places_and_no_more(settings: Settings) -> None:
    with exploring(settings, 0.25) as client, exploring(settings, 0.25) as other:
        client.post(ITEM, json={"items": NEW})
        for user in ("u0", "u1", "u2"):
            asked = {"user_id": user, "k": 4}
            body = client.post(POST, json=asked).json()
            assert (len(body["items"]), len(explored(body))) == (4, 1)
            scores = [item["score"] for item in body["items"]]
            assert scores == sorted(scores, reverse=True)
            assert item_ids(other.post(POST, json=asked).json()) == item_ids(body)
        dramas = client.post(POST, json={"k": 4, "filter": equal("genre", "drama"), "exclude": ["n1"]}).json()
        assert set(explored(dramas)) < {"n3", "n5"}
        assert len(dramas["items"]) == 4
        client.post(ITEM, json={"items": [{"item_id": one["item_id"], "hidden": True} for one in NEW]})
        assert explored(other.post(POST, json={"k": 8}).json()) == []


def test_items_that_come_together_have_the_columns_grow_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown: list[int] = []
    original = Columns.grow
    monkeypatch.setattr(Columns, "grow", lambda self, n: (grown.append(n), original(self, n))[1])
    with exploring(settings, 0.5) as client:
        client.post(ITEM, json={"items": NEW})
        assert len(explored(client.post(POST, json={"k": 8}).json())) >= 3
    assert grown == [len(NEW)]


def test_a_new_item_without_fields_leaves_filters_right(settings: Settings) -> None:
    with exploring(settings, 0.25) as client:
        client.post(ITEM, json={"items": NEW})
        asked = {"k": 4, "filter": equal("genre", "drama")}
        before = client.post(POST, json=asked).json()
        client.patch(f"{ITEM}/n9", json={"hidden": True})
        answer = client.post(POST, json=asked)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["items"]) == len(before["items"])


def test_pages_hold_every_item_once_those_that_the_model_does_not_know_too(settings: Settings) -> None:
    with exploring(settings, 0.3) as client:
        client.post(ITEM, json={"items": NEW})
        pages, cursor = [], None
        while not pages or cursor:
            body = client.post(POST, json={"user_id": "u0", "k": 3, **({"cursor": cursor} if cursor else {})}).json()
            pages, cursor = [*pages, body["items"]], body["next_cursor"]
        items = [item for page in pages for item in page]
        assert [item["rank"] for item in items] == list(range(1, len(items) + 1))
        assert sorted(item["item_id"] for item in items) == sorted([*"defgh", *(one["item_id"] for one in NEW)])


def test_without_the_setting_the_model_does_not_know_them(settings: Settings) -> None:
    with exploring(settings, 0.0) as client:
        client.post(ITEM, json={"items": NEW})
        assert popular(client, k=20) == POPULAR
        assert client.get(f"{ITEM}/n1").json()["in_model"] is False


def test_explanations_and_columns_come_with_them_too(settings: Settings) -> None:
    with exploring(settings, 0.5) as client:
        client.post(ITEM, json={"items": NEW})
        body = client.post(POST, json={"history": ["a"], "k": 4, "explain": True, "fields": ["genre"]}).json()
        new = [item for item in body["items"] if item["source"] == "explore"]
        assert len(new) == 2
        assert [(item["because"], item["pushed_by"]) for item in new] == [([], "exploration")] * 2
        assert all(item["fields"]["genre"] in ("drama", "comedy") for item in body["items"])


def test_a_bundle_of_each_kind_hides_and_filters(tmp_path: Path) -> None:
    for name in ("popularity", "mult-vae"):
        store = f"sqlite:///{tmp_path}/{name}.db"
        fill(store)
        settings = Settings(bundle=write_tiny_bundle(tmp_path / name, name), store=store)
        with TestClient(create_app(settings)) as client:
            client.patch(f"{ITEM}/e", json={"hidden": True})
            client.patch(f"{ITEM}/d", json={"fields": {"genre": "drama"}})
            found = popular(client, user_id="u0", filter=equal("genre", "drama"), diversity=0.3)
            assert sorted(found) == ["d", "g"]


@pytest.fixture
def placing(tmp_path: Path) -> Settings:
    """A bundle that places items by their genre: comedies above all else, dramas below."""
    model = catalog.create("mult-vae", len(ITEMS), MultVAEConfig(hidden=4, latent=2))
    assert isinstance(model, FactorizedRecommender)
    schema = Schema.learn([Field("genre", "category")], METADATA.to_dicts())
    weights = np.zeros((1 + schema.width, model.item_vectors().shape[1]), dtype=np.float32)
    weights[1:, -1] = [50, -50]
    tiers = Tiers(TierPolicy(content=True), content=ContentMap(schema, weights))
    ids = IdMap.from_values(ITEMS)
    write_bundle(
        tmp_path / "b", model, ids, popularity=POPULARITY, provenance=Provenance(), item_table=METADATA, tiers=tiers
    )
    return Settings(bundle=tmp_path / "b", store=f"sqlite:///{tmp_path}/e.db")


def test_an_item_that_the_model_does_not_know_takes_the_place_that_its_content_gives_it(placing: Settings) -> None:
    with TestClient(create_app(placing)) as client:
        client.post(ITEM, json={"items": [*NEW, {"item_id": "bare", "fields": {"price": 1}}]})
        body = client.post(POST, json={"history": ["a"], "k": 20, "fields": ["genre"]}).json()
        assert item_ids(body)[:3] == ["n0", "n2", "n4"]
        assert item_ids(body)[-3:] == ["n1", "n3", "n5"]
        assert len(item_ids(body)) == 13  # seven of the model and six of these; nothing is known of `bare`
        assert [item["source"] for item in body["items"][:4]] == ["content"] * 3 + ["history"]
        scores = [item["score"] for item in body["items"]]
        assert scores == sorted(scores, reverse=True)
        pages, cursor = [], None
        while not pages or cursor:
            page = client.post(POST, json={"history": ["a"], "k": 2, **({"cursor": cursor} if cursor else {})}).json()
            pages, cursor = pages + item_ids(page), page["next_cursor"]
        assert pages == item_ids(body)
        boost = [{"by": "add", "value": 200, "items": ["n1"]}]
        asked = {"history": ["a"], "k": 1, "boost": boost}
        assert item_ids(client.post(POST, json=asked).json()) == ["n1"]
        client.patch(f"{ITEM}/n0", json={"fields": {"genre": "drama"}})
        asked = {"history": ["a"], "k": 2, "exclude": ["n4"], "explain": True}
        first, second = client.post(POST, json=asked).json()["items"]
        assert (first["item_id"], first["because"], first["pushed_by"]) == ("n2", [], "history")
        assert second["source"] == "history"
        assert item_ids(client.post(POST, json={"k": 20}).json()) == POPULAR  # nobody's list goes by vectors


def test_places_by_content_and_places_that_are_kept_share_a_list(placing: Settings) -> None:
    bare = [{"item_id": f"bare{number}", "fields": {"price": 1}} for number in range(4)]
    with exploring(placing, 0.5) as client:
        client.post(ITEM, json={"items": [*NEW, *bare]})
        for k in (1, 2, 5, 20):
            body = client.post(POST, json={"history": ["a"], "k": k}).json()
            assert len(set(item_ids(body))) == len(body["items"]) == min(k, 17)
            assert len(explored(body)) in ({4} if k == 20 else {k // 2, k // 2 + 1})
