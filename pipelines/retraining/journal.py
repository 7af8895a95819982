"""Journal: what a run of the weekly job has done so far, on disk after every step: an interrupted run goes on there."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from json import dumps
from pathlib import Path
from shlex import join
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recsys_vae.atomic import write_atomically
from recsys_vae.errors import DataError, fault_text
from recsys_vae.redaction import redacted

JOURNAL, RUNS = "run.json", "runs"
FORMAT: Literal[1] = 1


class Status(StrEnum):
    """Of a step, or of a run."""

    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    STOPPED = "stopped"
    """By a check or by the gate: it went as it should, and what comes next must not."""


class StepRecord(BaseModel):
    """What became of a step.

    Attributes:
        fingerprint: over what it did and what it did it on; where it is the same, the step is not done again.
        command: its arguments, without the secrets in them.
        figures: what is worth knowing of it.
        note: in words: why it was skipped, failed, stopped.
        ends: whether the job was at its end after it, and all was well.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    fingerprint: str
    command: tuple[str, ...] = ()
    status: Status
    started_at: datetime
    seconds: float | None = None
    figures: dict[str, Any] = Field(default_factory=dict)
    note: str = ""
    ends: bool = False

    @property
    def typed(self) -> str:
        """What can be typed to do it by hand; empty where the step acts by itself."""
        return as_typed(self.command) if self.command else ""


class Journal(BaseModel):
    """What became of a run.

    Attributes:
        run: its name.
        job: name of the job.
        status: of the whole.
        steps: in the order in which they were taken up.
        facts: what steps have found out for later ones.
    """

    model_config = ConfigDict(extra="ignore")
    format: Literal[1] = FORMAT
    run: str
    job: str
    started_at: datetime
    status: Status = Status.RUNNING
    note: str = ""
    steps: dict[str, StepRecord] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into the run's folder, whole."""
        write_atomically(folder / JOURNAL, self.model_dump_json(indent=2) + "\n")


def runs(root: Path) -> list[Path]:
    """Folders of all runs of a job, oldest first."""
    return sorted(path for path in (root / RUNS).glob("[0-9]*") if path.is_dir())


def read_journal(folder: Path) -> Journal | None:
    """The journal of a run's folder; None where there is none.

    Raises:
        DataError: it was not written by this program.
    """
    try:
        return Journal.model_validate_json((folder / JOURNAL).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"{folder / JOURNAL} is no journal of this version ({first['loc']}: {fault_text(first)}). Move the folder "
            "away; the next run begins anew."
        ) from error


def fingerprint(content: Mapping[str, Any]) -> str:
    """SHA-256 over JSON with sorted names, its first 16 digits."""
    return sha256(dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def as_typed(command: Sequence[str]) -> str:
    """A verb and its options as a shell takes them, without the secrets in them."""
    return join(("recsys", *map(redacted, command)))


def now() -> datetime:
    """This second, UTC."""
    return datetime.now(UTC).replace(microsecond=0)
