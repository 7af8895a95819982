import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import pyfunc
from typer.testing import CliRunner

from pipelines.artifacts.mlflow_registry import Promotion, promote, register_bundle, requirements
from pipelines.cli import build
from pipelines.promotion import promote as promotion
from pipelines.promotion.registered_bundles import registered_bundle
from recsys_vae.bundles.bundle import Bundle, Tiers, write_bundle
from recsys_vae.bundles.manifest import Manifest, Provenance, read_manifest
from recsys_vae.bundles.tier_policy import POSTERIOR, PRIOR, TierPolicy, TierThreshold
from recsys_vae.data.features import Field, Schema
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig
from recsys_vae.recommender import FallbackChain
from recsys_vae.training.tracking import connect, tracked_run
from service.deployment.bundle_sources import fetched
from tests.worlds import csr, untrained

ITEMS = tuple("abcdefgh")
POPULARITY = np.array([8, 7, 6, 5, 4, 3, 2, 1])


def make_bundle(path: Path, trained_on: str = "all") -> tuple[Path, Manifest]:
    """A bundle of a small model over eight items."""
    provenance = Provenance(dataset="tiny", trained_on=trained_on, metrics={"ndcg@100": 0.125})
    model = untrained("mult-vae", len(ITEMS))
    return path, write_bundle(path, model, IdMap.from_values(ITEMS), popularity=POPULARITY, provenance=provenance)


def register(path: Path, name: str = "movies", trained_on: str = "all") -> str:
    bundle, manifest = make_bundle(path, trained_on)
    with tracked_run("tiny", "mult-vae") as tracker:
        return register_bundle(tracker, bundle, name, manifest=manifest)


def model_path(name: str, version: str) -> str:
    return str(connect().get_model_version_download_uri(name, version))


@pytest.fixture
def clean_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model puts its copy of the code on the path; later tests must not see it there."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_each_bundle_becomes_a_version_and_the_challenger(mlflow_home: Path, tmp_path: Path) -> None:
    assert register(tmp_path / "one") == "1"
    assert register(tmp_path / "two", trained_on="split:strong/train") == "2"
    client = connect()
    found = client.get_model_version_by_alias("movies", "challenger")
    assert str(found.version) == "2"
    assert found.tags["bundle"] == read_manifest(tmp_path / "two").version
    assert found.tags["trained_on"] == "split:strong/train"
    assert found.tags["ndcg_at_100"] == "0.125"
    assert client.get_run(found.run_id).info.status == "FINISHED"


def test_the_logged_model_is_code_and_bundle_and_nothing_pickled(mlflow_home: Path, tmp_path: Path) -> None:
    version = register(tmp_path / "one")
    logged = Path(model_path("movies", version).removeprefix("file://"))
    names = {path.name for path in logged.iterdir()}
    assert {"MLmodel", "pyfunc_model.py", "code", "artifacts", "input_example.json"} <= names
    assert (logged / "code" / "recsys_vae" / "bundles" / "bundle.py").is_file()
    assert sorted(path.name for path in (logged / "artifacts" / "bundle").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )
    assert not [path for path in logged.rglob("*") if path.suffix in (".pkl", ".pickle", ".pyc")]


def test_registering_prints_nothing_and_leaves_the_working_directory_alone(
    mlflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    register(tmp_path / "one")
    register(tmp_path / "two")
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "cwd").iterdir())


def test_requirements_are_plain_pins_of_what_serving_needs() -> None:
    pins = dict(line.split("==") for line in requirements())
    assert {"torch", "numpy", "scipy", "polars", "safetensors", "pandas", "mlflow"} <= set(pins)
    assert "recsys-vae" not in pins
    assert not any("+" in version for version in pins.values())


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b"])
def test_a_name_that_no_address_could_hold_is_refused(mlflow_home: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a registered model"):
        register(tmp_path / "one", name)


def test_the_challenger_becomes_champion_and_the_old_one_is_told(mlflow_home: Path, tmp_path: Path) -> None:
    register(tmp_path / "one")
    bundle = read_manifest(tmp_path / "one").version
    assert promote("movies") == Promotion("movies", "1", None, bundle, None)
    register(tmp_path / "two")
    assert promote("movies").previous == "1"
    back = promote("movies", "1")
    assert (back.version, back.previous) == ("1", "2")
    assert str(connect().get_model_version_by_alias("movies", "champion").version) == "1"
    assert str(connect().get_model_version_by_alias("movies", "challenger").version) == "2"


def test_a_model_that_has_not_learned_from_all_data_is_promoted_with_a_warning(
    mlflow_home: Path, tmp_path: Path
) -> None:
    register(tmp_path / "one", trained_on="split:strong/train")
    warning = promote("movies").warning
    assert warning is not None
    assert "split:strong/train" in warning
    assert "recsys publish" in warning


def test_names_versions_and_aliases_that_do_not_exist_are_named(mlflow_home: Path, tmp_path: Path) -> None:
    register(tmp_path / "one")
    with pytest.raises(UnknownNameError, match=r"no registered model named 'movie'\. Did you mean 'movies'"):
        promote("movie")
    with pytest.raises(UnknownNameError, match="no version of model movies named '7'"):
        promote("movies", "7")
    connect().delete_registered_model_alias("movies", "challenger")
    with pytest.raises(UnknownNameError, match="no alias of model movies named 'challenger'"):
        promote("movies")


@pytest.mark.usefixtures("clean_path")
def test_the_logged_model_answers_like_the_fallback_chain(mlflow_home: Path, tmp_path: Path) -> None:
    register(tmp_path / "one")
    model = pyfunc.load_model(model_path("movies", "1"))
    answer = model.predict(pd.DataFrame({"history": [["b", "d", "b"], [], ["?", "a"]], "k": [3, 2, 8]}))
    chain = FallbackChain(Bundle.load(tmp_path / "one"))
    expected = chain.recommend(csr([[1, 3], [], [0]], len(ITEMS)), 8)
    ids = [[ITEMS[row] for row in rows if row >= 0] for rows in expected.rows]
    assert answer["item_ids"].tolist() == [ids[0][:3], ["a", "b"], ids[2]]
    assert answer["tier"].tolist() == ["history", "popular", "history"]
    assert answer["unknown_items"].tolist() == [[], [], ["?"]]
    assert [len(scores) for scores in answer["scores"]] == [3, 2, 7]
    assert answer["scores"][0] == pytest.approx(expected.scores[0][:3].tolist(), rel=1e-5)


@pytest.mark.usefixtures("clean_path")
def test_the_logged_model_takes_metadata_where_the_bundle_does(mlflow_home: Path, tmp_path: Path) -> None:
    schema = Schema.learn([Field("country", "category")], [{"country": "NZ"}, {"country": "FI"}])
    model = ConditionalVAE(8, ConditionalVAEConfig(hidden=8, latent=4, prior_hidden=4, metadata=schema.widths))
    policy = TierPolicy(described=(TierThreshold(0, PRIOR), TierThreshold(1, POSTERIOR)))
    manifest = write_bundle(
        tmp_path / "one", model, IdMap.from_values(ITEMS), popularity=POPULARITY, provenance=Provenance(),
        tiers=Tiers(policy, schema),
    )  # fmt: skip
    with tracked_run("tiny", "conditional-vae") as tracker:
        register_bundle(tracker, tmp_path / "one", "movies", manifest=manifest)
    served = pyfunc.load_model(model_path("movies", "1"))
    told: list[object] = [{"country": "NZ"}, {"country": "FI"}, {}, None]
    answer = served.predict(pd.DataFrame({"history": [["a"], [], [], []], "metadata": told}))
    assert answer["tier"].tolist() == ["posterior", "prior", "popular", "popular"]
    known = schema.encode([{"country": "NZ"}, {"country": "FI"}])
    expected = FallbackChain(Bundle.load(tmp_path / "one")).recommend(csr([[0], []], 8), 7, metadata=known)
    assert answer["item_ids"][0] == [ITEMS[row] for row in expected.rows[0]]
    assert served.predict(pd.DataFrame({"history": [["a"]]}))["tier"].tolist() == ["history"]


@pytest.mark.usefixtures("clean_path")
def test_the_logged_model_takes_ten_when_k_is_left_out_and_refuses_what_breaks_its_signature(
    mlflow_home: Path, tmp_path: Path
) -> None:
    from mlflow.exceptions import MlflowException

    register(tmp_path / "one")
    model = pyfunc.load_model(model_path("movies", "1"))
    assert len(model.predict(pd.DataFrame({"history": [["a"]]}))["item_ids"][0]) == 7
    disliked = pd.DataFrame({"history": [["a"]], "weights": [[2.0]], "dislikes": [["b", "?"]]})
    assert "b" not in model.predict(disliked)["item_ids"][0]
    with pytest.raises(MlflowException, match="as many as the items"):
        model.predict(pd.DataFrame({"history": [["a"]], "weights": [[2.0, 1.0]]}))
    for frame in ({"history": ["a"]}, {"histories": [["a"]]}, {"history": [["a"]], "k": [0]}, {"history": [[1]]}):
        with pytest.raises(MlflowException) as caught:
            model.predict(pd.DataFrame(frame))
        assert caught.value.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


def test_recsys_promote_tells_what_it_did_and_how_to_go_back(mlflow_home: Path, tmp_path: Path) -> None:
    register(tmp_path / "one")
    register(tmp_path / "two", trained_on="split:strong/train")
    runner, app = CliRunner(), build()
    first = runner.invoke(app, ["promote", "movies", "--version", "1", "--force", "there is no dataset"])
    assert "champion is now version 1" in first.output
    answer = runner.invoke(app, ["promote", "movies", "--force", "nor here"])
    assert answer.exit_code == 0
    assert "recsys rollback movies" in answer.stdout
    assert "warning: Version 2 of movies was trained on split:strong/train" in answer.stderr
    assert "champion is now version 1" in runner.invoke(app, ["promote", "movies", "--version", "1"]).output


@contextmanager
def running(command: list[str], folder: Path, ready: str, **environment: str) -> Iterator[str]:
    """`mlflow COMMAND` on a free port; the address, once `ready` below it answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "--port", str(port)],
            env=os.environ | {"PATH": programs} | environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/{ready}", process, folder / "mlflow.log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"mlflow did not come up:\n{log.read_text()}")


def post(address: str, body: object) -> tuple[int, dict[str, list[dict[str, object]]]]:
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.slow
def test_mlflow_models_serve_answers(mlflow_home: Path, tmp_path: Path) -> None:
    register(tmp_path / "one")
    store = f"sqlite:///{mlflow_home / 'mlflow.db'}"
    command = ["models", "serve", "--model-uri", "models:/movies@challenger", "--env-manager", "local"]
    with running(command, tmp_path, "ping", MLFLOW_TRACKING_URI=store) as served:
        check_answers(served)


@pytest.mark.slow
def test_another_tracking_server_holds_runs_and_bundles_as_well(
    mlflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "server").mkdir()
    shutil.copy(mlflow_home / "mlflow.db", tmp_path / "server" / "mlflow.db")
    command = ["server", "--backend-store-uri", "sqlite:///mlflow.db", "--workers", "1"]
    with running(command, tmp_path / "server", "health") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
        assert register(tmp_path / "one") == "1"
        assert promote("movies").version == "1"
        with fetched("models:/movies@champion") as directory:
            assert read_manifest(directory) == read_manifest(tmp_path / "one")
        with registered_bundle(connect(), "movies", "1") as directory:
            assert read_manifest(directory) == read_manifest(tmp_path / "one")
        done = promotion.promote("movies", force="a server far away")
        assert done.version == done.champion == "1"
    assert capfd.readouterr().out == ""
    assert not (mlflow_home / "mlartifacts").exists()


def check_answers(served: str) -> None:
    status, answer = post(served, {"dataframe_records": [{"history": ["b", "d"], "k": 3}, {"history": [], "k": 1}]})
    assert status == 200
    first, second = answer["predictions"]
    assert len(first["item_ids"]) == len(first["scores"]) == 3  # type: ignore[arg-type]
    assert first["tier"] == "history"
    assert second == {"item_ids": ["a"], "scores": [8.0], "tier": "popular", "unknown_items": []}
    split = {"dataframe_split": {"columns": ["history"], "data": [[["b", "d"]]]}}
    assert post(served, split)[1]["predictions"][0]["item_ids"][:3] == first["item_ids"]  # type: ignore[index]
    assert post(served, {"dataframe_records": [{"history": ["b"], "k": 0}]})[0] == 400
    assert post(served, {"dataframe_records": [{"history": "b"}]})[0] == 400
