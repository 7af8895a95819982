"""/ui/quality: how good each version was, by slice, what the gate decided, and how the data drifted."""

from collections.abc import Sequence
from typing import Annotated, Any

from anyio import to_thread
from fastapi import HTTPException, Path, Request, Response

from recsys_vae.pages import charts
from service.http.dependencies import AccessDep
from service.schemas.common import Id
from service.ui.gate_decisions import Decision, Run, decisions_of, models, registry_address, runs_of
from service.ui.rendering import page
from service.ui.routing import page_router

router = page_router()


@router.get("/quality")
async def list_models(request: Request, access: AccessDep) -> Response:
    """Models with decisions, or with runs of the weekly job."""
    found = await to_thread.run_sync(_all) if access.opens("recommend") else []
    return page(request, "quality.html", models=found)


@router.get("/quality/{name:recsys_id}")
async def show_model(
    request: Request, name: Annotated[Id, Path()], access: AccessDep, decision: str = "", metric: str = ""
) -> Response:
    """One model: its versions over time, and one decision in full, the latest where none is named."""
    access.demand("recommend")
    if name not in await to_thread.run_sync(models):
        raise HTTPException(404, "No model of this name has been decided on or trained again here.")
    shown = await to_thread.run_sync(_shown, name, decision, metric)
    return page(request, "quality_model.html", name=name, **shown)


def _all() -> list[dict[str, Any]]:
    found = []
    for name in models():
        decisions, runs = decisions_of(name), runs_of(name)
        found.append(
            {"name": name, "decisions": len(decisions), "runs": len(runs), "last": decisions[-1] if decisions else None}
        )
    return found


def _shown(name: str, key: str, metric: str) -> dict[str, Any]:
    decisions, runs = decisions_of(name), runs_of(name)
    chosen = next((one for one in decisions if one.key == key), decisions[-1] if decisions else None)
    names = list(dict.fromkeys(figure.metric for one in decisions for figure in one.overall))
    metric = metric if metric in names else (names or [""])[0]
    return {
        "decisions": [(one, registry_address(name, one.version)) for one in reversed(decisions)],
        "chosen": chosen,
        "metric": metric,
        "metrics": names,
        "versions": _of_versions(decisions, metric),
        "slices": _by_slice(chosen, metric),
        "runs": list(reversed(runs)),
        "course": _of_runs(runs),
    }


def _of_versions(decisions: Sequence[Decision], metric: str) -> str:
    """Challenger and champion over all users, a decision a place."""
    found = [(one, figure) for one in decisions for figure in one.overall if figure.metric == metric]
    if not found:
        return ""
    challenger = charts.Series("challenger", [figure.challenger for _, figure in found])
    champion = charts.Series("champion, or popularity", [figure.champion for _, figure in found])
    labels = [f"version {one.version}" for one, _ in found]
    return charts.line(f"{metric} of all users at each decision", labels, [challenger, champion], digits=4)


def _by_slice(decision: Decision | None, metric: str) -> str:
    figures = [one for one in decision.slices if one.metric == metric] if decision else []
    if not figures:
        return ""
    values = [one.challenger or 0.0 for one in figures]
    return charts.bars(f"{metric} of the challenger by slice", [one.name for one in figures], values, digits=4)


def _of_runs(runs: Sequence[Run]) -> str:
    """What the weekly job measured on the test part, a run a place."""
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))[: charts.MOST_SERIES]
    if not names:
        return ""
    series = [charts.Series(name, [run.metrics.get(name) for run in runs]) for name in names]
    return charts.line("Measured by each run, on its own test part", [run.at[:10] for run in runs], series, digits=4)
