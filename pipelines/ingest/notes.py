"""Notes: what one should know of a dataset before using it, in words, of what was counted."""

from pathlib import Path

import polars as pl

from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.log_rows import ReadLogs
from pipelines.ingest.summary import Count, Kept
from recsys_vae.data import columns as c
from recsys_vae.frames import scan_table

SHOWN = 20
"""Kinds of events that are named at most."""


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


def on_kinds(rules: CleaningRules, kinds: pl.Series, quarantine: Path) -> tuple[str, ...]:
    """Kinds of events that an option names and no row has.

    Args:
        kinds: of the rows that keep the contract.
        quarantine: table of the others, read where a kind is not among these.
    """
    named = {"--event-weight": rules.weighed, "--dislike": rules.dislikes}
    if not any(named.values()) or (known := set(kinds)).issuperset((*rules.weighed, *rules.dislikes)):
        return ()
    known |= set(scan_table(quarantine).select(pl.col(c.EVENT_TYPE).unique().drop_nulls()).collect().to_series())
    there = sorted(known)
    shown = ", ".join(there[:SHOWN]) + (f" and {len(there) - SHOWN:,} more" if len(there) > SHOWN else "")
    absent = {option: [kind for kind in wanted if kind not in known] for option, wanted in named.items()}
    return tuple(
        f"{option}: no row is of the kind {' or '.join(missing)}; the kinds are: {shown or 'none'}. Correct the "
        "option if it is a slip."
        for option, missing in absent.items()
        if missing
    )
