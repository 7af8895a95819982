"""Notes: what one should know of a dataset before using it, in words, of what was counted."""

from pipelines.ingest.log_rows import ReadLogs
from pipelines.ingest.summary import Count, Kept
from recsys_vae.data import columns as c


def on_ids(read: ReadLogs) -> tuple[str, ...]:
    """Ids that were floats."""
    changed = {c.USER: read.users.without_zeros, c.ITEM: read.items.without_zeros}
    return tuple(
        f"{name}: 12.0 is read as 12 (whole numbers written as floats: {count:,})"
        for name, count in changed.items()
        if count
    )


def on_metadata(
    kept: Kept, users_described: int | None, items_described: int | None, unreadable_numbers: tuple[Count, ...]
) -> tuple[str, ...]:
    """Metadata of few, and numbers that are none; the arguments are those of `IngestSummary`."""
    pairs = (("users", users_described, kept.users), ("items", items_described, kept.items))
    few = tuple(
        f"the metadata describe {described:,} of {everyone:,} {name}. Are their ids those of the log?"
        for name, described, everyone in pairs
        if described is not None and described < everyone / 2
    )
    return few + tuple(
        f"{count.rows:,} values of the field {count.name!r} are no numbers, as which it is declared: they count as "
        "unknown"
        for count in unreadable_numbers
    )


def on_order(kept: Kept) -> tuple[str, ...]:
    """Positions against times."""
    if not kept.users_against_time:
        return ()
    return (
        f"the log's column `position` orders the rows of {kept.users_against_time:,} of {kept.users:,} users otherwise "
        "than `timestamp`, and the position counts. If it is no order within a user, such as a rank in a list, "
        "rename it",
    )
