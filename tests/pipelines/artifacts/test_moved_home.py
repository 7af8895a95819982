"""RECSYS_HOME is moved after a model was registered: everything that asks its store finds it in the new place."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import doctor
from pipelines.artifacts.mlflow_registry import promote
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.errors import BundleError, StorageError
from recsys_vae.local_store import ADDRESSES, follow_home
from recsys_vae.tracking_store import default_database
from recsys_vae.training.tracking import connect, tracked_run
from service.deployment.bundle_sources import open_catalogue, resolved
from tests.pipelines.artifacts.test_mlflow_registry import register


@pytest.fixture
def moved(mlflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a registered model, at another path than the one it was written at."""
    register(tmp_path / "bundle")
    place = tmp_path / "another [place]"
    mlflow_home.rename(place)
    monkeypatch.setenv("RECSYS_HOME", str(place))
    return place


def addresses(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    found = [row[0] for table, column in ADDRESSES for row in connection.execute(f"SELECT {column} FROM {table}")]
    connection.close()
    return [address for address in found if address.startswith("file:") and "/mlartifacts/" in address]


def test_a_service_serves_from_a_home_that_has_moved(moved: Path, tmp_path: Path) -> None:
    version = read_manifest(tmp_path / "bundle").version
    assert resolved("models:/movies@challenger") == "models:/movies/1"
    assert open_catalogue("models:/movies@challenger").version == version


def test_promotions_and_new_runs_go_by_the_new_place(moved: Path, tmp_path: Path) -> None:
    assert promote("movies").version == "1"
    assert open_catalogue("models:/movies@champion").version == read_manifest(tmp_path / "bundle").version
    with tracked_run("tiny", "mult-vae") as tracker:
        tracker.log_text("curve", "latents/kl.csv")
    assert len(list((moved / "mlartifacts").rglob("kl.csv"))) == 1
    assert not (tmp_path / "home").exists()
    assert len(addresses(moved / "mlflow.db")) == 6
    assert {address.partition("/mlartifacts/")[0] for address in addresses(moved / "mlflow.db")} == {moved.as_uri()}


def test_a_bundle_that_is_gone_is_not_promoted_and_the_doctor_says_so(moved: Path) -> None:
    shutil.rmtree(moved / "mlartifacts" / "tiny" / "models")
    with pytest.raises(BundleError, match=r"Version 1 of movies has no bundle: .*mlartifacts.* is not there"):
        promote("movies")
    assert "champion" not in connect().get_registered_model("movies").aliases
    (told,) = [finding for finding in doctor.examine() if finding.name == "registered model"]
    assert told.state is doctor.State.BROKEN


def test_a_moved_home_that_may_not_be_written_to_says_what_to_do(moved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr("recsys_vae.local_store._rewrite", refuse)
    with pytest.raises(StorageError, match=r"has moved to .*readonly database.* Run `recsys doctor` once"):
        follow_home()


def test_artifacts_that_lie_elsewhere_stay_where_they_are(mlflow_home: Path, tmp_path: Path) -> None:
    elsewhere = (tmp_path / "disk" / "mlartifacts" / "own").as_uri()
    connect().create_experiment("own", artifact_location=elsewhere)
    follow_home()
    assert connect().get_experiment_by_name("own").artifact_location == elsewhere


def test_a_store_whose_writer_was_killed_is_read(recsys_home: Path) -> None:
    """It leaves a journal, which nobody can roll back who opens the store for reading only."""
    recsys_home.mkdir()
    script = (
        "import os, signal, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('CREATE TABLE experiments (artifact_location TEXT)')\n"
        "connection.execute('PRAGMA cache_size = 1')\n"
        "connection.execute('BEGIN')\n"
        "for number in range(2000):\n"
        "    connection.execute('INSERT INTO experiments VALUES (?)', (str(number) * 100,))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(default_database())], check=False)
    assert done.returncode == -signal.SIGKILL
    assert default_database().with_name("mlflow.db-journal").is_file()
    follow_home()
    with closing(sqlite3.connect(default_database())) as connection:
        assert connection.execute("SELECT count(*) FROM experiments").fetchone() == (0,)
