"""The page of a run: every step, how long it took, what came of it, and the pages that steps have written."""

from datetime import UTC, datetime
from os.path import relpath
from pathlib import Path

from pipelines.pages import render_page
from pipelines.retraining.run import Run
from recsys_vae.atomic import write_atomically
from recsys_vae.pages.formatting import number

PAGE = "index.html"
EVALUATION = "evaluation.html"
"""What the evaluation writes beside it."""


def write_page(run: Run) -> Path:
    """Write the page into the run's folder, and say where."""
    text = render_page(
        "retrain.html",
        journal=run.journal,
        figures={
            step.name: [(name, _shown(value)) for name, value in step.figures.items()]
            for step in run.journal.steps.values()
        },
        pages=_pages(run),
        seconds=sum(step.seconds or 0.0 for step in run.journal.steps.values()),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    path = run.folder / PAGE
    write_atomically(path, text)
    return path


def _shown(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return number(value, 4 if isinstance(value, float) else 0)


def _pages(run: Run) -> list[tuple[str, str]]:
    """Names of the pages that steps have written, and where they lie, seen from this one."""
    pages = [("Evaluation", run.folder / EVALUATION)]
    if (gate := run.journal.steps.get("gate")) is not None and gate.figures.get("page"):
        pages.append(("Comparison with the champion", Path(gate.figures["page"])))
    return [(name, relpath(page, run.folder)) for name, page in pages if page.is_file()]
