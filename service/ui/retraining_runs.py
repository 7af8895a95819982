"""Runs of the weekly job, as its files tell of them; the service imports nothing of what wrote them.

    RECSYS_HOME/retraining/JOB/runs/RUN/
        run.json        the run: status, note, start, and a record a step (docs/lifecycle.md)
        log.txt         a line of progress a step: `TIME JOB RUN 3/15 ingest: begins`
        NN-STEP.log     what a step printed

Whatever is missing, damaged or of another version is passed over or said, and never an error of a page.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recsys_vae.home import home
from recsys_vae.redaction import redacted
from service.ui.plain_files import content_bytes, is_at_home, is_plain, tail_bytes

JOURNAL, LOG = "run.json", "log.txt"
TAIL_BYTES, TAIL_LINES = 64_000, 200
"""Of a log, what is shown of its end."""
PROGRESS: Final = re.compile(r"^\S+ \S+ \S+ (\d{1,3})/(\d{1,3}) ", re.MULTILINE)
UNSHOWABLE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
"""Colours of terminals, and characters that control one."""
RHYTHM: Final = 8
"""Runs that the next one is expected by, at most; and three at least."""
SHORTEST_RHYTHM: Final = timedelta(hours=1)

Text = Annotated[str, Field(max_length=20_000)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class StepRecord(_Lenient):
    """What became of a step; names as in the journal."""

    name: Text
    status: Text
    started_at: datetime | None = None
    seconds: float | None = None
    command: tuple[Text, ...] = ()
    figures: Mapping[str, Any] = Field(default_factory=dict)
    note: Text = ""


class Record(_Lenient):
    """What became of a run; names as in the journal."""

    run: Text
    job: Text
    status: Text
    started_at: datetime
    note: Text = ""
    steps: Mapping[str, StepRecord] = Field(default_factory=dict)
    facts: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """That its steps took together."""
        return sum(step.seconds or 0.0 for step in self.steps.values())


@dataclass(frozen=True)
class Run:
    """A run's folder.

    Attributes:
        folder: of it.
        record: what became of it; None where that cannot be read.
    """

    folder: Path
    record: Record | None

    @property
    def name(self) -> str:
        """Of the run."""
        return self.folder.name

    @property
    def is_running(self) -> bool:
        """Whether nobody has said that it ended."""
        return self.record is not None and self.record.status == "running"

    @property
    def logs(self) -> list[str]:
        """Names of its logs; that of the whole run first."""
        steps = sorted(path.name for path in self.folder.glob("[0-9][0-9]-*.log") if is_plain(path))
        return [*([LOG] if is_plain(self.folder / LOG) else []), *steps]

    @property
    def progress(self) -> tuple[int, int] | None:
        """The step that was taken up last, and how many there are; None where the log does not say."""
        found = PROGRESS.findall(tail(self.folder / LOG))
        return (int(found[-1][0]), int(found[-1][1])) if found else None

    @property
    def last_sign(self) -> datetime | None:
        """When it last wrote something."""
        try:
            newest = max((path.lstat().st_mtime for path in self.folder.iterdir()), default=None)
        except OSError:
            return None
        return None if newest is None else datetime.fromtimestamp(newest, UTC)


def jobs() -> list[str]:
    """Names of the jobs that have ever run with this home."""
    return _names(home() / "retraining")


def runs(job: str, n: int) -> list[Run]:
    """The last runs of a job, latest first; none of one that is not known."""
    return [Run(folder, _record(folder / JOURNAL)) for folder in run_folders(job)[:n]]


def run_folders(job: str) -> list[Path]:
    """Folders of the runs of a job, latest first; none of one that is not known."""
    if job not in jobs():
        return []
    folder = home() / "retraining" / job / "runs"
    return [folder / name for name in reversed(_names(folder)) if name[0].isdigit()]


def expected(found: Sequence[Run]) -> tuple[datetime, timedelta] | None:
    """When the next run should come by the rhythm of the last ones, and that rhythm; None where there is none."""
    began = [run.record.started_at for run in found[:RHYTHM] if run.record is not None]
    if len(began) < 3:
        return None
    between = [(later - earlier).total_seconds() for later, earlier in pairwise(began)]
    rhythm = timedelta(seconds=median(between))
    is_sane = SHORTEST_RHYTHM <= rhythm < datetime.max.replace(tzinfo=UTC) - began[0]
    return (began[0] + rhythm, rhythm) if is_sane else None


def tail(path: Path) -> str:
    """The end of a log, without secrets and what terminals make colours of; empty where it cannot be read."""
    try:
        read = tail_bytes(path, TAIL_BYTES + 1)
    except OSError:
        return ""
    if len(read) > TAIL_BYTES:  # a secret of which only the end is read would not be found
        read = read.partition(b"\n")[2]
    text = read.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = redacted(UNSHOWABLE.sub("", text)).splitlines()  # colours within a secret would hide it
    return "\n".join(lines[-TAIL_LINES:])


def _record(path: Path) -> Record | None:
    try:
        found = Record.model_validate_json(content_bytes(path))
    except (OSError, ValidationError):
        return None
    is_zoned = found.started_at.tzinfo is not None
    return found if is_zoned else found.model_copy(update={"started_at": found.started_at.replace(tzinfo=UTC)})


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if is_at_home(path) and not path.name.startswith("."))
    except OSError:
        return []
