"""RECSYS_HOME: the one folder under which everything that the tools keep lies."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from platformdirs import user_data_path

from recsys_vae.errors import ConfigError, UnknownNameError

DEEPEST: Final = 4
"""Folders below RECSYS_HOME that saved models are looked for in."""
ELSEWHERE: Final = ("datasets", "mlartifacts", "downloads")
"""Folders directly below it that hold no saved models, or copies of them."""


def home() -> Path:
    """The folder named by RECSYS_HOME, else `recsys_vae` in the user's data directory; not created here.

    Raises:
        ConfigError: its databases could not be addressed there.
    """
    named = os.environ.get("RECSYS_HOME")
    place = Path(named).expanduser().resolve() if named else user_data_path("recsys_vae")
    if any(sign in str(place) for sign in "%?"):
        raise ConfigError(
            f"RECSYS_HOME {place} holds % or ?, which mean something else in the address of a database: another file "
            "would be written. Name another folder."
        )
    return place


def dataset_folder(name_or_path: str) -> Path:
    """Where a dataset lies: a plain name is a folder of RECSYS_HOME/datasets, anything with a slash a path."""
    is_path = "/" in name_or_path or name_or_path.startswith(".")
    return Path(name_or_path).expanduser().resolve() if is_path else home() / "datasets" / name_or_path


def existing_dataset(name_or_path: str, table: str) -> Path:
    """The same, of a dataset that has this table.

    Raises:
        UnknownNameError: there is none; the message lists those of RECSYS_HOME.
    """
    folder = dataset_folder(name_or_path)
    if not (folder / table).is_file():
        present = sorted(path.parent.name for path in (home() / "datasets").glob(f"*/{table}"))
        raise UnknownNameError("dataset", name_or_path, present)
    return folder


def folders_with(file: str, place: Path | None = None) -> Iterator[Path]:
    """Folders below a place, RECSYS_HOME where none is named, that hold such a file, as saved models do with their
    manifest; in order.
    """  # fmt: skip
    pending = [(place or home(), 0)]
    while pending:
        folder, depth = pending.pop()
        try:
            inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
        except OSError:
            continue
        for path in reversed(inner):
            is_passed_over = path.name.startswith(".") or (depth == 0 and path.name in ELSEWHERE)
            if depth < DEEPEST and not is_passed_over:
                pending.append((path, depth + 1))
        if depth and (folder / file).is_file():
            yield folder
