"""What was changed about items, as the lists of a campaign know it: read from the store when it begins, and kept beside
its parts, so that a rerun knows the same."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from recsys_vae.errors import DataError
from service.ranking.past_items import PastItems, PastState
from service.ranking.served_model import Catalogue
from service.store.database import Database
from service.store.item_records import RECORD, LiveItem, live_item
from service.store.items import ItemStore

ITEMS_FILE: Final = "live-items.ndjson"
"""In a campaign's folder: a row of the store's table of items a line."""


def stored_items(database: Database) -> list[LiveItem]:
    """All items that something was changed about, as they are now; none where there is no store yet.

    Raises:
        UnavailableError: the store does not answer.
    """
    if not database.exists:
        return []
    found: dict[str, LiveItem] = {}
    for items in ItemStore(database).since(0):  # what is changed meanwhile comes once more
        found |= {item.item_id: item for item in items}
    return list(found.values())


def show_items(items: Sequence[LiveItem], catalogue: Catalogue, explore: float) -> None:
    """Have a catalogue show items as they are, and lists keep a share of their places for those it does not know."""
    sequence = max((item.sequence for item in items), default=0)
    PastItems({catalogue: PastState(items, sequence)}, explore).settle([catalogue])


def written_items(items: Sequence[LiveItem]) -> str:
    """The content of `ITEMS_FILE`."""
    rows = (
        {"item_id": item.item_id, "number": item.number, "sequence": item.sequence, "document": _document(item)}
        for item in items
    )
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def kept_items(folder: Path) -> list[LiveItem] | None:
    """The items that a campaign which began here knows; None where none has begun.

    Raises:
        DataError: the file is not what was written.
    """
    path = folder / ITEMS_FILE
    if not path.is_file():
        return None
    try:
        return [live_item(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} does not hold items as `recsys campaign` keeps them: {error}. Begin anew.") from error


def _document(item: LiveItem) -> str:
    return RECORD.dump_json(item.record).decode()
