"""Where MLflow's store is and how its models are named: one answer for all that use it, without importing MLflow."""

import os
import re
from pathlib import Path
from typing import Final

from recsys_vae.home import home

REGISTERED_MODEL: Final = re.compile(r"models:/(?P<name>[^/@?#%\\]+)(?:@(?P<alias>[^/@?#%\\]+)|/(?P<version>[0-9]+))")
"""A registered model by alias or version: `models:/NAME@ALIAS`, `models:/NAME/VERSION`."""


def default_tracking_uri() -> str:
    """A SQLite file under RECSYS_HOME."""
    return f"sqlite:///{home() / 'mlflow.db'}"


def tracking_uri() -> str:
    """The address in MLFLOW_TRACKING_URI, else `default_tracking_uri`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or default_tracking_uri()


def artifact_root() -> Path:
    """Where artifacts of the default store lie; any other store decides that for itself."""
    return home() / "mlartifacts"
