"""RECSYS_HOME: the one folder under which everything that the tools keep lies."""

import os
from pathlib import Path

from platformdirs import user_data_path


def home() -> Path:
    """The folder named by RECSYS_HOME, else `recsys_vae` in the user's data directory; not created here."""
    named = os.environ.get("RECSYS_HOME")
    return Path(named).expanduser().resolve() if named else user_data_path("recsys_vae")
