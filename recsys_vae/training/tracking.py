"""Trackers: where parameters and metrics of a run go. The library's only import of mlflow is here.

MLflow is imported when a run starts, not before. Runs are written through a client of their own: no active run and no
tracking address is set globally, so that code around this may use MLflow as it likes.
"""

import getpass
import logging
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from recsys_vae.errors import ConfigError, RecsysError, UnavailableError
from recsys_vae.extras import explained
from recsys_vae.home import home
from recsys_vae.local_store import opening
from recsys_vae.termination import Terminated, at_last
from recsys_vae.tracking_store import artifact_root, default_tracking_uri, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MAX_VALUE_LENGTH = 6000
"""Characters of a parameter's value that MLflow keeps."""
PARAMETERS_A_CALL = 100
"""Parameters that MLflow takes in one call."""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
}
"""What MLflow does unasked, switched off where the user has not decided: it reports usage to its makers, prints links
to the standard output that other programs read, and takes the uv.lock of any directory it runs in for a model's own."""
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""Settings of the first request. Later ones keep MLflow's own patience of some minutes: hours of training are not lost
because a server restarts."""
REFUSALS = (
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_ALREADY_EXISTS",
    "NOT_FOUND",
    "INVALID_STATE",
)
"""Error codes that mean: the store answers, and the answer is no."""

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """What the training loop tells about itself."""

    @property
    def run_id(self) -> str | None:
        """Identity of the run at the tracking server; a checkpoint keeps it, so that a resumed run goes on in it."""
        ...

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Tell what was chosen."""
        ...

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Tell what was measured after an epoch.

        Raises:
            PausedError: to end the run here, see there.
        """
        ...


class PausedError(Exception):
    """Raised by a tracker when it is told of an epoch: no failure, but enough for now.

    The run is saved after that epoch, and gives what was best so far; resumed, it goes on.
    """


class NoTracker:
    """Tells nobody."""

    run_id: str | None = None

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Do nothing."""

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Do nothing."""


class MlflowTracker:
    """Tells one run of an MLflow store.

    Attributes:
        client: of that store.
        run_id: of the run.
        experiment_id: of the experiment that the run belongs to.
    """

    def __init__(self, client: "MlflowClient", run: "Run") -> None:
        self.client = client
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self._told = set(run.data.params)

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Tell what was chosen; values are cut at 6000 characters.

        MLflow's parameters are written once. Where a continued run tells one again, the value of its start stays.
        """
        from mlflow.entities import Param

        named = {mlflow_name(name): str(value)[:MAX_VALUE_LENGTH] for name, value in parameters.items()}
        new = [Param(name, value) for name, value in named.items() if name not in self._told]
        with answering():
            for start in range(0, len(new), PARAMETERS_A_CALL):
                self.client.log_batch(self.run_id, params=new[start : start + PARAMETERS_A_CALL])
        self._told.update(named)

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Tell what was measured after an epoch, in one call; names are spelled as `mlflow_name` says."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [Metric(mlflow_name(name), float(value), now, epoch) for name, value in metrics.items()]
        with answering():
            self.client.log_batch(self.run_id, metrics=entries)

    def log_text(self, text: str, file: str) -> None:
        """Keep a text as an artifact of the run, under a relative path such as `latents/kl.csv`."""
        with answering():
            self.client.log_text(self.run_id, text, file)


def mlflow_name(name: str) -> str:
    """A metric's or parameter's name in MLflow's alphabet: letters, digits, `_`, `-`, `.`, `/` and space.

    `ndcg@100` is told as `ndcg_at_100`, `recall@20[all]` as `recall_at_20_all`; anything else outside that alphabet
    becomes `_`. The colon is left out of it because MLflow on Windows refuses it.
    """
    return re.sub(r"[^\w\-./ ]", "_", name.replace("@", "_at_").replace("[", "_").replace("]", ""))


@contextmanager
def tracked_run(
    experiment: str, name: str, *, run_id: str | None = None, tags: Mapping[str, str] | None = None
) -> Iterator[MlflowTracker]:
    """Start a run, or continue `run_id`; it ends as FINISHED, on Ctrl-C or SIGTERM as KILLED, on an error as FAILED.

    A run to continue that the store does not know (it was deleted, or the store is another one) is begun anew, with a
    warning: training that can go on should not be held up by its log.

    Raises:
        UnavailableError: the store does not answer.
    """
    client = connect()
    with answering():
        run = _continue(client, run_id) if run_id else None
        run = run or _start(client, experiment, name, tags or {})
    tracker = MlflowTracker(client, run)
    try:
        with at_last(lambda: client.set_terminated(tracker.run_id, "KILLED")):
            yield tracker
    except BaseException as error:
        with suppress(RecsysError), answering():
            status = "KILLED" if isinstance(error, KeyboardInterrupt | Terminated) else "FAILED"
            client.set_terminated(tracker.run_id, status)
        raise
    with answering():
        client.set_terminated(tracker.run_id, "FINISHED")


def connect() -> "MlflowClient":
    """A client of the store that `tracking_uri` names; the default store is created where it is missing.

    Raises:
        MissingExtraError: MLflow is not installed.
        UnavailableError: nothing answers there; said within seconds.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with explained():
        from mlflow import MlflowClient

    uri = tracking_uri()
    if uri == default_tracking_uri():
        _create_home()
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
    with opening(uri), _impatience(), answering():
        _check_database(uri)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


@contextmanager
def answering() -> Iterator[None]:
    """Translate what MLflow raises: a refusal into ConfigError, silence into UnavailableError."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        if error.error_code in REFUSALS:
            raise ConfigError(f"The MLflow store at {tracking_uri()} refuses: {error.message}") from error
        raise _unavailable(error) from error
    except (RequestException, SQLAlchemyError, OSError) as error:
        raise _unavailable(error) from error


def git_commit() -> str | None:
    """The commit that is checked out in the current working directory; None where it is no repository."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _continue(client: "MlflowClient", run_id: str) -> "Run | None":
    from mlflow.exceptions import MlflowException

    try:
        client.update_run(run_id, status="RUNNING")
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in REFUSALS:
            raise
        logger.warning("Run %s cannot be continued in the MLflow store (%s); a new run is begun.", run_id, error)
        return None


def _start(client: "MlflowClient", experiment: str, name: str, tags: Mapping[str, str]) -> "Run":
    origin = {"mlflow.source.name": "recsys", "mlflow.source.type": "LOCAL"}
    with suppress(OSError, KeyError):  # a container may run under a user id without a name
        origin["mlflow.user"] = getpass.getuser()
    if commit := git_commit():
        origin["mlflow.source.git.commit"] = commit
    return client.create_run(_experiment_id(client, experiment), run_name=name, tags=origin | dict(tags))


def _experiment_id(client: "MlflowClient", name: str) -> str:
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    location = (artifact_root() / name).as_uri() if tracking_uri() == default_tracking_uri() else None
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        if found := client.get_experiment_by_name(name):  # another process was faster
            return str(found.experiment_id)
        raise


def _create_home() -> None:
    try:
        home().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"RECSYS_HOME {home()} cannot be created: {error}. Set RECSYS_HOME to a folder that can be written to."
        ) from error


def _check_database(uri: str) -> None:
    """MLflow tries an unreachable database for minutes, so it is asked for one connection first."""
    if uri.startswith(("http:", "https:", "file:", "databricks")) or "://" not in uri:
        return
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        engine = create_engine(uri)
        engine.connect().close()
        engine.dispose()
    except (SQLAlchemyError, ArgumentError, ImportError, ValueError) as error:  # the last: a port that is no number
        raise _unavailable(error) from error


@contextmanager
def _impatience() -> Iterator[None]:
    """Make those settings of `IMPATIENT` that the user has not, for one block; MLflow reads them at each request."""
    added = {name: value for name, value in IMPATIENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _unavailable(error: Exception) -> UnavailableError:
    return UnavailableError(
        f"The MLflow store at {tracking_uri()} does not answer: {_reason(error)}. Start it, or set "
        "MLFLOW_TRACKING_URI to another one; where that is not set, a SQLite file under RECSYS_HOME is used."
    )


def _reason(error: Exception) -> str:
    """The first line of a message; of a failed connection, which says everything three times, only its cause."""
    first = str(error).splitlines()[0].rstrip(". ") if str(error) else type(error).__name__
    cause = re.search(r"\[Errno -?\d+\] [\w ,]+|(?:Read|Connect\w*) timed? ?out", first)
    return cause.group() if cause else first
