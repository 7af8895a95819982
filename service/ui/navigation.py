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
    Entry("Items", "/ui/items", "What is known of an item, who gets it, what is like it; hide it, edit its fields."),
    Entry(
        "Catalogue", "/ui/catalogue", "All items: cold, never shown, shown too often, hidden; search, filter, coverage."
    ),
    Entry("Compare", "/ui/compare", "Two variants or bundles on the same users: overlap, moves, slices."),
    Entry("Experiments", "/ui/experiments", "Whether a variant is better, how sure that is, and how long still."),
    Entry("Replay", "/ui/replay", "A list that a user saw, made again, and whether it is identical."),
    Entry("Quality", "/ui/quality", "How good each version was, by slice; decisions of the gate; drift of the data."),
    Entry("Data", "/ui/data", "What ingest kept of the logs and what it dropped, and why; quarantine; events by day."),
    Entry("Images", "/ui/images", "Image models: reconstructions, a map of codes to wander, traversals, codebooks."),
    Entry("Deployments", "/ui/deployments", "What serves where, versions side by side; reload, roll back, weights."),
    Entry("Operations", "/ui/operations", "Requests, errors, latency, queue, cache, store and memory of the last day."),
    Entry("Jobs", "/ui/jobs", "The weekly runs: steps, progress, logs, and when the next one is expected."),
)


def is_current(entry: Entry, path: str) -> bool:
    """Whether a path is that of a page or lies below it."""
    return path == entry.address or path.startswith(f"{entry.address}/")
