import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys_vae.errors import BusyError, UnavailableError
from recsys_vae.locks import exclusive
from recsys_vae.termination import Terminated
from recsys_vae.training.tracking import connect, git_commit, mlflow_name, tracked_run


def stored(run_id: str):  # type: ignore[no-untyped-def]
    return connect().get_run(run_id)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_importing_the_module_leaves_mlflow_alone() -> None:
    code = "import sys, recsys_vae.training.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ndcg@100", "ndcg_at_100"),
        ("recall@20[all]", "recall_at_20_all"),
        ("ndcg@100_se", "ndcg_at_100_se"),
        ("users_per_second", "users_per_second"),
        ("training.kl_weight", "training.kl_weight"),
        ("a:b+c", "a_b_c"),
    ],
)
def test_names_are_spelled_in_the_alphabet_of_mlflow(name: str, told: str) -> None:
    from mlflow.utils.validation import validate_param_and_metric_name

    assert mlflow_name(name) == told
    assert validate_param_and_metric_name(told)


def test_a_run_keeps_parameters_and_metrics_by_epoch(mlflow_home: Path) -> None:
    with tracked_run("movies", "mult-vae", tags={"split": "strong"}) as tracker:
        tracker.log_parameters({"training.epochs": 2, "split": None, "long": "x" * 7000})
        tracker.log_metrics({"ndcg@100": 0.25, "loss": float("nan")}, epoch=1)
        tracker.log_metrics({"ndcg@100": 0.5}, epoch=2)
    run = stored(tracker.run_id)
    assert (run.info.status, run.info.run_name, run.data.tags["split"]) == ("FINISHED", "mult-vae", "strong")
    assert run.info.end_time is not None
    assert run.data.params == {"training.epochs": "2", "split": "None", "long": "x" * 6000}
    history = connect().get_metric_history(tracker.run_id, "ndcg_at_100")
    assert [(entry.step, entry.value) for entry in history] == [(1, 0.25), (2, 0.5)]


def test_artifacts_of_the_default_store_lie_under_the_home_by_absolute_address(mlflow_home: Path) -> None:
    with tracked_run("movies", "a"), tracked_run("movies", "b") as tracker:
        pass
    address = stored(tracker.run_id).info.artifact_uri
    assert address.startswith((mlflow_home / "mlartifacts" / "movies").as_uri())


def test_more_parameters_than_one_call_takes_are_all_kept(mlflow_home: Path) -> None:
    with tracked_run("movies", "a") as tracker:
        tracker.log_parameters({f"p{number}": number for number in range(250)})
    assert len(stored(tracker.run_id).data.params) == 250


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (Terminated, "KILLED"), (ValueError, "FAILED")]
)
def test_a_run_that_is_cut_short_says_so(mlflow_home: Path, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), tracked_run("movies", "a") as tracker:
        raise error
    assert stored(tracker.run_id).info.status == status


def test_a_continued_run_is_the_same_run_and_its_first_parameters_stay(mlflow_home: Path) -> None:
    with tracked_run("movies", "a") as first:
        first.log_parameters({"git_commit": "one"})
    with tracked_run("movies", "a", run_id=first.run_id) as second:
        assert stored(first.run_id).info.status == "RUNNING"
        second.log_parameters({"git_commit": "two", "device": "cpu"})
    run = stored(first.run_id)
    assert second.run_id == first.run_id
    assert run.data.params == {"git_commit": "one", "device": "cpu"}
    assert run.info.status == "FINISHED"


def test_a_run_that_the_store_does_not_know_is_begun_anew(mlflow_home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with tracked_run("movies", "a", run_id="0" * 32) as tracker:
        pass
    assert tracker.run_id != "0" * 32
    assert "cannot be continued" in caplog.text


def test_a_run_prints_nothing(mlflow_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with tracked_run("movies", "a") as tracker:
        tracker.log_metrics({"ndcg@100": 0.5}, 1)
    assert capfd.readouterr() == ("", "")


def test_a_server_that_is_not_there_is_named_within_seconds(recsys_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(UnavailableError, match=r"store at http://127\.0\.0\.1:\d+ does not answer: .*refused"):
        connect()
    assert time.monotonic() - started < 15


def test_a_database_that_cannot_be_opened_is_named(recsys_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{recsys_home / 'no' / 'such' / 'folder' / 'mlflow.db'}")
    with pytest.raises(UnavailableError, match="unable to open database file"):
        connect()


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UnavailableError, match=r"RECSYS_HOME .* cannot be created"):
        connect()


def test_the_commit_is_that_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit() is None
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    commit = git_commit()
    assert commit is not None
    assert len(commit) == 40


def test_a_store_that_another_process_is_making_is_waited_for(
    mlflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys_vae.local_store.PATIENCE", 0.1)
    with exclusive(mlflow_home / "mlflow.db"), monkeypatch.context() as elsewhere:
        elsewhere.setattr("recsys_vae.locks._held", {})  # what another process knows of it
        with pytest.raises(BusyError, match=r"mlflow\.db is being worked on by process"):
            connect()
    connect()


@pytest.mark.slow
def test_three_first_runs_at_once_find_one_store(recsys_home: Path) -> None:
    code = "from recsys_vae.training.tracking import tracked_run\nwith tracked_run('movies', 'a') as run: pass"
    started = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ends = [(process.communicate(timeout=200)[1], process.returncode) for process in started]
    assert ends == [("", 0)] * 3
    experiment = connect().get_experiment_by_name("movies")
    assert [run.info.status for run in connect().search_runs([experiment.experiment_id])] == ["FINISHED"] * 3
