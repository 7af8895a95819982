"""Collect: which logs there are and what came into the event store, known by content, so that nothing counts twice."""

import json
import re
from hashlib import file_digest
from pathlib import Path
from typing import Any

from pipelines.ingest.log_files import find_files
from pipelines.ingest.summary import IngestSummary
from pipelines.retraining.config import RetrainConfig
from pipelines.retraining.journal import Journal, Status, fingerprint, read_journal, runs
from pipelines.retraining.run import Result, Run, Skip, Work
from recsys_vae.atomic import write_atomically

STAMPS = "files.json"
"""Of every log that was seen: size, time and SHA-256, so that what has not changed is not read again."""
EXPORTED, ENDING = "events", ".parquet"
"""Folder of what was exported from the event store, in files named after the sequences AFTER-THROUGH."""
QUIET = "nothing_new"
"""Fact: that nothing new has come and what became of the last run, in words; empty where something has."""
_EXPORT = re.compile(r"[0-9]+-([0-9]+)\.parquet")
NOTHING_NEW = "nothing new has come since the last run"
STOPPED_BEFORE = f"{NOTHING_NEW}; that one was stopped: "
NOTHING_YET = "the event store holds nothing yet"


class Collect:
    """What there is to learn from; where all of it was there the last time, the run is at its end.

    Where the store is read, somebody may have been erased since: then `find-erased` says whether it is.
    """

    name = "collect"

    def prepare(self, run: Run) -> Work | Skip:
        """Export what came into the store after what the dataset holds, and look at the logs."""
        export = ("export-events", "--source", "api", "--after", str(taken_through(run)), "--json")
        return Work(
            command=(*export, "--to", str(_fresh(run))) if run.config.collect.store else (),
            depends_on={"config": run.config.model_dump(mode="json"), "run": run.journal.run},
        )

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Name every log by its content."""
        after = through = taken_through(run)
        events = 0
        if run.config.collect.store:
            counted = json.loads(told)
            events = counted["events"]
            through = counted["through"] if events else after
            _forget_untaken(run)
            if events:
                _fresh(run).rename(run.root / EXPORTED / f"{after}-{through}{ENDING}")
        logs = logs_by_content(run.root, run.config)
        content = fingerprint({"config": run.config.model_dump(mode="json"), "logs": logs, "through": through})
        facts = {"logs": logs, "content": content, QUIET: ""}
        figures = {"log files": len(logs), "events of the store": events}
        # What was exported for users who were erased since is gone, but not the dataset that was made of it.
        if not logs and not exported_files(run.root) and not run.dataset.interactions_path.is_file():
            return Result(figures, facts, note=NOTHING_YET, ends=True)
        last = _last_ended(run)
        if not events and last is not None and content == last.facts.get("content"):
            stopped = last.facts.get("exit_status", 0)
            why = last.note.removeprefix(STOPPED_BEFORE)
            note = f"{STOPPED_BEFORE}{why}" if stopped else NOTHING_NEW
            if run.config.collect.store:
                return Result(figures, facts | {QUIET: note, "stopped": stopped}, note=note)
            return Result(figures, facts, stops=stopped or None, note=note, ends=not stopped)
        return Result(figures, facts)


def taken_through(run: Run) -> int:
    """Sequence of the last event of the store that the dataset holds: the truth, whatever became of earlier runs."""
    return max((_through(name) for name in _taken(run)), default=0)


def exported_files(root: Path) -> list[Path]:
    """What was exported from the store, oldest first."""
    return sorted((root / EXPORTED).glob(f"[0-9]*-[0-9]*{ENDING}"), key=lambda path: _through(path.name))


def _fresh(run: Run) -> Path:
    return run.root / EXPORTED / f"fresh{ENDING}"


def _taken(run: Run) -> set[str]:
    """Names of the files that the dataset was made of."""
    path = run.dataset.summary_path
    names = set(IngestSummary.read(path).sources) if path.is_file() else set()
    return {name for name in names if _EXPORT.fullmatch(name)}


def _forget_untaken(run: Run) -> None:
    """Remove what a run exported that was cut off before the dataset held it: it is exported again."""
    taken = _taken(run)
    for file in exported_files(run.root):
        if file.name not in taken:
            file.unlink()


def _through(name: str) -> int:
    found = _EXPORT.fullmatch(name)
    return int(found[1]) if found else 0


def logs_by_content(root: Path, config: RetrainConfig) -> dict[str, str]:
    """Path -> SHA-256 of every log."""
    path = root / STAMPS
    try:
        known: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        known = {}
    found = {str(file.resolve()): file for file in find_files(config.collect.logs)}
    stamps = {name: _stamp(file, known.get(name)) for name, file in found.items()}
    write_atomically(path, json.dumps(stamps, indent=1, sort_keys=True) + "\n")
    return {name: stamp["sha256"] for name, stamp in stamps.items()}


def _stamp(file: Path, known: dict[str, Any] | None) -> dict[str, Any]:
    status = file.stat()
    seen = {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
    if known is not None and seen.items() <= known.items():
        return known
    with file.open("rb") as content:
        return seen | {"sha256": file_digest(content, "sha256").hexdigest()}


def journals(root: Path) -> list[Journal]:
    """Of all runs of a job, oldest first."""
    return [journal for folder in runs(root) if (journal := read_journal(folder)) is not None]


def _last_ended(run: Run) -> Journal | None:
    """The last run that is at an end."""
    ended = [
        journal
        for journal in journals(run.root)
        if journal.run != run.journal.run and journal.status in (Status.DONE, Status.STOPPED)
    ]
    return ended[-1] if ended else None
