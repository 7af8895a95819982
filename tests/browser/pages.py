"""The pages that browser tests open: a name for pictures, and an address, a line a page."""

from typing import Final

PAGES: Final = {
    "start": "/ui",
    "users": "/ui/users",
    "user": "/ui/users/1",
    "user-played": "/ui/users/1?add=50&filter=is:genres:Drama&boost=2::60&cap=8:genres&item=7",
    "items": "/ui/items?find=river",
    "item": "/ui/items/50",
    "item-edit": "/ui/items/50/edit",
    "catalogue": "/ui/catalogue",
    "catalogue-filtered": "/ui/catalogue?find=the&filter=is:genres:Drama&sort=least&show=never",
    "compare": "/ui/compare?set=regulars",
    "experiments": "/ui/experiments",
    "replay": "/ui/replay?request_id=shown.1",
    "replay-refused": "/ui/replay?request_id=nobody",
    "quality": "/ui/quality",
    "quality-of-model": "/ui/quality/films",
    "data": "/ui/data",
    "data-of-dataset": "/ui/data/shop",
    "images": "/ui/images",
    "deployments": "/ui/deployments",
    "deployments-reload": "/ui/deployments/reload?source=films-before",
    "deployments-refused": "/ui/deployments/reload?source=../..",
    "versions": "/ui/deployments/versions",
    "operations": "/ui/operations?span=6h&live=no",
    "jobs": "/ui/jobs",
    "job-run": "/ui/jobs/films/20261123T040000Z",
    "dataset": "/ui/data/films",
    "error": "/ui/nowhere",
}
