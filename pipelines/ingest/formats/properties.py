"""RetailRocket as Kaggle packs it: beside the log of events lie item properties in numbered parts, and a tree."""

from collections.abc import Sequence
from glob import escape
from pathlib import Path

from pipelines.ingest.formats.catalog import recognise
from pipelines.ingest.formats.peek import Peek

PARTS = "item_properties_part*.csv"
TREE = "category_tree.csv"
"""Which category lies in which: no model takes it."""


def take_properties(logs: Sequence[Path]) -> tuple[tuple[Path, ...], Path | None]:
    """The logs among some files, and the glob of the item properties that lie beside them; None where none do."""
    parts = [path for path in logs if path.match(PARTS) and _is_properties(path)]
    folders = {path.parent for path in parts}
    others = tuple(path for path in logs if path not in parts and not (path.name == TREE and path.parent in folders))
    if len(folders) != 1 or not others:
        return tuple(logs), None
    return others, Path(escape(str(folders.pop()))) / PARTS


def _is_properties(path: Path) -> bool:
    form = recognise(Peek.at(path))
    return form is not None and form.name == "retailrocket-items"
