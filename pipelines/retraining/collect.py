"""Collect: which logs there are and what came into the event store, known by content, so that nothing counts twice."""

import json
from hashlib import file_digest
from pathlib import Path
from typing import Any

from pipelines.ingest.log_files import find_files
from pipelines.retraining.journal import Journal, Status, fingerprint, read_journal
from pipelines.retraining.run import Result, Run, Skip, Work
from recsys_vae.atomic import write_atomically

STAMPS = "files.json"
"""Of every log that was seen: size, time and SHA-256, so that what has not changed is not read again."""
EXPORTED = "events"
"""Folder of what was exported from the event store, a file a run."""
NOTHING_NEW = "nothing new has come since the last run"


class Collect:
    """What there is to learn from; the run is at its end where all of it was there the last time."""

    name = "collect"

    def prepare(self, run: Run) -> Work | Skip:
        """Export what came into the store since the last run that did so, and look at the logs."""
        since = last_sequence(run.root)
        export = ("export-events", "--after", str(since), "--to", str(_exported(run)), "--json")
        return Work(
            command=export if run.config.collect.store else (),
            depends_on={"config": run.config.model_dump(mode="json"), "run": run.journal.run},
        )

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Name every log by its content."""
        through = last_sequence(run.root)
        events = 0
        if run.config.collect.store:
            counted = json.loads(told)
            through, events = counted["through"], counted["events"]
        logs = _logs(run)
        content = fingerprint({"config": run.config.model_dump(mode="json"), "logs": logs, "through": through})
        facts = {"logs": sorted(logs), "through": through, "content": content, "store_events": events}
        figures = {"log files": len(logs), "events of the store": events}
        before = _last_content(run)
        if content == before:
            return Result(figures, facts, note=NOTHING_NEW, ends=True)
        return Result(figures, facts)


def last_sequence(root: Path) -> int:
    """Sequence of the last event that an ended run has taken from the store; 0 before the first."""
    return max((journal.facts.get("taken_through", 0) for journal in _journals(root)), default=0)


def exported_files(root: Path) -> list[Path]:
    """What was exported from the store, oldest first."""
    return sorted((root / EXPORTED).glob("*.parquet"))


def _exported(run: Run) -> Path:
    return run.root / EXPORTED / f"{run.journal.run}.parquet"


def _logs(run: Run) -> dict[str, str]:
    """Path -> SHA-256 of every log."""
    path = run.root / STAMPS
    try:
        known: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        known = {}
    found = {str(file.resolve()): file for file in find_files(run.config.collect.logs)}
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


def _journals(root: Path) -> list[Journal]:
    folders = sorted((root / "runs").glob("[0-9]*"))
    return [journal for folder in folders if (journal := read_journal(folder)) is not None]


def _last_content(run: Run) -> str | None:
    """What the last run worked on that is at an end."""
    ended = [
        journal
        for journal in _journals(run.root)
        if journal.run != run.journal.run and journal.status in (Status.DONE, Status.STOPPED)
    ]
    return ended[-1].facts.get("content") if ended else None
