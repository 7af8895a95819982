"""Where MLflow's store is: one answer for everything that writes to it or reads from it, without importing MLflow."""

import os
from pathlib import Path

from recsys_vae.home import home


def default_tracking_uri() -> str:
    """A SQLite file under RECSYS_HOME."""
    return f"sqlite:///{home() / 'mlflow.db'}"


def tracking_uri() -> str:
    """The address in MLFLOW_TRACKING_URI, else `default_tracking_uri`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or default_tracking_uri()


def artifact_root() -> Path:
    """Where artifacts of the default store lie; any other store decides that for itself."""
    return home() / "mlartifacts"
