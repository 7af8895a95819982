"""Outcome: a comparison as a command line, as JSON, as a page on disk, and as a run at the tracking server."""

import math
import shlex
from typing import Any

from pipelines.selection.compare import Compared
from pipelines.selection.page import render
from recsys_vae.atomic import write_atomically
from recsys_vae.evaluation.bootstrap import Interval
from recsys_vae.training.tracking import tracked_run


def train_command(compared: Compared) -> str:
    """The command line that trains what is recommended."""
    question = compared.question
    words = ["recsys", "train", question.dataset.name, "--split", question.split]
    return shlex.join([*words, "--settings", str(compared.settings_path), "--to", f"bundles/{compared.settings.model}"])


def write_page(compared: Compared) -> None:
    """Write the page beside the record."""
    write_atomically(compared.page_path, render(compared, train_command(compared)))


def track(compared: Compared) -> None:
    """Tell the tracking server, once for each comparison; one that is gone on with stays in its run."""
    record, found = compared.record, compared.recommendation
    dataset = compared.question.dataset.name
    with tracked_run(dataset, "compare", run_id=record.run_id) as tracker:
        told = {
            f"{model}.{name}": value for model, one in record.standings.items() for name, value in one.means.items()
        }
        tracker.log_parameters({"split": compared.question.split, "metric": found.metric, "pick": found.pick})
        tracker.log_metrics(told | {"seconds": record.seconds}, len(record.done))
        tracker.log_text(compared.page_path.read_text(encoding="utf-8"), "page.html")
        record.run_id = tracker.run_id
    record.write()


def as_json(compared: Compared) -> dict[str, Any]:
    """The outcome as plain values; what is not a number is null."""
    found, record = compared.recommendation, compared.record
    return {
        "dataset": compared.question.dataset.name,
        "split": compared.question.split,
        "pick": found.pick,
        "settings": compared.settings.settings,
        "command": train_command(compared),
        "page": str(compared.page_path),
        "metric": found.metric,
        "users": found.n_users,
        "reasons": found.reasons(),
        "warnings": list(compared.cautions),
        "seconds": record.seconds,
        "trials": len(record.done),
        "is_complete": record.is_complete,
        "left_out": compared.contest.left_out,
        "failed": {one.model: one.reason for one in record.done if one.reason},
        "models": {
            rival.model: {
                "means": record.standings[rival.model].means,
                "difference": _interval(rival.interval),
                "is_worse": rival.is_worse,
                "training_seconds": record.standings[rival.model].seconds,
                "milliseconds": record.standings[rival.model].milliseconds,
                "bytes": record.standings[rival.model].n_bytes,
                "is_whole": record.standings[rival.model].is_whole,
            }
            for rival in found.rivals
        },
    }


def _interval(interval: Interval | None) -> list[float | None] | None:
    if interval is None:
        return None
    return [value if math.isfinite(value) else None for value in (interval.difference, interval.low, interval.high)]
