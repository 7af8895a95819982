"""Navigation: the pages that the header of every page names, in this order."""

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """A page that is named.

    Attributes:
        label: what it is called.
        address: where it is; it is the current one wherever an address begins with it.
        about: one sentence for the start page.
    """

    label: str
    address: str
    about: str


ENTRIES: Final = (
    Entry("Users", "/ui/users", "What a user gets, why this item and why not that one; play with history and rules."),
    Entry("Deployments", "/ui/deployments", "What serves where, versions side by side; reload, roll back, weights."),
    Entry("Operations", "/ui/operations", "Requests, errors, latency, queue, cache, store and memory of the last day."),
    Entry("Jobs", "/ui/jobs", "The weekly runs: steps, progress, logs, and when the next one is expected."),
    Entry(
        "Data", "/ui/data", "Datasets: what ingest kept, what it dropped and why, rows in quarantine, volume by day."
    ),
)


def is_current(entry: Entry, path: str) -> bool:
    """Whether a path is that of a page or lies below it."""
    return path == entry.address or path.startswith(f"{entry.address}/")
