"""Where a campaign's lists go: a folder of parts with a manifest that says which are done, so that a rerun goes on.

FOLDER/
    manifest.json        what was asked of what, and the parts that are done
    live-items.ndjson    what was changed about items when it began
    part-00000.parquet   lists of a range of users; user_id, rank, item_id, score, tier, source, and fields of the items
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_vae.atomic import atomic_directory, atomic_file, remove_partials, write_atomically
from recsys_vae.data.columns import ITEM, RANK, SCORE, SOURCE, TIER, USER
from recsys_vae.errors import ConfigError
from recsys_vae.frames import columns_in
from recsys_vae.locks import exclusive
from recsys_vae.outputs import DirectoryProduct, FileProduct, check_output
from service.jobs.campaign_items import ITEMS_FILE, written_items
from service.store.item_records import LiveItem

MANIFEST = "manifest.json"
KIND = "recsys campaign"
SCHEMA = pa.schema(
    [(USER, pa.string()), (RANK, pa.int32()), (ITEM, pa.string()), (SCORE, pa.float64()), (TIER, pa.string()),
     (SOURCE, pa.string())]
)  # fmt: skip
LISTS = FileProduct("a file of lists by `recsys campaign`", lambda path: columns_in(path)[:6] in ([], SCHEMA.names))
PARTS = DirectoryProduct(
    "a folder of lists by `recsys campaign`",
    MANIFEST,
    lambda told: (
        (MANIFEST, ITEMS_FILE, "part-*.parquet", ".part-*", f".{MANIFEST}.*") if told.get("kind") == KIND else None
    ),
)
"""What may be gone on with, or replaced."""


@dataclass(frozen=True)
class Part:
    """What is in a part.

    Attributes:
        number: of the part, from 0.
        users: who were asked for.
        rows: of their lists.
        tiers: users by the tier that answered; those without a list do not count.
        without_list: users for whom nothing was allowed.
        named: the first of these.
    """

    number: int
    users: int
    rows: int
    tiers: dict[str, int]
    without_list: int
    named: tuple[str, ...]


class Folder:
    """A folder of parts; to be used while `opened`.

    Args:
        path: of the folder.
        asked: all that lists depend on.
        settled: what was found at the start and holds for all parts.
        done: parts.
    """

    def __init__(self, path: Path, asked: Mapping[str, Any], settled: Mapping[str, Any], done: Sequence[Part]) -> None:
        self.path, self.asked, self.settled = path, asked, settled
        self.done = {part.number: part for part in done}

    def write(self, part: Part, lists: pa.Table) -> None:
        """Write a part whole, and then that it is done."""
        with atomic_file(self.path / name_of(part.number)) as temporary:
            pq.write_table(lists, temporary, compression="zstd")
        self.done[part.number] = part
        write_atomically(self.path / MANIFEST, _manifest(self.asked, self.settled, list(self.done.values())))


def name_of(number: int) -> str:
    """Of the file of a part."""
    return f"part-{number:05}.parquet"


def settled_before(path: Path, asked: Mapping[str, Any]) -> tuple[dict[str, Any], list[Part]] | None:
    """What a run that was broken off had found, and the parts that it wrote; None where there was none.

    Raises:
        ConfigError: another command wrote what is there, or it is not a campaign's.
    """
    place = check_output(path, PARTS)
    manifest = place / MANIFEST
    if not manifest.is_file():
        return None
    told = json.loads(manifest.read_bytes())
    differing = sorted(name for name in {*told["asked"], *asked} if told["asked"].get(name) != _plain(asked).get(name))
    if differing:
        raise ConfigError(
            f"{path} holds lists of another campaign; what differs: {', '.join(differing)}. Repeat the command that "
            "began it, name another folder, or remove this one."
        )
    parts = [Part(**{**part, "named": tuple(part["named"])}) for part in told["done"]]
    return told["settled"], [part for part in parts if _is_whole(place / name_of(part.number), part.rows)]


@contextmanager
def opened(
    path: Path,
    asked: Mapping[str, Any],
    settled: Mapping[str, Any],
    done: Sequence[Part],
    items: Sequence[LiveItem] = (),
) -> Iterator[Folder]:
    """A folder to write parts to, by one process at a time; where it is new, it says what is known of items."""
    place = check_output(path, PARTS)
    place.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(place):
        if not (place / MANIFEST).is_file():
            with atomic_directory(place, PARTS) as temporary:
                (temporary / ITEMS_FILE).write_text(written_items(items), encoding="utf-8")
                (temporary / MANIFEST).write_text(_manifest(asked, settled, []))
        for leftover in (*place.glob(".part-*.partial"), *place.glob(f".{MANIFEST}.*.partial")):
            leftover.unlink(missing_ok=True)
        yield Folder(place, asked, settled, done)


@contextmanager
def single_file(path: Path, fields: Mapping[str, pl.DataType]) -> Iterator[pq.ParquetWriter]:
    """A writer of one file with these fields of items, which appears when all of it is there."""
    place = check_output(path, LISTS)
    remove_partials(place)
    schema = schema_of(fields)
    with atomic_file(place, LISTS) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        yield writer


def _manifest(asked: Mapping[str, Any], settled: Mapping[str, Any], done: Sequence[Part]) -> str:
    parts = [asdict(part) for part in sorted(done, key=lambda part: part.number)]
    content = {"kind": KIND, "asked": asked, "settled": settled, "done": parts}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asked))
    return plain


def _is_whole(path: Path, rows: int) -> bool:
    try:
        return int(pq.read_metadata(path).num_rows) == rows
    except (OSError, pa.ArrowInvalid):
        return False


def as_table(lists: pl.DataFrame, fields: Mapping[str, pl.DataType]) -> pa.Table:
    """Lists with these fields of items as they are written."""
    return lists.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema_of(fields))


def schema_of(fields: Mapping[str, pl.DataType]) -> pa.Schema:
    """Of lists with these fields of items."""
    return pa.schema([*SCHEMA, *(pa.field(name, _arrow_type(dtype)) for name, dtype in fields.items())])


def _arrow_type(dtype: pl.DataType) -> pa.DataType:
    if isinstance(dtype, pl.List):
        return pa.list_(_arrow_type(pl.Series(dtype=dtype.inner).dtype))
    found = pl.Series([], dtype=dtype).to_arrow(compat_level=pl.CompatLevel.oldest()).type
    return pa.string() if found == pa.large_string() else found
