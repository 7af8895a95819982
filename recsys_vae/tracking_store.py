"""Where MLflow's store is and how its models are named: one answer for all that use it, without importing MLflow."""

import os
import re
from pathlib import Path
from typing import Final

from recsys_vae.errors import ConfigError
from recsys_vae.home import home

REGISTERED_MODEL: Final = re.compile(r"models:/(?P<name>[^/@?#%\\]+)(?:@(?P<alias>[^/@?#%\\]+)|/(?P<version>[0-9]+))")
"""A registered model by alias or version: `models:/NAME@ALIAS`, `models:/NAME/VERSION`."""

MODEL_NAME: Final = re.compile(r"""(?! )[^/:@?#%\\'"\x00-\x1f\x7f]{1,200}(?<! )""")
"""What a registered model may be called: what stands in such an address and in MLflow's searches as it is."""


def check_model_name(name: str) -> None:
    """Refuse what no registered model can be called.

    Raises:
        ConfigError: it cannot be put into an address, or MLflow does not take it.
    """
    if not MODEL_NAME.fullmatch(name) or name in (".", ".."):
        raise ConfigError(
            f"{name!r} cannot name a registered model: expected 1 to 200 characters, no space at either end, and none "
            "of / : @ ? # % \\ or quotation marks. Name another one (--register-as; recsys register has --as)."
        )


def default_tracking_uri() -> str:
    """A SQLite file under RECSYS_HOME."""
    return f"sqlite:///{default_database()}"


def default_database() -> Path:
    """That file."""
    return home() / "mlflow.db"


def tracking_uri() -> str:
    """The address in MLFLOW_TRACKING_URI, else `default_tracking_uri`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or default_tracking_uri()


def artifact_root() -> Path:
    """Where artifacts of the default store lie; any other store decides that for itself."""
    return home() / "mlartifacts"
