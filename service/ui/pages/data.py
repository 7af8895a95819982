"""/ui/data: datasets of this machine: what ingest kept, what it dropped and why, and volume by day."""

from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import HTTPException, Path, Request, Response

from service.http.dependencies import AccessDep
from service.schemas.common import Id
from service.ui import dataset_files
from service.ui.charts import Series, bars, line
from service.ui.dataset_files import Dataset
from service.ui.rendering import page
from service.ui.routing import page_router

SAMPLE: Final = 20
"""Rows of the quarantine that are shown."""
RULES: Final = {
    "erased": "of users who were erased",
    "min_rating": "rated below the least that counts",
    "no_timestamp": "without a time, where the rules need one",
    "since": "before the first day that is taken",
    "until": "after the last day that is taken",
    "max_events_per_user": "of users with more events than anybody has",
    "return": "returns",
    "returned": "what was returned later",
    "dislike": "dislikes, which are kept apart",
    "liked_later": "dislikes that a liking followed",
    "disliked_later": "likings that a dislike followed",
    "duplicate": "the same user and item once more",
    "min_user": "of users with too few interactions",
    "min_item": "of items with too few interactions",
}
"""Rules of cleaning in words; one that is not named here is shown by its name alone."""

router = page_router()
Name = Annotated[Id, Path()]


@router.get("/data")
async def show_datasets(request: Request, access: AccessDep) -> Response:
    """All datasets of this home; needs the scope `admin`."""
    found = await to_thread.run_sync(dataset_files.datasets) if access.opens("admin") else []
    return page(request, "data.html", datasets=found)


@router.get("/data/{name:recsys_id}")
async def show_dataset(request: Request, access: AccessDep, name: Name, reason: str = "") -> Response:
    """One dataset; needs the scope `admin`, and rows of the quarantine, which name users, also `histories`."""
    access.demand("admin")
    told = await to_thread.run_sync(_told, name, reason, access.opens("histories"))
    if told is None:
        raise HTTPException(404, "There is no such dataset in this service's home.")
    return page(request, "dataset.html", rules=RULES, reason=reason, **told)


def _told(name: str, reason: str, with_rows: bool) -> dict[str, Any] | None:
    dataset = next((one for one in dataset_files.datasets() if one.name == name), None)
    if dataset is None:
        return None
    rows = dataset_files.quarantine(dataset, reason, SAMPLE) if with_rows else None
    told: dict[str, Any] = {"dataset": dataset, "fate": _fate(dataset), "columns": [], "rows": [], "volume": None}
    if rows is not None:
        told["columns"] = [column for column in rows.columns if rows[column].null_count() < len(rows)]
        told["rows"] = rows.to_dicts()
    if (counts := dataset_files.volume(dataset)) is not None:
        numbers = Series("interactions", [n for _, n in counts])
        told["volume"] = line("Interactions kept, by time", [day for day, _ in counts], [numbers], 0)
    return told


def _fate(dataset: Dataset) -> Any:
    """Where the rows of the logs went, as bars."""
    if (summary := dataset.summary) is None:
        return None
    parts = [("kept", summary.kept.interactions)]
    parts += [(f"lost: {one.name}", one.rows) for one in summary.lost]
    parts.append(("in quarantine", summary.n_quarantined))
    return bars("Where the rows of the logs went", [label for label, _ in parts], [n for _, n in parts])
