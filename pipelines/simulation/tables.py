"""Tables of a simulated log: rows, metadata and the truth, as frames and files."""

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_vae.data import columns as c
from recsys_vae.simulation.dirt import BAD_TIME, NO_ITEM, NO_USER, UNKNOWN_EVENT
from recsys_vae.simulation.events import KINDS, Rows, joined
from recsys_vae.simulation.metadata import item_metadata, user_metadata
from recsys_vae.simulation.world import World

Form = Literal["parquet", "csv", "csv.gz", "ndjson"]
FORMS: Final[tuple[Form, ...]] = ("parquet", "csv", "csv.gz", "ndjson")
UNKNOWN: Final = "hover"
"""An event type that no ingest is told a weight of."""
NO_TIME: Final = "yesterday"
EVENT_TYPES: Final = pl.Series([*KINDS, UNKNOWN], dtype=pl.Enum([*KINDS, UNKNOWN]))
GZIP_LEVEL: Final = 1


def log_frame(parts: list[Rows]) -> pl.DataFrame:
    """Rows of several blocks by time: user_id, item_id, event_type, timestamp in seconds; faults as files have them."""
    rows = joined(parts)
    rows = rows.taken(_by_time(rows.times))
    kinds = rows.kinds.copy()
    kinds[rows.faults == UNKNOWN_EVENT] = len(KINDS)
    frame = pl.DataFrame(
        {
            c.USER: rows.users,
            c.ITEM: rows.items,
            c.EVENT_TYPE: EVENT_TYPES.gather(pl.Series(kinds)),
            c.TIMESTAMP: rows.times,
        }
    )
    if not rows.faults.any():
        return frame
    faults = pl.Series(rows.faults)
    changed: list[pl.Expr] = [
        pl.when(faults != NO_USER).then(pl.col(c.USER)),
        pl.when(faults != NO_ITEM).then(pl.col(c.ITEM)),
    ]
    if (faults == BAD_TIME).any():
        text = pl.col(c.TIMESTAMP).cast(pl.String)
        changed.append(pl.when(faults == BAD_TIME).then(pl.lit(NO_TIME)).otherwise(text).alias(c.TIMESTAMP))
    return frame.with_columns(changed)


def _by_time(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places in the order of the times, equal ones as they stand: keys that all differ sort faster than stably."""
    bits = max(1, len(times).bit_length())
    keys = ((times - times.min(initial=0)) << bits) | np.arange(len(times))
    keys.sort()
    places: NDArray[np.int64] = keys & ((1 << bits) - 1)
    return places


def write_log(frame: pl.DataFrame, path: Path, form: Form) -> None:
    """Write rows in a form; equal rows are equal bytes."""
    if form == "parquet":
        frame.write_parquet(path, compression="lz4")
    elif form == "ndjson":
        frame.write_ndjson(path)
    elif form == "csv":
        frame.write_csv(path)
    else:
        frame.write_csv(path, compression="gzip", compression_level=GZIP_LEVEL, check_extension=False)


def item_table(world: World) -> pl.DataFrame:
    """What a shop knows of its items."""
    found: dict[str, Any] = item_metadata(world)
    day = pl.Series(found["day"]).cast(pl.Int32) + world.settings.first_second // 86_400
    return pl.DataFrame(
        {
            c.ITEM: np.arange(world.settings.items),
            "category": _labels("c", found["category"]),
            "brand": _labels("b", found["brand"]),
            "price": found["price"],
            "released": day.cast(pl.Date),
        }
    )


def user_table(world: World, block: int) -> pl.DataFrame:
    """What a shop knows of the users of a block."""
    found = user_metadata(world, block)
    first = world.users(block).first
    devices = ("phone", "tablet", "desktop")
    return pl.DataFrame(
        {
            c.USER: np.arange(first, first + len(found["age"])),
            "interest": _labels("t", found["interest"]),
            "age": found["age"],
            "device": pl.Series(devices).gather(pl.Series(found["device"])),
        }
    )


def true_items(world: World) -> pl.DataFrame:
    """Truth of the items: factors (tastes and shares), biases (weight), and how they change with time."""
    shop = world.catalogue
    return pl.DataFrame(
        {
            c.ITEM: np.arange(world.settings.items),
            "weight": shop.weights,
            "home": shop.tastes[:, 0],
            "other": shop.tastes[:, 1],
            "home_share": shop.shares[:, 0],
            "other_share": shop.shares[:, 1],
            "arrival_day": shop.arrivals,
            "group": shop.groups,
            "reorder_rate": shop.reorder_rates,
            "reorder_days": shop.reorder_days,
        }
    )


def true_tastes(world: World) -> pl.DataFrame:
    """Truth of the tastes: prior, and normaliser of each day."""
    shop = world.catalogue
    return pl.DataFrame({"taste": np.arange(len(shop.prior)), "prior": shop.prior, "totals": shop.totals})


def true_users(world: World, block: int) -> pl.DataFrame:
    """Truth of the users of a block: factors, when they came, who is a program, whose clock is wrong."""
    users = world.users(block)
    n = len(users.joined)
    return pl.DataFrame(
        {
            c.USER: np.arange(users.first, users.first + n),
            "tastes": users.tastes.reshape(n, -1),
            "shares": users.shares.reshape(n, -1),
            "joined": pl.Series(world.settings.first_second + world.calendar.seconds(users.joined).astype(np.int64)),
            "is_bot": users.is_bot,
            "keenness": users.keenness,
            "clock_seconds": users.clock,
        }
    )


def _labels(letter: str, numbers: np.ndarray) -> pl.Series:
    labels = [f"{letter}{number:03}" for number in range(int(numbers.max(initial=0)) + 1)]
    return pl.Series(labels).gather(pl.Series(numbers))
