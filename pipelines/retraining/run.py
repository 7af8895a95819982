"""A run of the weekly job: its folder, its journal, and how it carries steps out."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Protocol, TextIO

from pipelines.dataset.directory import DatasetDir
from pipelines.retraining.config import RetrainConfig
from pipelines.retraining.journal import Journal, Status, StepRecord, as_typed, fingerprint, now
from recsys_vae.errors import RecsysError
from recsys_vae.redaction import redacted

Recsys = Callable[[Sequence[str]], int]
"""Carries out a verb of the command line within this process, as its arguments ask, and returns its exit status."""


@dataclass(frozen=True)
class Work:
    """What a step is about to do.

    Attributes:
        command: arguments of `recsys`; empty where the step acts by itself.
        act: what it does itself, in place of a command; what it returns are figures.
        depends_on: what else decides the outcome, beside the command and the steps before.
        made: what stands once the command has come to its end.
        instead: the command where it stands already, because an earlier attempt was cut off just after.
    """

    command: tuple[str, ...] = ()
    act: Callable[[], Mapping[str, Any]] | None = None
    depends_on: Mapping[str, Any] = field(default_factory=dict)
    made: Path | None = None
    instead: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skip:
    """That a step has nothing to do, and why."""

    why: str


@dataclass(frozen=True)
class Result:
    """What came out of a step.

    Attributes:
        figures: for the page.
        facts: for later steps.
        stops: the exit status that the job ends with, where nothing may follow; None where it goes on.
        note: in words.
        ends: whether the job is at its end, and all is well.
    """

    figures: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    stops: int | None = None
    note: str = ""
    ends: bool = False


class Step(Protocol):
    """One step of the job."""

    @property
    def name(self) -> str:
        """One word."""

    def prepare(self, run: "Run") -> Work | Skip:
        """What there is to do; touches nothing."""

    def conclude(self, run: "Run", status: int, told: str) -> Result:
        """What came of it.

        Args:
            status: exit status of its command.
            told: what it printed on standard output.
        """


class StepFailedError(RecsysError):
    """A step has failed; its log says more."""


@dataclass
class Run:
    """A run under way, or a plan of one.

    Attributes:
        config: of the job.
        folder: of this run; whatever it makes, but the dataset, lies in it.
        journal: what it has done.
        recsys: carries commands out.
        say: told each line of progress.
    """

    config: RetrainConfig
    folder: Path
    journal: Journal
    recsys: Recsys
    say: Callable[[str], None]

    @property
    def root(self) -> Path:
        """Folder of the job: its runs, and what outlives them."""
        return self.folder.parent.parent

    @property
    def dataset(self) -> DatasetDir:
        """The job's dataset, which need not be there yet."""
        return DatasetDir.to_write(self.config.name)

    @property
    def facts(self) -> dict[str, Any]:
        """What steps before have found out."""
        return self.journal.facts

    def tell(self, line: str) -> None:
        """A line of progress: on the terminal or in the scheduler's mail, and in the run's log."""
        stamped = f"{now():%Y-%m-%dT%H:%M:%SZ} {self.config.name} {self.journal.run} {redacted(line)}"
        self.say(stamped)
        with (self.folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(stamped + "\n")

    def take_up(self, step: Step, number: int, of: int, after: str) -> tuple[StepRecord, Result]:
        """Carry a step out, unless it has been; the journal is on disk before and after.

        Args:
            after: fingerprint of the step before.

        Raises:
            StepFailedError: it failed.
        """
        place, work = f"{number}/{of} {step.name}", step.prepare(self)
        before = self.journal.steps.get(step.name)
        if isinstance(work, Skip):
            record = StepRecord(
                name=step.name, fingerprint=after, status=Status.SKIPPED, started_at=now(), seconds=0.0, note=work.why
            )
            self._write(record)
            self.tell(f"{place}: nothing to do, {work.why}")
            return record, Result()
        mark = fingerprint({"step": step.name, "command": work.command, **work.depends_on, "after": after})
        if before is not None and before.fingerprint == mark and before.status is Status.DONE:
            self.tell(f"{place}: done before")
            return before, Result(note=before.note, ends=before.ends)
        stands = before is not None and before.fingerprint == mark and work.made is not None and work.made.exists()
        command = work.instead if stands else work.command
        record = StepRecord(
            name=step.name,
            fingerprint=mark,
            command=tuple(map(redacted, command)),
            status=Status.RUNNING,
            started_at=now(),
        )
        self._write(record)
        self.tell(f"{place}: begins" + (f": {record.typed}" if command else ""))
        result, seconds = self._carry_out(step, number, work, command, record)
        status = Status.DONE if result.stops is None else Status.STOPPED
        record = record.model_copy(
            update={
                "status": status,
                "seconds": seconds,
                "figures": dict(result.figures),
                "note": result.note,
                "ends": result.ends,
            }
        )
        self.journal.facts |= result.facts
        self._write(record)
        self.tell(f"{place}: {result.note or status} ({seconds:.1f} s)")
        return record, result

    def _carry_out(
        self, step: Step, number: int, work: Work, command: tuple[str, ...], record: StepRecord
    ) -> tuple[Result, float]:
        began, path = time.monotonic(), self.folder / f"{number:02}-{step.name}.log"
        try:
            with path.open("a", encoding="utf-8") as log:
                status, told = self._run(command, log) if command else (0, "")
            figures = work.act() if work.act is not None else {}
            result = step.conclude(self, status, told)
        except RecsysError as error:
            failed = {"status": Status.FAILED, "seconds": time.monotonic() - began, "note": str(error)}
            self._write(record.model_copy(update=failed))
            raise StepFailedError(f"Step {step.name} failed: {error} Its log: {path}") from error
        merged = Result({**figures, **result.figures}, result.facts, result.stops, result.note, result.ends)
        return merged, time.monotonic() - began

    def _run(self, command: Sequence[str], log: TextIO) -> tuple[int, str]:
        told = _Tee(log)
        print(f"$ {as_typed(command)}", file=log, flush=True)
        with redirect_stdout(told), redirect_stderr(log):
            status = self.recsys(command)
        return status, told.text.getvalue()

    def _write(self, record: StepRecord) -> None:
        self.journal.steps[record.name] = record
        self.journal.write(self.folder)


class _Tee:
    """Standard output of a step: into its log, and kept to be read by `conclude`."""

    encoding = "utf-8"

    def __init__(self, log: TextIO) -> None:
        self.text, self._log = StringIO(), log

    def write(self, text: str) -> int:
        self._log.write(text)
        return self.text.write(text)

    def flush(self) -> None:
        self._log.flush()

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return sys.__stdout__.fileno() if sys.__stdout__ else 1
