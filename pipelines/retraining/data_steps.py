"""Steps about data: ingest, check, split."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl

from pipelines.dataset.directory import TABLE
from pipelines.ingest.summary import IngestSummary
from pipelines.retraining import exit_status
from pipelines.retraining.collect import NOTHING_NEW, QUIET, exported_files
from pipelines.retraining.config import as_arguments
from pipelines.retraining.run import Result, Run, Skip, Work
from recsys_vae.data.columns import TIMESTAMP
from recsys_vae.errors import DataError

SPLIT = "retrain"
"""Name of the split that every run makes again."""


class Ingest:
    """The dataset, with what has come since; what is in it already is not read again."""

    name = "ingest"

    def prepare(self, run: Run) -> Work | Skip:
        """Append where there is a dataset, ingest all where there is none."""
        if run.facts.get(QUIET):
            return Skip(NOTHING_NEW)
        files = [*sorted(run.facts["logs"]), *map(str, exported_files(run.root))]
        options = as_arguments(run.config.ingest)
        # Not in `depends_on`: whether the dataset stands. A run that is cut off just after its first ingest appends.
        stands = (run.dataset.path / TABLE).is_file()
        how = ("--append",) if stands else ()
        return Work(
            command=("ingest", *files, "--to", run.config.name, *options, *how),
            depends_on={"content": run.facts["content"]},
        )

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """What is in the dataset now."""
        summary = IngestSummary.read(run.dataset.summary_path)
        figures = {
            "interactions": summary.kept.interactions,
            "users": summary.kept.users,
            "items": summary.kept.items,
            "rows read in all": summary.rows_in,
            "rows in quarantine": sum(count.rows for count in summary.quarantined),
        }
        return Result(figures)


class Check:
    """Whether the data may be learned from."""

    name = "check"

    def prepare(self, run: Run) -> Work | Skip:
        """Against the last dataset that was accepted."""
        return Work(command=("check", run.config.name, "--json", "--accept", *as_arguments(run.config.check)))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Stop where a limit says so."""
        found = json.loads(told)
        odd = [one for one in found["findings"] if one["verdict"] != "ok"]
        figures = {"against": found["against"] or "nothing: it is the first", "checks": len(found["findings"])}
        figures |= {f"{one['verdict']}: {one['check']}": one["value"] for one in odd}
        if status:
            stopped = ", ".join(one["check"] for one in odd if one["verdict"] == "stop")
            return Result(figures, stops=exit_status.STOPPED, note=f"the data break a limit: {stopped}")
        return Result(figures)


class Split:
    """The newest events held out, by days up to the newest."""

    name = "split"

    def prepare(self, run: Run) -> Work | Skip:
        """The windows end with the newest event that does not lie in the future."""
        end = newest(run)
        test = end - timedelta(days=run.config.split.test)
        validation = test - timedelta(days=run.config.split.validation)
        moments = {"validation_from": _plain(validation), "test_from": _plain(test)}
        return Work(
            command=("split", run.config.name, "--protocol", "temporal", "--name", SPLIT, *as_arguments(moments))
        )

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """Sizes of the parts."""
        manifest = json.loads((run.dataset.split_path(SPLIT) / "split.json").read_bytes())
        return Result(
            {part: ", ".join(f"{n:,} {what}" for what, n in s.items()) for part, s in manifest["sizes"].items()}
        )


def newest(run: Run) -> datetime:
    """Time of the newest event that is no later than a day after the run began.

    Raises:
        LookupError: there is no dataset yet.
        DataError: no event has a time.
    """
    if not (run.dataset.path / TABLE).is_file():
        raise LookupError(run.config.name)
    horizon = run.journal.started_at + timedelta(days=1)
    time = pl.col(TIMESTAMP)
    found: datetime | None = run.dataset.events().filter(time <= pl.lit(horizon)).select(time.max()).collect().item()
    if found is None:
        raise DataError(
            f"No event of dataset {run.config.name!r} has a time that is past: what is new cannot be told from what is "
            'old. Map the log\'s time: `map = ["timestamp=COLUMN"]` under [ingest].'
        )
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _plain(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
