"""What is past its limits goes, and nothing that is still needed, nor a stranger's file."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.summary import IngestSummary, Kept
from pipelines.promotion.champions import crown, roll_back
from pipelines.retention.clean import Outcome, clean
from pipelines.retention.leftovers import LEFTOVERS
from pipelines.retention.removal import Limits
from pipelines.retention.runs import BUNDLES, EVENTS, PAGES, WORKSPACES
from pipelines.retention.versions import VERSIONS
from pipelines.retraining import job
from pipelines.retraining.journal import Journal, Status
from recsys_vae.errors import BusyError
from recsys_vae.home import home
from recsys_vae.locks import exclusive
from recsys_vae.training.tracking import connect
from tests.prepared import waiting
from tests.service.tiny import write_tiny_bundle

NOW = datetime.now(UTC)
LONG_AGO = 400


def aged(path: Path, days: float) -> Path:
    """A path, and all below it, that was last written to so many days ago."""
    moment = (NOW - timedelta(days=days)).timestamp()
    for one in (path, *path.rglob("*")):
        os.utime(one, (moment, moment), follow_symlinks=False)
    return path


def run_of(number: int, bundle: Path, days: float, **facts: str) -> Path:
    folder = job.job_folder("shop") / "runs" / f"2026010{number}T000000Z"
    shutil.copytree(bundle, folder / "shipped")
    Journal(run=folder.name, job="shop", started_at=NOW, status=Status.DONE, facts=facts).write(folder)
    (folder / "index.html").write_text("<p>page</p>")
    lists = {"user_id": ["a"], "rank": [1], "item_id": ["b"], "score": [1.0], "tier": ["history"], "source": ["m"]}
    pl.DataFrame(lists).write_parquet(folder / "lists.parquet")
    return aged(folder, days)


def told(outcomes: list[Outcome]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in outcomes:
        found.setdefault(one.removal.kind, []).append(one.removal.name)
    return found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "ease", "ease")


def test_bundles_of_old_runs_go_first_and_pages_once_they_are_past_their_age(mlflow_home: Path, bundle: Path) -> None:
    folders = [run_of(n, bundle, LONG_AGO if n < 3 else 5) for n in range(1, 7)]
    (folders[1] / "my-notes.md").write_text("mine")
    plan = clean("shop", Limits(runs=2, days=90), dry_run=True)
    assert all((folder / "shipped").is_dir() for folder in folders)
    done = clean("shop", Limits(runs=2, days=90))
    assert told(done) == told(plan)
    assert told(done) == {BUNDLES: [folder.name for folder in folders[:4]], PAGES: [folders[0].name, folders[1].name]}
    assert all(one.removal.size > 100 for one in done)
    assert not folders[0].exists()
    assert [path.name for path in folders[1].iterdir()] == ["my-notes.md"]
    for folder in folders[2:4]:
        assert sorted(path.name for path in folder.iterdir()) == ["index.html", "run.json"]
    assert all((folder / "lists.parquet").is_file() for folder in folders[4:])
    assert [one.hindrance for one in done if one.hindrance] == ["1 files in it are not ours"]
    assert told(clean("shop", Limits(runs=2, days=90))) == {}


def add_version(bundle: Path, folder: Path) -> str:
    """A version that holds a bundle as MLflow's wrapping of one does, without what only serving needs."""
    client = connect()
    if not client.search_registered_models():
        client.create_registered_model("shop")
        client.create_experiment("shop", (home() / "mlartifacts" / "shop").as_uri())
    experiment = client.get_experiment_by_name("shop")
    run = client.create_run(experiment.experiment_id)
    shutil.copytree(bundle, folder / "artifacts" / "bundle")
    (folder / "MLmodel").write_text("flavors: {}")
    logged = client.create_logged_model(experiment.experiment_id, folder.name, run.info.run_id)
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    source = client.get_logged_model(logged.model_id).artifact_location
    tags = {"bundle": folder.name}
    version = client.create_model_version("shop", source, run.info.run_id, tags, model_id=logged.model_id)
    client.set_registered_model_alias("shop", "challenger", version.version)
    return str(version.version)


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_versions_without_a_use_go_from_disk_too(mlflow_home: Path, tmp_path: Path, bundle: Path) -> None:
    client = connect()
    for number in range(1, 7):
        assert add_version(bundle, tmp_path / f"v{number}") == str(number)
    for before, version in ((None, "1"), ("1", "2"), ("2", "3")):
        crown(client, "shop", version, instead_of=before)
    champion = run_of(1, bundle, LONG_AGO, promoted="3")
    for number in (2, 3):
        run_of(number, bundle, LONG_AGO)
    kept = mlflow_home / "mlartifacts"
    before, tomorrow = bytes_of(kept), NOW + timedelta(days=1)
    assert VERSIONS not in told(clean("shop", Limits(versions=6, days=0, now=tomorrow), dry_run=True))
    assert told(clean("shop", Limits(versions=1, days=90), dry_run=True))[VERSIONS] == ["shop/4", "shop/5"]
    done = clean("shop", Limits(runs=1, versions=1, days=0, now=tomorrow))
    assert told(done)[VERSIONS] == ["shop/1", "shop/4", "shop/5"], "2 may be gone back to, 3 is champion, 6 challenger"
    assert {str(one.version) for one in client.search_model_versions("name='shop'")} == {"2", "3", "6"}
    experiment = client.get_experiment_by_name("shop")
    left = {model.name for model in client.search_logged_models([experiment.experiment_id])}
    assert left == {"v2", "v3", "v6"}
    freed = sum(one.removal.size for one in done if one.removal.kind == VERSIONS)
    assert (freed > 0, bytes_of(kept)) == (True, before - freed)
    assert (champion / "shipped").is_dir()
    assert [folder.name[7] for folder in job.runs(job.job_folder("shop"))] == ["1", "3"], (
        "the champion's and the newest"
    )
    assert roll_back("shop").version == "2"


def test_workspaces_leftovers_and_taken_events_go_once_nobody_works_on_them(mlflow_home: Path) -> None:
    bundles, events = mlflow_home / "bundles", job.job_folder("shop") / "events"
    for folder in (bundles, events, mlflow_home / "datasets" / "shop"):
        folder.mkdir(parents=True)
    for name, days in ((".old.training", LONG_AGO), (".new.training", 1)):
        (bundles / name).mkdir()
        np.zeros(9).tofile(bundles / name / "trial.safetensors")
        aged(bundles / name, days)
    for name, days in ((".staged.abc", 3), (".staged.new", 0.1), (".old.0123abcd.partial", 3)):
        (mlflow_home / name).mkdir()
        (mlflow_home / name / "part.csv").write_text("1,2\n")
        aged(mlflow_home / name, days)
    names = ["0-5.parquet", "5-9.parquet", "9-12.parquet"]
    for name in [*names, "12-20.parquet"]:
        (events / name).write_bytes(b"events")
    summary = IngestSummary("shop", tuple(names), CleaningRules(), 0, (), (), Kept(0, 0, 0, 0.0))
    summary.write(mlflow_home / "datasets" / "shop" / "summary.json")
    done = clean("shop", Limits(days=90))
    assert told(done) == {
        EVENTS: names,
        WORKSPACES: [str(bundles / ".old.training")],
        LEFTOVERS: [str(mlflow_home / ".staged.abc"), str(mlflow_home / "old")],
    }
    assert sorted(path.name for path in events.iterdir()) == ["12-20.parquet"]
    assert sorted(path.name for path in mlflow_home.glob(".*")) == [".staged.new"]
    assert sorted(path.name for path in bundles.iterdir()) == [".new.training"]


def test_nothing_goes_while_the_job_is_at_work(mlflow_home: Path, bundle: Path) -> None:
    for number in (1, 2):
        run_of(number, bundle, LONG_AGO)
    script = (
        "from pipelines.retention.clean import clean; from pipelines.retention.removal import Limits; "
        "clean('shop', Limits(runs=1))"
    )
    with exclusive(job.job_folder("shop")):
        done = subprocess.run(waiting().script(script), capture_output=True, text=True, check=False)
    assert BusyError.__name__ in done.stderr
    assert json.loads((job.runs(job.job_folder("shop"))[0] / "run.json").read_bytes())["job"] == "shop"
