"""/ui/data: datasets: what ingest dropped and why, samples of quarantine, events by day."""

from pathlib import Path as Folder
from typing import Annotated, Any

from anyio import to_thread
from fastapi import HTTPException, Path, Request, Response

from recsys_vae.pages import charts
from service.http.dependencies import AccessDep
from service.schemas.common import Id
from service.ui.datasets import Told, Volume, folders, samples_of, told_of, volume_of
from service.ui.rendering import page
from service.ui.routing import page_router

router = page_router()


@router.get("/data")
async def list_datasets(request: Request, access: AccessDep) -> Response:
    """All datasets, with what is left of their logs."""
    shown = await to_thread.run_sync(_all, request) if access.opens("histories") else []
    return page(request, "data.html", datasets=shown)


@router.get("/data/{name:recsys_id}")
async def show_dataset(request: Request, name: Annotated[Id, Path()], access: AccessDep, reason: str = "") -> Response:
    """One dataset."""
    access.demand("histories")
    folder = (await to_thread.run_sync(folders, request.app)).get(name)
    if folder is None:
        raise HTTPException(404, "No dataset of this name is here.")
    shown = await to_thread.run_sync(_shown, folder, reason)
    return page(request, "dataset.html", name=name, reason=reason, **shown)


def _all(request: Request) -> list[Told]:
    return [told_of(folder) for folder in folders(request.app).values()]


def _shown(folder: Folder, reason: str) -> dict[str, Any]:
    told = told_of(folder)
    volume = volume_of(folder)
    steps = [
        ("rows read", told.rows_in),
        *((f"\N{MINUS SIGN} {one.name}", one.rows) for one in (*told.quarantined, *told.lost)),
    ]
    steps.append(("interactions", told.kept))
    labels, rows = [name for name, _ in steps], [number for _, number in steps]
    return {
        "told": told,
        "volume": volume,
        "chart": _drawn(volume),
        "steps": charts.bars("What became of the rows", labels, rows) if told.rows_in else "",
        "samples": samples_of(folder, reason),
    }


def _drawn(volume: Volume | None) -> str:
    if volume is None or not volume.labels:
        return ""
    name = f"events a {volume.every}"
    return charts.line(f"Events by {volume.every}", volume.labels, [charts.Series(name, volume.counts)], digits=0)
