"""`recsys load-items`: fills the store with metadata of items from a table."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

TOLD = 10
"""Rejected rows that are named."""


def load_items(
    table: Annotated[Path, typer.Argument(help="Parquet, CSV or NDJSON file, a row an item, a column a field.")],
    store: Annotated[
        str | None, typer.Option(help="URL of the event store (RECSYS_STORE).  [default: SQLite under RECSYS_HOME]")
    ] = None,
    id_column: Annotated[str, typer.Option("--id", help="Column of the item ids.")] = "item_id",
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Column of several texts with | between them; once a column.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Forget fields that the table has no value for, instead of keeping them.")
    ] = False,
    as_of: Annotated[
        datetime | None,
        typer.Option(help="Time of the table (UTC): what was changed later stays.  [default: now, before all else]"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and judge the rows, and change nothing.")] = False,
) -> None:
    """Tell a running or a later service the metadata of its items. Loading the same table again changes nothing."""
    from tqdm import tqdm

    from service.jobs.item_import import ItemTable
    from service.settings import read_settings
    from service.store.database import Database
    from service.store.item_records import ItemChange
    from service.store.items import ItemStore

    database = Database(read_settings(store=store).store_url)
    items = ItemStore(database)
    read = ItemTable.read(table, id_column=id_column, sets=sets or (), kinds=items.fields())
    counts, reasons = Counter[str](), list[str]()
    with tqdm(total=read.frame.height, desc="load-items", unit="row", unit_scale=True, disable=None) as bar:
        moment = None if as_of is None else as_of.replace(tzinfo=as_of.tzinfo or UTC)
        for batch in read.batches(replaces=replace, as_of=moment):
            changes = [row for row in batch if isinstance(row, ItemChange)]
            outcomes = (items.judge if dry_run else items.take)(changes) if changes else []
            counts.update(str(one.fate) if one.reason is None else "rejected" for one in outcomes)
            counts["rejected"] += len(batch) - len(changes)
            named = [(change.item_id, one.reason) for change, one in zip(changes, outcomes, strict=False)]
            reasons += [row for row in batch if isinstance(row, str)]
            reasons += [f"{item_id}: {reason}" for item_id, reason in named if reason is not None]
            bar.update(len(batch))
    database.close()
    for reason in reasons[:TOLD]:
        typer.echo(f"rejected  {reason}", err=True)
    done = "Nothing was changed (--dry-run)" if dry_run else f"{counts['accepted']:,} changed"
    told = f"{read.frame.height:,} items, {done}, {counts['duplicate']:,} so already, {counts['rejected']:,} rejected"
    typer.echo(f"{table}: {told}. Store: {database.address}")
    if counts["rejected"]:
        raise typer.Exit(1)
