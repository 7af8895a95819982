import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines import doctor
from pipelines.cli import build
from pipelines.doctor import Finding, State, examine, is_healthy


def found(name: str) -> Finding:
    return next(finding for finding in examine() if finding.name == name)


def test_a_fresh_installation_is_healthy_and_nothing_is_created_by_looking(recsys_home: Path) -> None:
    findings = examine()
    assert is_healthy(findings), findings
    assert {finding.area for finding in findings} == {
        "machine", "libraries", "computing", "folders", "stores", "contents"
    }  # fmt: skip
    assert not recsys_home.exists()


def test_a_store_that_answers_is_told_from_one_that_is_not_made_yet(mlflow_home: Path) -> None:
    assert found("MLflow").value.endswith("mlflow.db answers")
    assert "is created by" in found("events").value


@pytest.mark.parametrize(
    ("variable", "name"), [("MLFLOW_TRACKING_URI", "MLflow"), ("RECSYS_STORE", "events")], ids=["mlflow", "events"]
)
def test_a_store_that_does_not_answer_is_broken_and_its_password_is_kept(
    recsys_home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    for address in ("nosuchdatabase://me:secret@localhost/recsys", "postgresql://me:secret@localhost:port/recsys"):
        monkeypatch.setenv(variable, address)
        finding = found(name)
        assert finding.state is State.BROKEN
        assert "secret" not in finding.value


def test_both_compiled_libraries_are_named(recsys_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_NATIVE", "0")
    for name in ("compiled loops", "compiled tables", "compiled Parquet"):
        assert found(name).value == "not used: RECSYS_NATIVE=0"


def test_both_builds_of_faiss_at_once_are_broken(recsys_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "faiss_builds", lambda: ["faiss-cpu", "faiss-gpu"])
    finding = found("faiss")
    assert finding.state is State.BROKEN
    assert "faiss-cpu and faiss-gpu" in finding.value


def test_the_installed_build_of_faiss_is_the_only_one() -> None:
    assert len(doctor.faiss_builds()) == 1


def test_a_home_that_cannot_be_made_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert found("RECSYS_HOME").state is State.BROKEN


def test_a_data_folder_that_is_not_there_is_a_warning(recsys_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_DATA_DIR", str(recsys_home / "nowhere"))
    assert found("RECSYS_DATA_DIR").state is State.WARNING


def test_ingested_datasets_and_damaged_bundles_are_listed(recsys_home: Path) -> None:
    (recsys_home / "datasets" / "movies").mkdir(parents=True)
    (recsys_home / "datasets" / "movies" / "interactions.parquet").touch()
    (recsys_home / "bundles" / "b").mkdir(parents=True)
    (recsys_home / "bundles" / "b" / "manifest.json").write_text("{}")
    assert found("ingested datasets").value == "movies"
    assert found("bundle").state is State.WARNING


def test_a_check_that_fails_unforeseen_is_a_finding(recsys_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise RuntimeError("out of order")

    monkeypatch.setattr(doctor, "faiss_builds", fail)
    assert Finding("faiss", "check", "RuntimeError: out of order", State.BROKEN) in examine()


def test_the_command_prints_a_table_or_json_and_its_status_says_whether_all_is_well(
    recsys_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, app = CliRunner(), build()
    assert "Everything needed works" in runner.invoke(app, ["doctor"]).stdout
    monkeypatch.setattr(doctor, "faiss_builds", list)
    broken = runner.invoke(app, ["doctor", "--json"])
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["healthy"] is False
