"""Lists that were shown, made again: over reloads, changes of items, newcomers and drafts; or refused, and why."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, text, update
from typer.testing import CliRunner

from pipelines.cli import build
from recsys_vae.errors import RecsysError
from service.app import create_app
from service.deployment.past_bundles import PastBundles
from service.http.replay import Replay, Replayer, replayed
from service.jobs.retention import clean_events
from service.security.api_keys import entry_of, new_key
from service.settings import Settings
from service.store.deployments import DeploymentTable
from service.store.events import EventStore
from service.store.impressions import ImpressionTable
from service.store.tables import EVENTS, IMPRESSIONS, ITEM_VERSIONS
from tests.service.places import Place
from tests.service.tiny import ITEMS, USERS, fill, write_tiny_bundle

POST = "/v1/recommendations"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for name in ("ease", "mult-vae", "popularity"):
        write_tiny_bundle(folder / name, name)
    return folder


def settings_of(root: Path, url: str, **more: object) -> Settings:
    told = {"bundle_root": root, "store": url, "exposures": "on", "deadline_ms": 60_000}
    return Settings(**{"variant": (f"a=1:{root / 'ease'}",), **told, **more})  # type: ignore[arg-type]


@pytest.fixture
def start(root: Path, place: Place) -> Iterator:
    fill(place.url)
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(TestClient(create_app(settings_of(root, place.url, **more))))


def again(url: str, root: Path, request_id: str, user: str | None = None) -> list[Replay]:
    settings = settings_of(root, url)
    with closing(EventStore(url)) as store:
        bundles = PastBundles(DeploymentTable(store.database), settings, {})
        return replayed(Replayer(store, bundles), request_id, user)


BODIES = (
    {}, {"history": ["h", "a"]}, {"diversity": 0.5}, {"exclude": ["d"]}, {"repeat": "allow"},
    {"filter": {"op": "eq", "column": "genre", "value": "drama"}}, {"at_most": [{"column": "genre", "n": 1}]},
    {"boost": [{"by": "multiply", "value": 3.0, "where": {"op": "range", "column": "price", "max": 5}}]},
    {"history": [{"item_id": "b", "weight": 1.0}, {"item_id": "c", "time": "2026-11-01T00:00:00Z"}]},
    {"quotas": [{"n": 1, "group": "long-tail"}]}, {"explain": True, "fields": ["genre", "price"]},
)  # fmt: skip


def act(client: TestClient, random: np.random.Generator, step: int) -> None:
    """Change something about an item or a user."""
    item, kind = str(random.choice([*ITEMS, "n1", "n2", "n3"])), step % 5
    if kind == 0:
        response = client.patch(f"/v1/items/{item}", json={"hidden": bool(random.random() < 0.5)})
    elif kind == 1:
        genre = str(random.choice(["drama", "comedy"]))
        response = client.put(
            f"/v1/items/{item}", json={"fields": {"genre": genre, "price": float(random.integers(9))}}
        )
    elif kind == 2:
        response = client.delete(f"/v1/items/{item}")
    else:
        event = {"user_id": str(random.choice(USERS)), "item_id": item, "event_type": "buy"}
        response = client.post("/v1/events", json={"events": [event]})
    assert response.status_code < 500, response.text


def test_hundreds_of_lists_over_reloads_and_changes_of_items_are_identical(root: Path, place: Place, start) -> None:
    random, client, asked = np.random.default_rng(0), start(explore_share=0.3), []
    client.patch("/v1/items/a", json={"fields": {"price": 3.0}})
    client.post(POST, json={"user_id": "u0"})
    client.get("/v1/users/u0")  # writes the first list down: from then on it is kept what items were
    for step in range(120 if place.url.startswith("sqlite") else 40):
        if step % 15 == 14:
            source = ("mult-vae", "popularity", "ease")[step // 15 % 3]
            assert client.post("/v1/admin/reload", json={"source": source}).json()["changed"] is True
        act(client, random, step)
        body = {"k": int(random.integers(1, 6)), "user_id": str(random.choice(USERS)), **BODIES[step % len(BODIES)]}
        if step % 7 == 0:
            del body["user_id"]
        answer = client.post(POST, json=body, headers={"X-Request-ID": f"r{step}"})
        assert answer.status_code == 200, answer.text
        asked.append(answer.json())
        if cursor := answer.json()["next_cursor"]:
            more = client.post(POST, json=body | {"cursor": cursor}, headers={"X-Request-ID": f"r{step}.more"})
            assert more.status_code == 200, more.text
            asked.append(more.json())
    client.get("/v1/users/u0")
    assert len({answer["model_version"] for answer in asked}) == 3
    assert any(item["source"] == "explore" for answer in asked for item in answer["items"])
    found = [one for answer in asked for one in again(place.url, root, answer["request_id"])]
    assert len(found) == len(asked)
    assert [one.shown for one in found] == [tuple(item["item_id"] for item in one["items"]) for one in asked]
    assert [(one.request_id, one.shown, one.rebuilt) for one in found if not one.is_identical] == []
    assert all(one.first_difference is None and not one.is_rounding for one in found)


def test_drafted_lists_and_batches_are_made_again(root: Path, place: Place, start) -> None:
    variants = tuple(f"{name}=1:{root / model}" for name, model in (("a", "ease"), ("b", "mult-vae")))
    client = start(variant=variants, interleave="a,b")
    for number in range(20):
        body = {"requests": [{"user_id": user, "k": 3} for user in USERS] + [{"history": ["a"], "k": 4}]}
        client.post(f"{POST}:batch", json=body, headers={"X-Request-ID": f"r{number}"})
    client.get("/v1/users/u0")
    found = [one for number in range(20) for one in again(place.url, root, f"r{number}")]
    assert {one.user_id for one in found} == set(USERS)
    assert all(one.is_identical and one.variant == "a+b" for one in found)
    [alone] = again(place.url, root, "r3", "u2")
    assert alone.user_id == "u2"
    [unnamed] = again(place.url, root, "r3.6")
    assert unnamed.is_identical


def shown_one(client: TestClient, **body: object) -> dict:
    answer = client.post(POST, json={"user_id": "u0", "k": 3, **body}, headers={"X-Request-ID": "r.1"}).json()
    client.get("/v1/users/u0")
    return answer


def test_the_api_says_it_and_the_record_of_a_user_has_it(start) -> None:
    client = start()
    answer = shown_one(client, history=["h"], explain=True)
    told = client.get("/v1/admin/replay/r.1").json()
    assert (told["replayed"], told["identical"]) == ("r.1", True)
    [one] = told["lists"]
    assert one["rebuilt"] == one["shown"] == [item["item_id"] for item in answer["items"]]
    [shown] = client.get("/v1/users/u0").json()["shown"]
    assert shown["recipe"]["body"] == {"history": ["h"], "k": 3}
    assert client.get("/v1/admin/replay/nothing").json()["type"].endswith("not-shown")


def test_of_erased_users_nothing_is_made_again(root: Path, place: Place, start) -> None:
    client = start()
    shown_one(client)
    client.delete("/v1/users/u0")
    refused = client.get("/v1/admin/replay/r.1")
    assert refused.status_code == 404
    assert "its user was erased" in refused.json()["detail"]
    with closing(EventStore(place.url)) as store, store.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM exposures")).scalar() == 0


def test_a_difference_is_told_with_its_first_place(root: Path, place: Place, start) -> None:
    client = start()
    answer = shown_one(client)
    ids = [item["item_id"] for item in answer["items"]]
    with closing(EventStore(place.url)) as store, store.database.writing() as connection:
        connection.execute(update(IMPRESSIONS).values(items=json.dumps([ids[0], "zz", ids[2]])))
    told = client.get("/v1/admin/replay/r.1").json()
    assert (told["identical"], told["lists"][0]["first_difference"]) == (False, 2)
    ran = CliRunner().invoke(build(), ["replay", "r.1", "--store", place.url])
    assert ran.exit_code == 1
    assert "zz" in ran.output
    assert "Different: place 2 is the first." in ran.output


def test_what_comes_next_is_told_where_other_items_were_shown(root: Path, place: Place, start) -> None:
    client = start()
    shown = [item["item_id"] for item in shown_one(client)["items"]]
    longer = client.post(POST, json={"user_id": "u0", "k": len(shown) + 1}).json()["items"][-1]
    with closing(EventStore(place.url)) as store, store.database.writing() as connection:
        mine = IMPRESSIONS.c.request_id == "r.1"
        connection.execute(update(IMPRESSIONS).where(mine).values(items=json.dumps([*shown[:-1], longer["item_id"]])))
    (made,) = again(place.url, root, "r.1")
    assert made.beyond[0] == (longer["item_id"], pytest.approx(longer["score"]))
    assert (made.first_difference, made.is_rounding) == (len(shown), False)


def test_only_ties_are_called_rounding() -> None:
    made = Replay("r", "u", "a", "v", 1, 0, ("x", "y"), ("y", "x"), (1.0, 1.0 - 1e-6))
    assert made.is_rounding
    assert not Replay("r", "u", "a", "v", 1, 0, ("x", "y"), ("y", "x"), (1.0, 0.9)).is_rounding
    shorter = Replay("r", "u", "a", "v", 1, 0, ("x", "y"), ("x",), (1.0,))
    assert (shorter.first_difference, shorter.is_rounding) == (2, False)


@pytest.mark.parametrize(("score", "is_rounding"), [(0.5 - 1e-7, True), (0.4, False)])
def test_a_tie_at_the_end_of_a_list_may_be_with_what_comes_next(score: float, is_rounding: bool) -> None:
    made = Replay("r", "u", "a", "v", 1, 0, ("x", "z"), ("x", "y"), (1.0, 0.5), (("z", score), ("w", 0.1)))
    assert made.is_rounding is is_rounding


def test_what_is_no_longer_there_is_said(root: Path, place: Place, start, tmp_path: Path) -> None:
    client = start()
    client.patch("/v1/items/a", json={"hidden": True})
    shown_one(client)
    client.patch("/v1/items/a", json={"hidden": False})
    assert again(place.url, root, "r.1")[0].is_identical
    with closing(EventStore(place.url)) as store:
        with store.database.writing() as connection:
            connection.execute(delete(ITEM_VERSIONS))
        with pytest.raises(RecsysError, match=r"1 items, 'a' among them, have changed since"):
            again(place.url, root, "r.1")
        with store.database.writing() as connection:
            recipe = {"body": {"k": 3}, "history": 3, "items": [2, 2], "generation": 1, "n_events": 3}
            connection.execute(update(IMPRESSIONS).values(recipe=json.dumps(recipe)))
            connection.execute(delete(EVENTS).where(EVENTS.c.item_id == "a"))
        with pytest.raises(RecsysError, match="it had 3 events, and 2 of them are left"):
            again(place.url, root, "r.1")
        with store.database.writing() as connection:
            connection.execute(update(IMPRESSIONS).values(recipe=None))
        with pytest.raises(RecsysError, match="Nothing was kept"):
            again(place.url, root, "r.1")


def test_a_bundle_that_is_elsewhere_is_named(root: Path, place: Place, start, tmp_path: Path) -> None:
    shutil.copytree(root / "ease", tmp_path / "gone")
    client = start(variant=(f"a=1:{tmp_path / 'gone'}",), bundle_root=tmp_path / "none")
    shown_one(client)
    (tmp_path / "gone").rename(tmp_path / "kept")
    call = ["replay", "r.1", "--store", place.url]
    refused = CliRunner().invoke(build(), call)
    assert refused.exit_code == 3
    assert "This needs the bundle ease-" in refused.output
    assert "--bundle PATH" in refused.output
    ran = CliRunner().invoke(build(), [*call, "--bundle", str(tmp_path / "kept"), "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.output)["identical"] is True


def test_versions_of_items_go_with_the_lists_and_are_kept_with_lists_only(root: Path, place: Place, start) -> None:
    client = start()
    for price in (1.0, 2.0):
        client.patch("/v1/items/a", json={"fields": {"price": price}})
    with closing(EventStore(place.url)) as store:

        def n_versions() -> int:
            with store.database.reading() as connection:
                return connection.execute(text("SELECT count(*) FROM item_versions")).scalar_one()

        assert n_versions() == 0
        shown_one(client)
        client.patch("/v1/items/a", json={"fields": {"price": 3.0}})
        assert n_versions() == 1
        clean_events(store.database, events_before=None, impressions_before=2**62)
        assert n_versions() == 0
        assert ImpressionTable(store.database).count("u0") == 0


def test_it_takes_both_scopes(root: Path, place: Place) -> None:
    keys = {scopes: new_key() for scopes in (("admin",), ("histories",), ("admin", "histories"))}
    told = ";".join(str(entry_of(key, f"k{n}", scopes)) for n, (scopes, key) in enumerate(keys.items()))
    with TestClient(create_app(settings_of(root, place.url, keys=told))) as client:
        found = [
            client.get("/v1/admin/replay/r", headers={"Authorization": f"Bearer {key}"}).status_code
            for key in keys.values()
        ]
    assert found == [403, 403, 404]
