"""The folder of the workers' metrics is the service's own, and does not outlive it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.server import metrics_folder
from service.server.metrics_folder import OWNERS, PREFIX, VARIABLE, own_folder, pass_over_inherited, shared


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folders are made."""
    monkeypatch.setattr(metrics_folder, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def folders(parent: Path) -> list[str]:
    return [path.name for path in parent.glob(f"{PREFIX}*")]


def test_a_folder_is_there_while_it_is_used(parent: Path) -> None:
    with own_folder() as folder:
        assert os.environ[VARIABLE] == folder
        with shared(), own_folder():  # another service leaves it alone
            assert len(folders(parent)) == 2
        assert folders(parent) == [Path(folder).name]
    assert folders(parent) == []
    assert VARIABLE not in os.environ


def test_what_a_killed_service_left_is_removed_by_the_next_one(parent: Path) -> None:
    left = parent / f"{PREFIX}left"
    left.mkdir()
    (left / "counter_7.db").write_text("1")
    (parent / f"{PREFIX}link").symlink_to(parent)
    with own_folder() as folder:
        assert (left / "counter_7.db").exists()  # nothing says that its owner is gone
        (left / OWNERS).touch()
        with own_folder():
            assert not left.exists()
        assert Path(folder).exists()
    assert folders(parent) == [f"{PREFIX}link"]


def test_the_last_worker_of_a_supervisor_that_was_killed_removes_its_folder(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (parent / f"{PREFIX}orphan").mkdir()
    (parent / f"{PREFIX}orphan" / OWNERS).touch()
    monkeypatch.setenv(VARIABLE, str(parent / f"{PREFIX}orphan"))
    with shared():
        with shared():
            pass
        assert folders(parent) == [f"{PREFIX}orphan"]
    assert folders(parent) == []


@pytest.mark.parametrize("variable", metrics_folder.VARIABLES)
def test_a_folder_that_the_environment_names_is_passed_over(
    variable: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(variable, "/nowhere")
    pass_over_inherited()
    assert variable not in os.environ
    assert "is passed over" in caplog.text


def test_who_supervises_workers_loads_nothing_that_computes_nor_a_database() -> None:
    """It would keep memory for that, and take seconds to put it away when it stops."""
    program = (
        "import sys, service.cli.commands, service.observability.logs, service.security.bind_checks, "
        "service.security.sessions, service.server.supervisor, service.server.listening, service.server.open_files; "
        "heavy = ('torch', 'faiss', 'numpy', 'fastapi', 'uvicorn', 'sqlalchemy'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
