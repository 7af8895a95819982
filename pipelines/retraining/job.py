"""The job: which run goes on or begins, its steps in order, and how it ends."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from pipelines.retraining import exit_status
from pipelines.retraining.collect import STAMPS, logs_by_content
from pipelines.retraining.config import RetrainConfig
from pipelines.retraining.erasure_steps import forget_erased
from pipelines.retraining.journal import JOURNAL, RUNS, Journal, Status, as_typed, now, read_journal, runs
from pipelines.retraining.page import PAGE, write_page
from pipelines.retraining.run import Recsys, Run, Skip, Step, StepFailedError
from pipelines.retraining.steps import STEPS
from recsys_vae.atomic import remove_partials
from recsys_vae.errors import BusyError
from recsys_vae.home import home
from recsys_vae.locks import exclusive

GOES_ON = timedelta(days=1)
"""How long a run can be taken up again."""


def job_folder(name: str) -> Path:
    """Where a job keeps its runs."""
    return home() / "retraining" / name


def retrain(config: RetrainConfig, recsys: Recsys, say: Callable[[str], None], *, steps: Sequence[Step] = STEPS) -> int:
    """Run the job, or go on with a run that was cut off, and say how it ended.

    A run is cut off where its process ended before it did, by a signal, a failure or a power cut. One that the checks
    or the gate have stopped is at its end, and so is one of more than a day ago, or that failed on other logs than
    there are now: the next call begins another one, with what has come since.

    Returns:
        One of `exit_status`.
    """
    root = job_folder(config.name)
    try:
        with exclusive(root), _begun(config, root, recsys, say) as run:
            return _carry_out(run, steps)
    except BusyError as error:
        say(f"{now():%Y-%m-%dT%H:%M:%SZ} {config.name}: {error}")
        return exit_status.BUSY


def plan(config: RetrainConfig, recsys: Recsys, say: Callable[[str], None], *, steps: Sequence[Step] = STEPS) -> None:
    """Say what `retrain` would do, as far as can be known, and touch nothing."""
    root = job_folder(config.name)
    journal = latest(root)
    if journal is None or not _goes_on(journal, root, config):
        journal = Journal(run="new", job=config.name, started_at=now())
        say(f"A new run of {config.name} would begin.")
    else:
        say(f"Run {journal.run} of {config.name} would go on.")
    run = Run(config, root / RUNS / journal.run, journal, recsys, say)
    for number, step in enumerate(steps, 1):
        before = journal.steps.get(step.name)
        if before is not None and before.status is Status.DONE:
            say(f"{number:>2} {step.name}: done before")
            continue
        try:
            work = step.prepare(run)
        except LookupError:
            say(f"{number:>2} {step.name}: depends on the steps before")
            continue
        if isinstance(work, Skip):
            say(f"{number:>2} {step.name}: nothing to do, {work.why}")
        else:
            say(f"{number:>2} {step.name}: " + (as_typed(work.command) if work.command else "by itself"))


def latest(root: Path) -> Journal | None:
    """The journal of the last run; None before the first."""
    return next((journal for folder in reversed(runs(root)) if (journal := read_journal(folder))), None)


def _goes_on(journal: Journal, root: Path, config: RetrainConfig) -> bool:
    """Whether the next call goes on with a run: it was cut off, or failed on the logs that are there now, of late."""
    if journal.status not in (Status.RUNNING, Status.FAILED) or now() - journal.started_at > GOES_ON:
        return False
    logs = journal.facts.get("logs")
    return journal.status is Status.RUNNING or logs is None or logs == logs_by_content(root, config)


@contextmanager
def _begun(config: RetrainConfig, root: Path, recsys: Recsys, say: Callable[[str], None]) -> Iterator[Run]:
    journal = latest(root)
    if journal is None or not _goes_on(journal, root, config):
        journal = Journal(run=_new_name(root), job=config.name, started_at=now())
        word = "begins"
    else:
        word = "goes on"
    folder = root / RUNS / journal.run
    folder.mkdir(parents=True, exist_ok=True)
    for file in (root / STAMPS, folder / JOURNAL, folder / PAGE):
        remove_partials(file)
    journal.status, journal.note = Status.RUNNING, ""
    journal.write(folder)
    run = Run(config, folder, journal, recsys, say)
    run.tell(word)
    yield run


def _new_name(root: Path) -> str:
    """A name that sorts behind those of earlier runs."""
    name = f"{now():%Y%m%dT%H%M%SZ}"
    taken = [path.name for path in runs(root) if path.name.startswith(name)]
    return f"{name}-{len(taken) + 1}" if taken else name


def _carry_out(run: Run, steps: Sequence[Step]) -> int:
    ended, note, status = Status.DONE, "", exit_status.DONE
    after = ""
    try:
        for number, step in enumerate(steps, 1):
            record, result = run.take_up(step, number, len(steps), after)
            after = record.fingerprint
            if result.stops is not None:
                ended, note, status = Status.STOPPED, result.note, result.stops
                break
            if result.ends:
                note = result.note
                break
    except StepFailedError as error:
        ended, note, status = Status.FAILED, str(error), exit_status.FAILED
    if ended is not Status.FAILED:  # that one may go on, and needs them
        forget_erased(run.folder)
    run.journal.status, run.journal.note = ended, note
    run.journal.facts["exit_status"] = status
    run.journal.write(run.folder)
    page = write_page(run)
    run.tell(f"{exit_status.MEANINGS[status]}{f': {note}' if note else ''} (exit status {status}; page: {page})")
    return status
