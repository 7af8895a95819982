"""Erasure from a dataset that keeps nothing of its logs: each table without the users' rows.

Rules that look across users, such as the k-core, are not applied again: there is nothing to apply them to. How many
rows went is known by the tables of what was kept and lost.
"""

from dataclasses import replace

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.cleaning import Rule
from pipelines.ingest.dropped_rows import USER_ENTITY
from pipelines.ingest.erasure import quarantined_of, without_rows
from pipelines.ingest.ingest import reconciled
from pipelines.ingest.metadata_tables import check_described
from pipelines.ingest.summary import Count, IngestSummary, Kept
from recsys_vae.data import columns as c
from recsys_vae.data.erased_users import NEVER, ErasedUsers
from recsys_vae.frames import read_table


def thin_tables(before: DatasetDir, dataset: DatasetDir, erased: ErasedUsers, earlier: IngestSummary) -> IngestSummary:
    """Write every table of a dataset that is being made without the users' rows; its files may be links.

    Args:
        before: the dataset that it takes the place of.
        earlier: its summary.
    """
    whole = before.interactions().collect()
    kept = whole.filter(_stands(whole, erased))
    without_rows(kept, dataset.interactions_path)
    for path in (dataset.repeats_path, dataset.dislikes_path, dataset.given_test_path):
        if path.is_file():
            table = read_table(path)
            without_rows(table.filter(_stands(table, erased)), path)
    losses = read_table(dataset.losses_path)
    theirs = _is_of(losses["id"], erased) & (losses["entity"] == USER_ENTITY)
    without_rows(losses.filter(~theirs), dataset.losses_path)
    gone = {rule: int(rows) for rule, rows in losses.filter(theirs).group_by("rule").agg(pl.col("rows").sum()).rows()}
    quarantine, reasons, of_logs = quarantined_of(dataset.quarantine_path, erased, earlier)
    user_rows = _thin_metadata(dataset, erased, kept)
    rows = whole.height - kept.height + sum(gone.values()) + of_logs
    total = replace(erased, rows=erased.rows + rows)
    total.write(dataset.path)
    lost = {one.name: one.rows - gone.get(one.name, 0) for one in earlier.lost if one.name != Rule.ERASED}
    lost |= {Rule.ERASED.value: total.rows}
    return reconciled(
        replace(
            earlier,
            lost=tuple(Count(rule.value, lost[rule.value]) for rule in Rule if lost.get(rule.value)),
            kept=_kept(kept, dataset, earlier.kept),
            quarantined=reasons,
            metadata_quarantined=quarantine,
            user_rows=user_rows,
            users_described=None
            if user_rows is None
            else check_described(dataset, dataset.users_path, c.USER, "users"),
        )
    )


def _stands(rows: pl.DataFrame, erased: ErasedUsers) -> pl.Series:
    moments = erased.of(rows[c.USER])
    if c.TIMESTAMP not in rows.columns:
        return pl.Series(moments == NEVER)
    return pl.Series((moments == NEVER) | (rows[c.TIMESTAMP].dt.epoch("us").fill_null(NEVER).to_numpy() > moments))


def _is_of(users: pl.Series, erased: ErasedUsers) -> pl.Series:
    return pl.Series(erased.of(users) != NEVER)


def _thin_metadata(dataset: DatasetDir, erased: ErasedUsers, kept: pl.DataFrame) -> int | None:
    if not dataset.users_path.is_file():
        return None
    table = read_table(dataset.users_path)
    back = table[c.USER].is_in(kept[c.USER].unique().implode())
    table = table.filter(~_is_of(table[c.USER], erased) | back)
    without_rows(table, dataset.users_path)
    return table.height


def _kept(rows: pl.DataFrame, dataset: DatasetDir, earlier: Kept) -> Kept:
    users, items = rows[c.USER].n_unique(), rows[c.ITEM].n_unique()
    given = read_table(dataset.given_test_path).height if dataset.given_test_path.is_file() else 0
    time = rows[c.TIMESTAMP]
    first, last = rows.select(pl.col(c.TIMESTAMP).min().alias("first"), pl.col(c.TIMESTAMP).max().alias("last")).row(0)
    return replace(
        earlier,
        interactions=rows.height,
        users=users,
        items=items,
        density=rows.height / max(users * items, 1),
        given_test=given,
        first=first,
        last=last,
        without_timestamp=time.null_count(),
        without_position=min(earlier.without_position, int(np.count_nonzero(rows[c.POSITION].is_null()))),
        users_against_time=min(earlier.users_against_time, users),
        dislikes=read_table(dataset.dislikes_path).height if dataset.dislikes_path.is_file() else 0,
    )
