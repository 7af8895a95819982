"""Clean: everything that is kept under one name, beyond its limits, is found, told and removed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.promotion.champions import champions
from pipelines.retention.leftovers import leftovers, old_decisions
from pipelines.retention.removal import Limits, Removal
from pipelines.retention.runs import old_exports, old_runs, old_workspaces
from pipelines.retention.versions import old_versions
from pipelines.retraining.job import job_folder
from pipelines.retraining.journal import runs
from recsys_vae.errors import StorageError, UnknownNameError
from recsys_vae.home import dataset_folder, home
from recsys_vae.locks import exclusive
from recsys_vae.training.tracking import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Outcome:
    """What became of something that was to go.

    Attributes:
        removal: what it was.
        hindrance: why it is still there; empty where it is gone.
    """

    removal: Removal
    hindrance: str = ""


def clean(
    name: str, limits: Limits, *, dry_run: bool = False, say: Callable[[Removal], None] = lambda removal: None
) -> list[Outcome]:
    """Remove what is past its limits.

    Args:
        name: of the weekly job, its dataset and its registered model.
        say: told what goes, each before it does.

    Raises:
        BusyError: the weekly job of that name is under way in another process.
        UnavailableError: the registry does not answer.
        ConfigError: no model can have that name.
    """
    with ExitStack() as stack:
        if not dry_run and job_folder(name).is_dir():
            stack.enter_context(exclusive(job_folder(name)))
        outcomes = []
        for removal in list(past_limits(name, limits)):
            say(removal)
            outcomes.append(Outcome(removal, "" if dry_run else _remove(removal)))
        return outcomes


def past_limits(name: str, limits: Limits) -> Iterator[Removal]:
    """What is past its limits, and may go."""
    root, client = job_folder(name), connect()
    line = _line(client, name)
    yield from old_runs(root, limits, line[-1] if line else None)
    yield from old_exports(root, name)
    if line is not None:
        yield from old_versions(client, name, limits)
    yield from old_decisions(name, limits)
    places = [*runs(root), home() / "bundles"]
    yield from old_workspaces(places, limits)
    datasets = [home() / "datasets", dataset_folder(name) / "splits"]
    yield from leftovers([home(), root, root / "events", *datasets, *places, *_pages(name)], limits)


def _line(client: "MlflowClient", name: str) -> list[str] | None:
    """Champions of the registered model; None where there is no such model."""
    try:
        return champions(client, name)
    except UnknownNameError:
        return None


def _pages(name: str) -> list[Path]:
    return [home() / "decisions" / name]


def _remove(removal: Removal) -> str:
    try:
        return removal.remove()
    except (OSError, StorageError) as error:
        return str(error)
