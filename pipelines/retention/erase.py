"""Erase: users leave a dataset, and what was made of it under RECSYS_HOME that names them.

That is: the dataset, exported events of the weekly job, and lists. Bundles and MLflow name no user.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.erase import Erased
from pipelines.ingest.erase import erase as erase_from_dataset
from pipelines.ingest.ingest import Step
from pipelines.ingest.user_lists import read_user_list
from pipelines.recommend import LISTS
from pipelines.retraining.collect import EXPORTED
from pipelines.retraining.job import job_folder
from pipelines.retraining.journal import runs
from recsys_vae.atomic import atomic_file
from recsys_vae.data.columns import USER
from recsys_vae.errors import DataError
from recsys_vae.frames import columns_in, read_table, scan_table
from recsys_vae.home import home
from recsys_vae.locks import exclusive

ERASED_AT = "erased_at"


@dataclass(frozen=True)
class Reached:
    """What named the users, and does no longer.

    Attributes:
        dataset: what was taken out of it.
        exports: files of exported events that are gone.
        lists: files of lists that are without the users.
    """

    dataset: Erased
    exports: tuple[Path, ...]
    lists: tuple[Path, ...]


def read_erasures(path: Path) -> dict[str, int]:
    """Users of a list, and when each was erased, in microseconds since 1970, UTC: now where the list does not say.

    Raises:
        DataError: there is no such file, or a moment in it is none.
        EmptyDataError: it names nobody.
    """
    now = _microseconds(datetime.now(UTC))
    moments = dict.fromkeys(map(str, read_user_list(path).values), now)
    if path.suffix == ".csv":
        table = pl.read_csv(path, infer_schema=False, truncate_ragged_lines=True, glob=False)
        if {USER, ERASED_AT} <= set(table.columns):
            moments |= {user: _moment(told, path) for user, told in table.select(USER, ERASED_AT).iter_rows() if told}
    return moments


def erase(
    dataset: DatasetDir, users: Mapping[str, int], *, dry_run: bool = False, step: Step = lambda _: None
) -> Reached:
    """Take users out of a dataset and of what was made of it.

    Args:
        users: id -> moment of the erasure; what happened later stays in the dataset.

    Raises: as `pipelines.ingest.erase.erase`.
    """
    root = job_folder(dataset.name) if dataset.path.parent == home() / "datasets" else None
    with ExitStack() as stack:
        if root is not None and root.is_dir() and not dry_run:
            stack.enter_context(exclusive(root))
        done = erase_from_dataset(dataset, users, dry_run=dry_run, step=step)
        exports = [path for path in _exports(root) if _names(path, users)]
        lists = [path for path in _lists(root) if _names(path, users)]
        if not dry_run:
            for path in exports:
                path.unlink()  # the dataset holds the rest of it, or it is exported again
            for path in lists:
                _thin(path, users)
    return Reached(done, tuple(exports), tuple(lists))


def _exports(root: Path | None) -> list[Path]:
    return [] if root is None else sorted((root / EXPORTED).glob("*.parquet"))


def _lists(root: Path | None) -> Iterator[Path]:
    """Tables of lists that the weekly job or `recsys demo` wrote."""
    folders = [home(), *(runs(root) if root is not None else ())]
    for path in (path for folder in folders for path in sorted(folder.glob("*.parquet"))):
        if path.is_file() and not path.is_symlink() and not LISTS.doubt(path):
            yield path


def _names(path: Path, users: Mapping[str, int]) -> bool:
    if USER not in columns_in(path):
        return False
    wanted = pl.Series(list(users), dtype=pl.String)
    found = scan_table(path).filter(pl.col(USER).cast(pl.String).is_in(wanted.implode())).head(1).collect()
    return found.height > 0


def _thin(path: Path, users: Mapping[str, int]) -> None:
    wanted = pl.Series(list(users), dtype=pl.String)
    table = read_table(path).filter(~pl.col(USER).cast(pl.String).is_in(wanted.implode()))
    with atomic_file(path, LISTS) as temporary:
        table.write_parquet(temporary)


def _moment(told: str, path: Path) -> int:
    try:
        moment = datetime.fromisoformat(told)
    except ValueError as error:
        raise DataError(
            f"{path} has {told!r} as {ERASED_AT}; expected a time in ISO 8601, or no such column."
        ) from error
    return _microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
