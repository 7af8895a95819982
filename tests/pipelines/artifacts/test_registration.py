from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.artifacts.registration import register
from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.training.train import Output
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import BundleCorruptError, BusyError, ConfigError, UnavailableError
from recsys_vae.locks import exclusive, lock_path
from recsys_vae.training.tracking import connect
from tests.pipelines.datasets_of_tastes import dataset_of_tastes

EASE = ("--model", "ease", "--set", "l2=1")


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


def versions(name: str = "tastes") -> list[str]:
    return [str(found.version) for found in connect().search_model_versions(f"name='{name}'")]


def test_a_bundle_whose_registration_failed_is_registered_by_the_same_command(
    dataset: DatasetDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UnavailableError("The store is locked.")

    command = ("train", "tastes", "--to", str(tmp_path / "bundle"), *EASE)
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.training.train.register_bundle", fail)
        failed = run(*command)
    assert f"recsys register {tmp_path}/bundle --as tastes" in str(failed.exception)
    assert versions() == []

    other = run(*command[:-1], "l2=2")
    assert "exists: that run is complete" in str(other.exception)  # what stands there is another model
    aged = run(*command, "--half-life", "30")
    assert "exists: that run is complete" in str(aged.exception)  # weights stay in what stands there
    with monkeypatch.context() as patched:
        patched.setattr(Interactions, "fingerprint", lambda _: "of other interactions")
        assert "exists: that run is complete" in str(run(*command).exception)
    again = run(*command)
    assert again.exit_code == 0, again.exception
    assert "was complete, and is registered now: models:/tastes/1" in again.stdout
    made = read_manifest(tmp_path / "bundle")
    found = connect().get_model_version_by_alias("tastes", "challenger")
    assert (str(found.version), found.run_id) == ("1", made.provenance.run_id)
    told = connect().get_run(str(made.provenance.run_id))
    assert told.info.status == "FINISHED"
    assert told.data.metrics["ndcg_at_100"] == pytest.approx(made.provenance.metrics["ndcg@100"])
    assert not (tmp_path / ".bundle.training").exists()

    assert "exists: that run is complete" in str(run(*command).exception)
    assert register(tmp_path / "bundle").is_new is False
    connect().delete_registered_model_alias("tastes", "challenger")  # as if the last word had not been said
    assert "it was registered already" in run("register", str(tmp_path / "bundle")).stdout
    assert str(connect().get_model_version_by_alias("tastes", "challenger").version) == "1"
    planned = run("register", str(tmp_path / "bundle"), "--as", "others", "--dry-run").stdout
    assert "would be a new version of models:/others" in planned
    assert run("register", str(tmp_path / "bundle"), "--as", "others").exit_code == 0
    assert versions("others") == ["1"]


def test_what_is_no_bundle_is_not_registered(mlflow_home: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleCorruptError):
        register(tmp_path)


@pytest.mark.parametrize("name", ["a/b", "a:b", "a@b", "it's", "", " a", "a?b", "a%2fb", "a\nb", "..", "a" * 201])
def test_a_name_that_no_model_can_have_is_refused_before_training(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot name a registered model: .*--register-as"):
        Output(tmp_path / "bundle", registered_name=name)


@pytest.mark.parametrize("name", ["movies", "Müller & co", "a.b-c_d", "1"])
def test_names_of_models_may_be_in_any_language(tmp_path: Path, name: str) -> None:
    assert Output(tmp_path / "bundle", registered_name=name).registered_name == name


def test_a_training_to_a_place_that_another_process_works_on_is_refused_at_once(
    dataset: DatasetDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exclusive(tmp_path / "bundle"), monkeypatch.context() as elsewhere:
        elsewhere.setattr("recsys_vae.locks._held", {})  # what another process knows of it
        refused = run("train", "tastes", "--to", str(tmp_path / "bundle"), *EASE)
    assert isinstance(refused.exception, BusyError)
    assert not lock_path(tmp_path / "bundle").exists()
