"""Runs of the weekly job: old ones lose their bundles and lists first, and go whole once they are past their age."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from pipelines.artifacts.workspace import CHECKPOINTS, clear_workspace
from pipelines.ingest.summary import IngestSummary
from pipelines.recommend import LISTS
from pipelines.retention.removal import Limits, Removal, files_in, size_of
from pipelines.retraining.collect import exported_files
from pipelines.retraining.journal import JOURNAL, read_journal, runs
from recsys_vae.bundles.bundle import WRITTEN
from recsys_vae.errors import BusyError, DataError
from recsys_vae.home import dataset_folder
from recsys_vae.locks import exclusive
from recsys_vae.outputs import Product

BUNDLES, PAGES, EVENTS, WORKSPACES = "bundles of runs", "runs", "exported events", "workspaces"
TRAINING = ".training"
_PAGES = ("*.html", "*.json", "*.txt", "*.log", "*.csv", ".*.lock")
"""What tells of a run; and locks of processes that are gone, as the lock of the job is ours."""


def old_runs(root: Path, limits: Limits, champion: str | None) -> Iterator[Removal]:
    """What goes of the runs of a job; nothing of the newest, which may go on, nor of the champion's.

    Args:
        root: folder of the job.
        champion: version of the registered model that is champion.
    """
    folders = [folder for folder in runs(root) if not _made(folder, champion)]
    for folder in folders[: -limits.runs] if limits.runs else folders:
        if folder == runs(root)[-1]:
            continue
        heavy = [path for path in sorted(folder.iterdir()) if _is_heavy(path)]
        if heavy:
            yield Removal(BUNDLES, folder.name, size_of(heavy), lambda heavy=heavy: _remove_all(heavy))  # type: ignore[misc]
        if limits.is_old(folder / JOURNAL):
            pages = [path for pattern in _PAGES for path in folder.glob(pattern) if not path.is_symlink()]
            if pages:
                yield Removal(PAGES, folder.name, size_of(pages), _removing(pages, folder))


def old_exports(root: Path, name: str) -> Iterator[Removal]:
    """Events that were exported from the store and that the dataset has taken, but for the last file."""
    path = dataset_folder(name) / "summary.json"
    taken = set(IngestSummary.read(path).sources) if path.is_file() else set()
    for file in exported_files(root)[:-1]:
        if file.name in taken:
            yield Removal(EVENTS, file.name, size_of([file]), _removing([file]))


def old_workspaces(folders: list[Path], limits: Limits) -> Iterator[Removal]:
    """Checkpoints of trainings that nobody has gone on with."""
    for folder in folders:
        for space in sorted(folder.glob(f".*{TRAINING}")):
            checkpoints = list(space.glob(CHECKPOINTS))
            if space.is_dir() and not space.is_symlink() and limits.is_old(space):
                yield Removal(WORKSPACES, str(space), size_of(checkpoints), lambda space=space: _clear(space))  # type: ignore[misc]


def _made(folder: Path, champion: str | None) -> bool:
    """Whether a run has made the champion; one whose journal cannot be read may have."""
    try:
        journal = read_journal(folder)
    except DataError:
        return True
    return champion is not None and journal is not None and journal.facts.get("promoted") == champion


def _is_heavy(path: Path) -> bool:
    """Whether it is a bundle, a table of lists, or what is left of a training: our own, and nothing else in it."""
    if path.is_symlink():
        return False
    if path.name.startswith(".") and path.name.endswith(TRAINING):
        return path.is_dir()
    product: Product = WRITTEN if path.is_dir() else LISTS
    return (path.is_dir() or path.suffix == ".parquet") and not product.doubt(path)


def _remove_all(paths: list[Path]) -> str:
    for path in paths:
        if path.is_dir() and path.name.endswith(TRAINING):
            _clear(path)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return ""


def _removing(files: list[Path], folder: Path | None = None) -> Callable[[], str]:
    def remove() -> str:
        # The journal last: without it nobody would know what the folder is.
        for file in sorted(files, key=lambda path: path.name == JOURNAL):
            file.unlink(missing_ok=True)
        if folder is None:
            return ""
        with suppress(OSError):
            folder.rmdir()
        left = len(files_in(folder))
        return f"{left} files in it are not ours" if left else ""

    return remove


def _clear(space: Path) -> str:
    output = space.with_name(space.name[1 : -len(TRAINING)])
    try:
        with exclusive(output):
            clear_workspace(space)
    except BusyError as error:
        return str(error)
    return ""
