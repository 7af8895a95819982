"""Steps about erased users: who was erased in the store and is held here still, and that they leave the dataset.

A model is updated by what has come and gone, so it has to know what the erased had done. Until the run is at its end
the dataset of before lies beside it, of links to the same files, and the list that names them; then both go.
"""

import json
import os
import shutil
from pathlib import Path

from pipelines.dataset.directory import DatasetDir
from pipelines.retraining.collect import QUIET
from pipelines.retraining.run import Result, Run, Skip, Work
from pipelines.updating.erasure import NOBODY, read_erased
from recsys_vae.atomic import PARTIAL, write_atomically
from recsys_vae.data.ids import IdMap

FOUND, LIST, BEFORE = "erased-found.csv", "erased.csv", "before-erasure"
"""In a run's folder: who is found now, everybody whom the run erases, and the dataset of before."""


class FindErased:
    """Users of the dataset whom the store has erased."""

    name = "find-erased"

    def prepare(self, run: Run) -> Work | Skip:
        """By the digests that the store keeps."""
        if not run.config.collect.store:
            return Skip("the store is not read (collect.store)")
        command = ("erased-users", "--of", run.config.name, "--to", str(run.folder / FOUND), "--json")
        return Work(command=command, depends_on={"run": run.journal.run})

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Set the dataset of before aside where somebody was erased; else end a run to which nothing new has come.

        A run that was cut off after they had left the dataset finds them no longer, and goes on with those it knew.
        """
        for folder in run.folder.parent.iterdir():
            if folder != run.folder:
                forget_erased(folder)
        before, found = run.folder / BEFORE / run.config.name, json.loads(told)
        if found["erased"]:
            if not before.is_dir():
                _set_aside(run.dataset.path, before)
            _add_to_list(run.folder)
        erased = len(read_erased(run.folder / LIST)) if before.is_dir() else 0
        figures, facts = {"users": found["users"], "to be erased": erased}, {"erased": erased}
        if not erased and (note := run.facts.get(QUIET, "")):
            stopped = run.facts.get("stopped", 0)
            return Result(figures, facts, stops=stopped or None, note=note, ends=not stopped)
        return Result(figures, facts)


class Erase:
    """They leave the dataset and what was made of it."""

    name = "erase"

    def prepare(self, run: Run) -> Work | Skip:
        """Before anything is learned."""
        if run.config.collect.store and "erased" not in run.facts:
            raise LookupError("who was erased")
        if not run.facts.get("erased"):
            return Skip("nobody was erased who is held here")
        return Work(command=("erase", run.config.name, "--users", str(run.folder / LIST)))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """What went."""
        lines = told.strip().splitlines()
        return Result({"erased": lines[0].partition(": ")[2] if lines else ""})


def erased_users(run: Run) -> IdMap:
    """Whom this run has erased."""
    return read_erased(run.folder / LIST) if run.facts.get("erased") else NOBODY


def dataset_before(run: Run) -> DatasetDir | None:
    """The dataset of before the erasure; None where nobody was erased."""
    return DatasetDir(run.folder / BEFORE / run.config.name) if run.facts.get("erased") else None


def erase_options(run: Run) -> tuple[str, ...]:
    """Of `recsys update`, where somebody was erased."""
    before = dataset_before(run)
    return () if before is None else ("--erase", str(run.folder / LIST), "--from", str(before.path))


def forget_erased(folder: Path) -> None:
    """Remove what a run that is at its end still has of the erased."""
    for name in (FOUND, LIST):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / BEFORE, ignore_errors=True)


def _set_aside(dataset: Path, place: Path) -> None:
    """The dataset's files once more, without copying where the disk can; what is in it is replaced, never changed."""
    shutil.rmtree(place.parent, ignore_errors=True)
    partial = place.with_name(f"{place.name}{PARTIAL}")
    shutil.copytree(dataset, partial, copy_function=_link)
    partial.rename(place)


def _add_to_list(folder: Path) -> None:
    known = (folder / LIST).read_text(encoding="utf-8") if (folder / LIST).is_file() else ""
    found = (folder / FOUND).read_text(encoding="utf-8")
    new = found.partition("\n")[2] if known else found
    write_atomically(
        folder / LIST, known + "".join(line for line in new.splitlines(keepends=True) if line not in known)
    )


def _link(file: str, place: str) -> None:
    try:
        os.link(file, place)
    except OSError:
        shutil.copy2(file, place)
