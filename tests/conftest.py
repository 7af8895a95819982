"""Places that tests of several rooms share."""

import gc
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Tests work on tiny matrices, where threads only wait for each other; processes that they start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A test that sets HOME must not find the fonts that matplotlib lists there when it is first imported.
os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / f"recsys-tests-matplotlib-{os.getuid()}"))

import pytest
from hypothesis import settings

from tests.prepared import Prepared, waiting

# How long one example takes says how busy the machine is.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_finish() -> None:
    """Look for garbage rarely, and not among what was imported: that was a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """A test that lets the service log into a stream of its own does not leave that stream, closed, to the next."""
    yield
    if "structlog" in sys.modules:
        sys.modules["structlog"].reset_defaults()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT is a KeyboardInterrupt, also where the tests run in the background and it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def sigterm() -> Iterator[None]:
    """SIGTERM raises Terminated, and no thread waits to end the tests."""
    from recsys_vae.termination import raise_terminated

    before = signal.signal(signal.SIGTERM, raise_terminated)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Files may not grow beyond 64 KiB: what a full disk is to whoever writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def recsys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A RECSYS_HOME of this test's own, with nothing in it and no other store named."""
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "RECSYS_STORE", "RECSYS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def prepared() -> Iterator[Prepared]:
    """Real processes that need not import torch and MLflow first."""
    yield waiting()
    waiting().close()


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store; MLflow takes ten seconds to make one, so tests get copies."""
    from recsys_vae.training.tracking import connect

    with pytest.MonkeyPatch.context() as monkeypatch:
        directory = tmp_path_factory.mktemp("mlflow")
        monkeypatch.setenv("RECSYS_HOME", str(directory))
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect()
    return directory / "mlflow.db"


@pytest.fixture
def mlflow_home(recsys_home: Path, mlflow_database: Path) -> Path:
    """A RECSYS_HOME of this test's own that holds an empty MLflow store."""
    recsys_home.mkdir()
    shutil.copy(mlflow_database, recsys_home / "mlflow.db")
    return recsys_home
