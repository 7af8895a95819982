"""The folder where workers keep their metrics, and what they share of bundles: of this service alone, and gone with
it, however it ends.

prometheus_client chooses when it is imported, by the environment, whether numbers are kept in files. So nothing here
imports it.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Final, TextIO

from service.deployment.shared_folder import FOLDER

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
ARRAYS: Final = "arrays"
VARIABLES: Final = (VARIABLE, VARIABLE.lower(), FOLDER)
PREFIX: Final = "recsys-metrics-"
OWNERS: Final = "owners.lock"
"""Within the folder; whoever uses the folder holds a shared lock on it, which goes with the process."""

logger = logging.getLogger("recsys.service")


def pass_over_inherited() -> None:
    """Take no folder that the environment names: what others counted there would be told as this service's."""
    for variable in VARIABLES:
        if os.environ.pop(variable, None) is not None:
            logger.warning("%s is passed over: the workers of `recsys serve` have a folder of their own.", variable)


@contextmanager
def own_folder() -> Iterator[str]:
    """A new folder, named in the environment for the workers; those that killed services left are removed."""
    remove_abandoned(Path(gettempdir()))
    with TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder, _first_owner(Path(folder)):
        os.environ |= {VARIABLE: folder, FOLDER: str(Path(folder) / ARRAYS)}
        try:
            yield folder
        finally:
            for variable in (VARIABLE, FOLDER):
                os.environ.pop(variable, None)


@contextmanager
def shared() -> Iterator[None]:
    """Use the folder that the environment names; the last user removes it, where nobody else does."""
    folder = Path(os.environ[VARIABLE])
    with (folder / OWNERS).open() as owners:
        fcntl.flock(owners, fcntl.LOCK_SH)
        try:
            yield
        finally:
            _remove_unless_used(folder, owners)


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of this user's services that do not run any more."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / OWNERS).open() as owners:
                _remove_unless_used(folder, owners)
        except OSError:  # it goes, or comes, at this moment
            continue


@contextmanager
def _first_owner(folder: Path) -> Iterator[None]:
    # Under another name until it is locked, so that nobody takes the folder for an abandoned one.
    with (folder / "new.lock").open("w") as owners:
        fcntl.flock(owners, fcntl.LOCK_SH)
        (folder / "new.lock").rename(folder / OWNERS)
        yield


def _remove_unless_used(folder: Path, owners: TextIO) -> None:
    try:
        fcntl.flock(owners, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    shutil.rmtree(folder, ignore_errors=True)
