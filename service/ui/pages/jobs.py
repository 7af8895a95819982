"""/ui/jobs: the weekly runs of this machine: what each step did, how long it took, and what it printed."""

from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import HTTPException, Path, Request, Response

from recsys_vae.pages.charts import bars
from service.http.dependencies import AccessDep
from service.schemas.common import Id
from service.ui import retraining_runs
from service.ui.plain_files import figure
from service.ui.rendering import page
from service.ui.retraining_runs import LOG, Run
from service.ui.routing import page_router

SHOWN: Final = 20
"""Runs of a job."""
KINDS: Final = {"done": "good", "failed": "bad", "stopped": "warn", "running": "accent", "skipped": ""}
"""Status -> how its badge looks."""

router = page_router()
Name = Annotated[Id, Path()]


@router.get("/jobs")
async def show_jobs(request: Request, access: AccessDep) -> Response:
    """All jobs with their last runs; needs the scope `admin`."""
    found = await to_thread.run_sync(_jobs) if access.opens("admin") else []
    return page(request, "jobs.html", jobs=found, kinds=KINDS)


@router.get("/jobs/{job:recsys_id}/{run:recsys_id}")
async def show_run(request: Request, access: AccessDep, job: Name, run: Name, log: str = LOG) -> Response:
    """One run: its steps, and the end of one of its logs; needs the scope `admin`."""
    access.demand("admin")
    told = await to_thread.run_sync(_run, job, run, log)
    if told is None:
        raise HTTPException(404, "There is no such run, or no such log of it, in this service's home.")
    return page(request, "job_run.html", job=job, kinds=KINDS, log=log, **told)


def _jobs() -> list[dict[str, Any]]:
    found = []
    for job in retraining_runs.jobs():
        runs = retraining_runs.runs(job, SHOWN)
        latest = runs[0] if runs else None
        found.append({
            "name": job, "runs": runs, "expected": retraining_runs.expected(runs),
            "latest": latest, "progress": latest.progress if latest is not None and latest.is_running else None,
        })  # fmt: skip
    return found


def _run(job: str, name: str, log: str) -> dict[str, Any] | None:
    runs = {run.name: run for run in retraining_runs.runs(job, 10_000)} if job in retraining_runs.jobs() else {}
    run = runs.get(name)
    if run is None or (log not in run.logs and log != LOG):
        return None
    return {
        "run": run,
        "progress": run.progress,
        "text": retraining_runs.tail(run.folder / log),
        "times": _times(run),
    }


def _times(run: Run) -> Any:
    steps = [step for step in run.record.steps.values() if step.seconds] if run.record is not None else []
    return bars(
        "Seconds of each step", [step.name for step in steps], [figure(step.seconds) or 0.0 for step in steps], 1
    )
