"""The page of a run: every step, how long it took, what came of it, and the pages that steps have written."""

from datetime import UTC, datetime
from pathlib import Path

from pipelines.pages import render_page
from pipelines.retraining.run import Run
from recsys_vae.atomic import write_atomically

PAGE = "index.html"
PAGES = (("Evaluation", "evaluation.html"), ("Comparison with the champion", "gate.html"))
"""What steps write beside it."""


def write_page(run: Run) -> Path:
    """Write the page into the run's folder, and say where."""
    text = render_page(
        "retrain.html",
        journal=run.journal,
        pages=[(name, file) for name, file in PAGES if (run.folder / file).is_file()],
        seconds=sum(step.seconds or 0.0 for step in run.journal.steps.values()),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    path = run.folder / PAGE
    write_atomically(path, text)
    return path
