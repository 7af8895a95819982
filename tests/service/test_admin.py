"""Bundles are swapped while the service answers, here and on every replica; a bad one changes nothing."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event as Signal

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from sqlalchemy import text

from recsys_vae.bundles.bundle import INDEX, write_bundle
from recsys_vae.bundles.manifest import Provenance, describe, read_manifest, write_manifest
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import BundleError, UnavailableError
from recsys_vae.models import catalog
from recsys_vae.models.mult_dae import MultDAEConfig
from recsys_vae.retrieval.faiss_index import build_index
from service.app import create_app
from service.client.client import Client
from service.deployment import bundle_sources, loader
from service.deployment.controller import Deployments
from service.observability.metrics import Metrics
from service.settings import Settings
from service.store.actions import ActionLog
from service.store.deployments import DeploymentTable
from service.store.events import EventStore
from tests.service.places import Place
from tests.service.test_routes import check_problem, item_ids
from tests.service.tiny import ITEMS, POPULARITY, write_tiny_bundle

POST = "/v1/recommendations"
RELOAD = "/v1/admin/reload"
ROLLBACK = "/v1/admin/rollback"
ASKED = {"history": ["a"], "k": 4}
SOON = 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of three bundle_sources, and the link `current` to the first."""
    for name, model in (("one", "ease"), ("two", "popularity"), ("three", "mult-vae")):
        write_tiny_bundle(tmp_path / "bundles" / name, model)
    point(tmp_path / "bundles", "one")
    return tmp_path / "bundles"


def point(root: Path, name: str) -> None:
    (root / "current").unlink(missing_ok=True)
    (root / "current").symlink_to(name)


def version(root: Path, name: str) -> str:
    return read_manifest(root / name).version


@pytest.fixture
def settings(root: Path, place: Place) -> Settings:
    return Settings(bundle=root / "current", bundle_root=root, store=place.url, poll_seconds=0.05)


@contextmanager
def running(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with running(settings) as client:
        yield client


def served(client: TestClient) -> str:
    response = client.post(POST, json=ASKED)
    assert response.status_code == 200, response.text
    return response.json()["model_version"]


def changed(response) -> dict:
    assert response.status_code == 200, response.text
    return response.json()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def metric(client: TestClient, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_a_link_that_points_elsewhere_is_loaded_again(client: TestClient, root: Path) -> None:
    assert served(client) == version(root, "one")
    point(root, "two")
    body = changed(client.post(RELOAD))
    assert (body["changed"], body["generation"], body["active"]) == (True, 2, 2)
    assert body["variants"] == [
        {
            "name": "main", "weight": 1.0, "share": 1.0, "model_version": version(root, "two"), "model": "popularity",
            "n_items": 8, "source": str((root / "two").resolve()),
        }
    ]  # fmt: skip
    assert served(client) == client.get("/v1/bundle").json()["model_version"] == version(root, "two")
    again = changed(client.post(RELOAD, json={}))
    assert (again["changed"], again["generation"]) == (False, 2)
    shown = client.get("/v1/admin/deployment").json()
    assert shown == {name: again[name] for name in again if name != "changed"} | {"request_id": shown["request_id"]}
    assert metric(client, 'recsys_swaps_total{result="swapped"}') == 1
    assert metric(client, "recsys_deployment_generation") == 2


def test_a_bundle_below_the_root_is_loaded_by_name_and_nothing_else(client: TestClient, root: Path) -> None:
    assert changed(client.post(RELOAD, json={"source": "two"}))["variants"][0]["model"] == "popularity"
    assert changed(client.post(RELOAD, json={"source": "three", "variant": "main"}))["generation"] == 3
    (root.parent / "outside").mkdir()
    shutil.copytree(root / "one", root.parent / "outside" / "one")
    (root / "out").symlink_to(root.parent / "outside" / "one")
    for source in ("../outside/one", str(root.parent / "outside" / "one"), "out", "models:/../one"):
        found = check_problem(client.post(RELOAD, json={"source": source}), 422, "invalid-request")
        assert found["errors"][0]["field"] == "body.source"
    check_problem(client.post(RELOAD, json={"source": "four"}), 422, "bundle-refused")
    check_problem(client.post(RELOAD, json={"source": "x" * 300}), 422, "bundle-refused")
    check_problem(client.post(RELOAD, json={"source": "file:///etc"}), 422, "bundle-refused")
    found = check_problem(client.post(RELOAD, json={"variant": "b"}), 422, "invalid-request")
    assert found["errors"][0]["field"] == "body.variant"
    assert served(client) == version(root, "three")


def cut_short(bundle: Path) -> None:
    content = (bundle / "weights.safetensors").read_bytes()
    (bundle / "weights.safetensors").write_bytes(content[: len(content) // 2])


def change_a_byte(bundle: Path) -> None:
    content = bytearray((bundle / "items.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "items.parquet").write_bytes(content)


def take_a_file_away(bundle: Path) -> None:
    (bundle / INDEX).unlink()


def write_another_format(bundle: Path) -> None:
    content = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(content | {"format_version": 99}))


def take_an_index_of_another_dimension(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    build_index(np.eye(8, dtype=np.float32)[:, :3].copy(), "flat").save(bundle / INDEX)
    describe_again(bundle, dict(manifest.index))


def take_weights_of_another_dimension(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    wider = catalog.create("mult-vae", len(ITEMS), catalog.configure("mult-vae", {"hidden": 9, "latent": 2}))
    write_bundle(bundle, wider, IdMap.from_values(ITEMS), popularity=POPULARITY, provenance=Provenance(dataset="x"))
    describe_again(bundle, dict(manifest.index))


def describe_again(bundle: Path, index: dict) -> None:
    """A manifest whose checksums fit what lies there by now."""
    told = {"hidden": 4, "latent": 2}
    (bundle / "manifest.json").unlink()
    made = describe(
        bundle, model="mult-vae", settings=told, n_items=len(ITEMS), index=index, provenance=Provenance(dataset="x")
    )
    write_manifest(bundle, made)


def answer_without_numbers(bundle: Path) -> None:
    model = catalog.create("mult-dae", len(ITEMS), MultDAEConfig(hidden=8))
    with torch.no_grad():
        for weights in model.parameters():
            weights.fill_(1e38)
    write_bundle(bundle, model, IdMap.from_values(ITEMS), popularity=POPULARITY, provenance=Provenance(dataset="x"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut_short, "weights.safetensors was altered or cut short"),
        (change_a_byte, "items.parquet was altered or cut short"),
        (take_a_file_away, "lacks index.faiss"),
        (write_another_format, "bundle format 99, this version reads 1"),
        (take_an_index_of_another_dimension, "contradicts its manifest"),
        (take_weights_of_another_dimension, "contradicts its manifest"),
        (answer_without_numbers, "scores would overflow"),
        (shutil.rmtree, "is not a bundle"),
    ],
)
@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_bad_bundle_is_refused_with_its_reason_and_the_old_one_answers(
    client: TestClient, root: Path, damage: Callable[[Path], None], reason: str
) -> None:
    before = client.post(POST, json=ASKED).json()
    shutil.copytree(root / "three", root / "bad")
    damage(root / "bad")
    point(root, "bad")
    for body in (None, {"source": "bad"}):
        found = check_problem(client.post(RELOAD, json=body), 422, "bundle-refused")
        assert reason in found["detail"]
        after = client.post(POST, json=ASKED).json()
        assert (after["items"], after["model_version"]) == (before["items"], before["model_version"])
    assert client.get("/health/ready").status_code == 200
    assert client.get("/v1/admin/deployment").json()["generation"] == 1
    assert metric(client, 'recsys_swaps_total{result="refused"}') == 2


def test_what_was_damaged_in_its_place_is_refused_too(client: TestClient, root: Path) -> None:
    cut_short(root / "one")
    check_problem(client.post(RELOAD), 422, "bundle-refused")
    assert served(client) == version(root, "one")


def test_rolling_back_goes_back_step_by_step_until_nothing_is_before(
    client: TestClient, root: Path, place: Place
) -> None:
    check_problem(client.post(ROLLBACK), 409, "nothing-before")
    for name in ("two", "three"):
        changed(client.post(RELOAD, json={"source": name}))
    shutil.rmtree(root / "two")  # it is kept in memory
    assert changed(client.post(ROLLBACK))["generation"] == 4
    assert client.get("/v1/bundle").json()["model"] == "popularity"
    assert changed(client.post(ROLLBACK))["generation"] == 5  # read again from where it was taken
    assert served(client) == version(root, "one")
    check_problem(client.post(ROLLBACK), 409, "nothing-before")
    with closing(place.open()) as store:
        noted = ActionLog(store.database).latest(9, subject="deployment")
    assert [(one.action, one.detail) for one in noted] == [
        ("roll-back", {"generation": 5}),
        ("roll-back", {"generation": 4}),
        ("reload", {"generation": 3, "source": "three", "variant": None}),
        ("reload", {"generation": 2, "source": "two", "variant": None}),
    ]


def test_a_rollback_to_what_cannot_be_had_any_more_changes_nothing(settings: Settings, root: Path) -> None:
    with running(settings.model_copy(update={"keep_previous": 0})) as client:
        changed(client.post(RELOAD, json={"source": "two"}))
        point(root, "two")
        shutil.rmtree(root / "one")
        found = check_problem(client.post(ROLLBACK), 409, "not-to-be-had")
        assert "cannot be had" in found["detail"]
        assert client.get("/v1/bundle").json()["model"] == "popularity"


def test_a_second_load_is_not_begun_beside_the_first(
    client: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, let_go = Signal(), Signal()
    real = bundle_sources.open_catalogue

    def slow(source: str, _: object):
        begun.set()
        assert let_go.wait(SOON)
        return real(source)

    monkeypatch.setattr(bundle_sources, "open_catalogue", slow)
    point(root, "two")
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(client.post, RELOAD)
        assert begun.wait(SOON)
        check_problem(client.post(RELOAD), 409, "load-under-way")
        assert served(client) == version(root, "one")  # nobody waits for the load
        let_go.set()
        assert changed(first.result())["changed"]


def test_a_rollback_passes_a_reload_that_hangs_and_the_reload_does_not_undo_it(
    client: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(client.post(RELOAD, json={"source": "two"}))
    begun, let_go = Signal(), Signal()
    real = bundle_sources.open_catalogue

    def hanging(source: str, _: object):
        begun.set()
        assert let_go.wait(SOON)
        return real(source)

    monkeypatch.setattr(bundle_sources, "open_catalogue", hanging)
    with ThreadPoolExecutor(1) as threads:
        reload = threads.submit(client.post, RELOAD, json={"source": "three"})
        assert begun.wait(SOON)
        assert changed(client.post(ROLLBACK))["generation"] == 3
        assert served(client) == version(root, "one")
        let_go.set()
        check_problem(reload.result(), 409, "superseded")
    assert served(client) == version(root, "one")
    assert client.get("/v1/admin/deployment").json()["active"] == 3


def test_a_registry_that_hangs_does_not_hold_up_a_stop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    alias, begun, let_go, came_back = "models:/movies@champion", Signal(), Signal(), Signal()
    answers = iter(["models:/movies/1"])

    def resolved(source: str) -> str:
        if (answer := next(answers, None)) is None:
            begun.set()
            let_go.wait(SOON)
            came_back.set()
        return answer or source

    real, bundle = bundle_sources.open_catalogue, str(settings.bundle)
    monkeypatch.setattr(bundle_sources, "resolved", lambda source, _: resolved(source) if source == alias else source)
    monkeypatch.setattr(bundle_sources, "open_catalogue", lambda *_: real(bundle))
    polled = settings.model_copy(update={"bundle": None, "model": alias, "alias_poll_seconds": 0.05})
    with running(polled):
        assert begun.wait(SOON)
    assert not came_back.is_set()
    let_go.set()


def test_a_reload_tells_how_many_replicas_follow_and_waits_for_them(settings: Settings, root: Path) -> None:
    slow = settings.model_copy(update={"poll_seconds": 60.0})
    with running(settings) as one:
        with running(settings) as other:
            followed = changed(one.post(RELOAD, params={"wait": SOON}, json={"source": "two"}))
            assert (followed["replicas"], followed["behind"]) == (2, 0)
            assert served(other) == version(root, "two")
            back = Client(http=other).rollback(wait=SOON)
            assert (back.replicas, back.behind, served(one)) == (2, 0, version(root, "one"))
        with running(slow):
            at_once = changed(one.post(RELOAD, json={"source": "two"}))
            assert (at_once["replicas"], at_once["behind"]) == (2, 1)
            assert one.get("/v1/admin/deployment").json()["behind"] == 1
            assert changed(one.post(RELOAD, params={"wait": 0.2}, json={"source": "two"}))["behind"] == 1
        assert one.get("/v1/admin/deployment").json()["replicas"] == 1
        for wait in (-1, 601, "nan"):
            check_problem(one.post(RELOAD, params={"wait": wait}), 422, "invalid-request")


def test_a_replica_that_was_killed_is_missed_after_a_while(client: TestClient, settings: Settings) -> None:
    with closing(Place(settings.store_url).open()) as store:
        table = DeploymentTable(store.database)
        table.note_replica("killed", 0)
        assert table.replicas(1) == (2, 1)
        with store.database.writing() as connection:
            connection.execute(text("UPDATE replicas SET seen_at = seen_at - 16 WHERE replica = 'killed'"))
        assert table.replicas(1) == (1, 0)
        table.note_replica("other", 1)
        with store.database.reading() as connection:
            left = connection.execute(text("SELECT count(*) FROM replicas WHERE replica = 'killed'")).scalar()
        assert (table.replicas(1), left) == ((2, 0), 0)


def test_a_replica_that_follows_does_not_start_with_anything_but_what_is_in_service(
    settings: Settings, root: Path
) -> None:
    with running(settings) as client:
        changed(client.post(RELOAD, json={"source": "two"}))
    shutil.rmtree(root / "two")
    with pytest.raises(BundleError, match="cannot be had"), running(settings.model_copy(update={"follow": True})):
        pass


def test_a_replica_that_follows_starts_without_its_store_only_where_that_is_chosen(
    settings: Settings, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(settings) as client:
        changed(client.post(RELOAD, json={"source": "two"}))
    silent = settings.model_copy(update={"follow": True, "store": "postgresql+psycopg://nobody@127.0.0.1:1/none"})
    with pytest.raises(UnavailableError, match=r"not known: .*RECSYS_START_WITHOUT_STORE"), running(silent):
        pass
    with running(silent.model_copy(update={"start_without_store": True})) as client:
        assert served(client) == version(root, "one")
    assert "whatever is in service" in caplog.text


def test_swaps_under_load_fail_no_request_and_every_answer_is_of_the_version_it_names(
    client: TestClient, root: Path
) -> None:
    expected = {}
    for name in ("two", "one"):
        changed(client.post(RELOAD, json={"source": name}))
        expected[version(root, name)] = item_ids(client.post(POST, json=ASKED).json())
    assert len({tuple(items) for items in expected.values()}) == 2
    stop = Signal()

    def ask() -> list[tuple[int, bool, str]]:
        found = []
        while not stop.is_set():
            response = client.post(POST, json=ASKED)
            body = response.json()
            found.append(
                (response.status_code, item_ids(body) == expected[body["model_version"]], body["model_version"])
            )
        return found

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        for turn in range(10):
            assert changed(client.post(RELOAD, json={"source": ("two", "one")[turn % 2]}))["changed"]
        changed(client.post(ROLLBACK))
        stop.set()
        answers = [answer for asked in asking for answer in asked.result()]
    assert {(status, is_right) for status, is_right, _ in answers} == {(200, True)}
    assert {named for *_, named in answers} == set(expected)


def test_replicas_flip_together_and_back(settings: Settings, root: Path) -> None:
    with running(settings) as one, running(settings) as other:
        assert served(one) == served(other) == version(root, "one")
        assert [replica.get("/v1/admin/deployment").json()["generation"] for replica in (one, other)] == [1, 1]
        changed(one.post(RELOAD, json={"source": "two"}))
        wait_until(lambda: served(other) == version(root, "two"))
        changed(other.post(ROLLBACK))
        wait_until(lambda: served(one) == version(root, "one"))
        for replica in (one, other):
            assert replica.get("/health/ready").status_code == 200
            assert replica.get("/v1/admin/deployment").json()["generation"] == 3
        assert metric(other, 'recsys_swaps_total{result="followed"}') == 1


def test_a_replica_that_cannot_load_what_is_in_service_answers_with_the_old_one_and_is_not_ready(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = root.parent / "lent"
    with running(settings) as one, running(settings) as other:
        real = loader.assemble
        monkeypatch.setattr(
            "service.deployment.controller.assemble", lambda *made: real(*made) if lent.exists() else no_such(lent)
        )
        changed(one.post(RELOAD, json={"source": "two"}))
        wait_until(lambda: other.get("/health/ready").status_code == 503)
        found = check_problem(other.get("/health/ready"), 503, "not-ready")
        assert "Generation 2 is in service" in found["detail"]
        assert served(other) == version(root, "one")
        assert metric(other, "recsys_deployment_behind") == 1
        shown = other.get("/v1/admin/deployment").json()
        assert (shown["generation"], shown["active"]) == (1, 2)
        lent.mkdir()
        wait_until(lambda: other.get("/health/ready").status_code == 200)
        assert served(other) == version(root, "two")
        assert metric(other, "recsys_deployment_behind") == 0


def no_such(bundle: Path):
    raise bundle_sources.BundleError(f"{bundle} is not here yet")


def test_a_replica_that_starts_puts_what_it_is_given_in_service_or_follows(settings: Settings, root: Path) -> None:
    newer = settings.model_copy(update={"bundle": root / "two"})
    follower = settings.model_copy(update={"follow": True})
    with running(settings) as one:
        with running(newer) as other:
            assert served(other) == version(root, "two")
            wait_until(lambda: served(one) == version(root, "two"))
        with running(follower) as other:
            assert served(other) == version(root, "two")
            assert other.get("/v1/admin/deployment").json()["generation"] == 2
    nothing_named = follower.model_copy(update={"bundle": None})
    with running(nothing_named) as alone:
        assert served(alone) == version(root, "two")
        found = check_problem(alone.post(RELOAD), 422, "invalid-request")
        assert "name a source" in found["detail"]


def test_replicas_that_start_at_once_agree_on_one_deployment(settings: Settings) -> None:
    async def begin_all(stores: list[EventStore]) -> list[int]:
        replicas = [Deployments(settings, DeploymentTable(store.database), Metrics()) for store in stores]
        await asyncio.gather(*(replica.begin() for replica in replicas))
        return [replica.variant_set.generation for replica in replicas]

    stores = [EventStore(settings.store_url) for _ in range(4)]
    assert asyncio.run(begin_all(stores)) == [1] * 4
    for store in stores:
        store.close()


def test_reloads_at_one_replica_after_the_other_follow_each_other_at_once(settings: Settings, root: Path) -> None:
    slow = settings.model_copy(update={"poll_seconds": 60.0})
    with running(slow) as one, running(slow) as other:
        assert changed(one.post(RELOAD, json={"source": "two"}))["generation"] == 2
        assert changed(other.post(RELOAD, json={"source": "three"}))["generation"] == 3
        assert changed(one.post(ROLLBACK))["variants"][0]["model_version"] == version(root, "two")
        assert changed(other.post(ROLLBACK))["variants"][0]["model_version"] == version(root, "one")


def test_a_store_that_is_down_refuses_a_reload_and_changes_nothing(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UnavailableError("down")

    with running(settings.model_copy(update={"poll_seconds": 60.0})) as client:
        monkeypatch.setattr("service.store.deployments.DeploymentTable.add", fail)
        check_problem(client.post(RELOAD, json={"source": "two"}), 503, "unavailable")
        assert served(client) == version(root, "one")
        assert client.get("/health/ready").status_code == 200


def test_a_registry_that_is_not_there_or_does_not_answer_is_told(
    client: TestClient, root: Path, recsys_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"source": "models:/movies@champion"}
    found = check_problem(client.post(RELOAD, json=model), 422, "bundle-refused")  # to ask again would not help
    assert "no MLflow store" in found["detail"]

    def hang(*_: object) -> None:
        raise UnavailableError("no answer")

    monkeypatch.setattr(bundle_sources, "resolved", hang)
    check_problem(client.post(RELOAD, json=model), 503, "source-unavailable")
    assert served(client) == version(root, "one")


def test_a_store_that_comes_back_empty_is_told_again(settings: Settings, root: Path) -> None:
    with running(settings) as client:
        changed(client.post(RELOAD, json={"source": "two"}))
        with closing(Place(settings.store_url).open()) as store, store.database.writing() as connection:
            connection.execute(text("DELETE FROM deployments"))
        wait_until(lambda: client.get("/v1/admin/deployment").json()["generation"] == 1)
        assert served(client) == version(root, "two")


def test_an_alias_that_names_another_version_is_followed_and_a_rollback_stays(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias, named, real = "models:/movies@champion", {"champion": "one"}, bundle_sources.open_catalogue
    monkeypatch.setattr(
        bundle_sources,
        "resolved",
        lambda source, _: f"models:/movies/{named['champion']}" if source == alias else source,
    )
    monkeypatch.setattr(bundle_sources, "open_catalogue", lambda source, _: real(str(root / source.rpartition("/")[2])))
    polled = settings.model_copy(update={"bundle": None, "model": alias, "alias_poll_seconds": 0.05})
    with running(polled) as one, running(polled) as other:
        assert served(one) == version(root, "one")
        named["champion"] = "two"
        wait_until(lambda: served(one) == served(other) == version(root, "two"))
        changed(one.post(ROLLBACK))
        wait_until(lambda: served(other) == version(root, "one"))
        time.sleep(0.4)
        assert served(one) == served(other) == version(root, "one")
        named["champion"] = "nowhere"
        wait_until(lambda: metric(one, 'recsys_swaps_total{result="refused"}') >= 1)
        named["champion"] = "three"
        wait_until(lambda: served(one) == served(other) == version(root, "three"))
        assert metric(one, 'recsys_swaps_total{result="refused"}') == 1


def test_the_client_reloads_and_rolls_back(client: TestClient, root: Path) -> None:
    service = Client(http=client)
    assert service.reload("two").changed
    assert service.deployment().variants[0].model_version == version(root, "two")
    assert service.rollback().variants[0].model_version == version(root, "one")
    assert service.reload().changed is False


def test_the_admin_routes_are_documented_with_their_refusals(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"409", "422", "503"} <= set(paths[RELOAD]["post"]["responses"])
    assert {"409", "503"} <= set(paths[ROLLBACK]["post"]["responses"])


@pytest.mark.slow
@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_an_alias_of_a_real_registry_is_followed(
    settings: Settings, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    registry = MlflowClient(address)
    registry.create_registered_model("movies")
    for name in ("one", "two"):
        shutil.copytree(root / name, tmp_path / "models" / name / "artifacts" / "bundle")
        registry.create_model_version("movies", source=(tmp_path / "models" / name).as_uri())
    registry.set_registered_model_alias("movies", "champion", "1")
    polled = settings.model_copy(update={"bundle": None, "model": "models:/movies@champion", "alias_poll_seconds": 0.2})
    with running(polled) as client:
        assert served(client) == version(root, "one")
        registry.set_registered_model_alias("movies", "champion", "2")
        wait_until(lambda: served(client) == version(root, "two"))
        assert client.get("/v1/admin/deployment").json()["variants"][0]["source"] == "models:/movies/2"
        changed(client.post(ROLLBACK))
        time.sleep(1)
        assert served(client) == version(root, "one")
        assert changed(client.post(RELOAD, json={"source": "models:/movies/2"}))["changed"]
