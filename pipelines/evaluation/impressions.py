"""Impressions of a file: what was shown to whom, with which propensity, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recsys_vae.data.columns import ITEM, USER
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError, EmptyDataError, SchemaError
from recsys_vae.evaluation.counterfactual import Impressions
from recsys_vae.frames import read_table

PROPENSITY, REWARD, LIST = "propensity", "reward", "list_id"
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": read_table,
    ".csv": pl.read_csv,
    ".ndjson": pl.read_ndjson,
    ".jsonl": pl.read_ndjson,
}


@dataclass(frozen=True, eq=False)
class Shown:
    """Impressions of the users who are asked.

    Attributes:
        impressions: their users are places among `rows`.
        rows: rows of these users among those who are asked, ascending.
        n_strangers: impressions of others, which are left out.
        n_unknown: impressions of items that the catalogue does not have; nobody recommends them.
    """

    impressions: Impressions
    rows: np.ndarray
    n_strangers: int
    n_unknown: int


def read_impressions(path: Path, users: IdMap, items: IdMap) -> Shown:
    """Impressions of these users.

    Args:
        path: a table with user_id, item_id, propensity, reward, and list_id where a list has several items.
        users: who are asked.
        items: the catalogue.

    Raises:
        DataError: the file cannot be read, a value is out of its range, or nothing was drawn.
        SchemaError: a column is missing.
        EmptyDataError: none of the users was shown anything.
    """
    table = _read(path)
    owners = users.rows(table[USER].cast(pl.String))
    known = owners >= 0
    if not known.any():
        raise EmptyDataError(
            f"None of the {table.height:,} impressions of {path} is of one of the {len(users):,} users who are asked. "
            "Give those of the window that the split asks about."
        )
    chosen, owners = table.filter(pl.Series(known)), owners[known]
    propensities = _numbers(chosen, PROPENSITY, path)
    if (propensities == 1).all():
        raise DataError(
            f"All {len(propensities):,} impressions of {path} were certain to be shown (propensity 1): lists that are "
            "not drawn say nothing of others. Have the service draw: recsys serve --explore-share, or several variants "
            "with --propensities; then recsys export-impressions."
        )
    rows, places = np.unique(owners, return_inverse=True)
    rows_of_items = items.rows(chosen[ITEM].cast(pl.String))
    found = Impressions(
        users=places.astype(np.int64),
        lists=_lists(chosen),
        items=rows_of_items,
        propensities=propensities,
        rewards=_numbers(chosen, REWARD, path),
    )
    return Shown(found, rows, int((~known).sum()), int((rows_of_items < 0).sum()))


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise DataError(f"There is no file {path} of impressions.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} has none of the endings of a table of impressions: {', '.join(READERS)}.")
    try:
        table = reader(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"The impressions {path} cannot be read: {error}") from error
    if missing := [name for name in (USER, ITEM, PROPENSITY, REWARD) if name not in table.columns]:
        raise SchemaError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(table.columns)}. Impressions have {USER}, "
            f"{ITEM}, {PROPENSITY} and {REWARD}, and {LIST} where a list has several items."
        )
    return table


def _lists(table: pl.DataFrame) -> np.ndarray:
    """Number of the list of each impression; each is one of its own where no column says."""
    if LIST not in table.columns:
        return np.arange(table.height)
    return table[LIST].cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _numbers(table: pl.DataFrame, name: str, path: Path) -> np.ndarray:
    numbers = table[name].cast(pl.Float64, strict=False)
    if numbers.null_count():
        raise DataError(f"{numbers.null_count():,} impressions of {path} have no {name} that is a number.")
    return numbers.to_numpy()
