"""The pages that browser tests open: a name for pictures, and an address, a line a page."""

from typing import Final

PAGES: Final = {
    "start": "/ui",
    "users": "/ui/users",
    "user": "/ui/users/1",
    "user-played": "/ui/users/1?add=50&filter=is:genres:Drama&boost=2::60&cap=8:genres&item=7",
    "deployments": "/ui/deployments",
    "deployments-reload": "/ui/deployments/reload?source=films-before",
    "deployments-refused": "/ui/deployments/reload?source=../..",
    "versions": "/ui/deployments/versions",
    "operations": "/ui/operations?span=6h&live=no",
    "jobs": "/ui/jobs",
    "job-run": "/ui/jobs/films/20261123T040000Z",
    "data": "/ui/data",
    "dataset": "/ui/data/films",
    "error": "/ui/nowhere",
}
