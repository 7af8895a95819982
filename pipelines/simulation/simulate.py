"""Simulate: the log of a world in parts, in bounded memory, with the truth beside it.

    simulation.json         settings: all that decides the rows
    events/part-00000.*     rows of some users, by time
    users/part-00000.*      what a shop knows of these users; items.parquet: of the items
    truth/                  items, tastes and users as they are; the account of each part and of all
    manifest.json           once all is there: length and SHA-256 of every file

A part is whole blocks of users and is made from the settings alone. So parts that are there are passed over, and any
number of processes makes the same files.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl
from tqdm import tqdm

from pipelines.simulation.places import FORMAT_VERSION, MANIFEST, File, Place
from pipelines.simulation.tables import (
    FORMS,
    Form,
    item_table,
    log_frame,
    true_items,
    true_tastes,
    true_users,
    user_table,
    write_log,
)
from recsys_vae import __version__
from recsys_vae.atomic import remove_partials
from recsys_vae.errors import ConfigError
from recsys_vae.locks import exclusive
from recsys_vae.simulation.dirt import Account
from recsys_vae.simulation.events import Rows
from recsys_vae.simulation.settings import WorldSettings
from recsys_vae.simulation.world import SETTINGS, World

PART_ROWS: Final = 1_000_000


@dataclass(frozen=True)
class Output:
    """How a log is written.

    Attributes:
        place: where.
        form: of the rows.
        part_rows: about how many a part has; it decides their order, not which there are.
        workers: processes.
    """

    place: Place
    form: Form = "parquet"
    part_rows: int = PART_ROWS
    workers: int = 1

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ConfigError(f"--format is one of {', '.join(FORMS)}, got {self.form!r}.")
        if self.part_rows < 1 or self.workers < 1:
            raise ConfigError("--part-rows and --workers are at least 1.")


@dataclass(frozen=True)
class Simulated:
    """What is there now: the account of the rows, and how many parts were there already."""

    account: Account
    parts: int
    found: int


def simulate(settings: WorldSettings, output: Output, *, overwrite: bool = False) -> Simulated:
    """Write a log, or what is missing of it.

    Raises:
        ConfigError: another log stands there.
        StorageError, UnavailableError: it cannot be written.
        BusyError: another process writes it.
    """
    place = output.place
    with nullcontext() if place.is_remote else exclusive(Path(place.root)):
        _begin(settings, output, overwrite=overwrite)
        world = World(settings)
        files = {
            name: place.write(name, frame.write_parquet)
            for name, frame in {
                "items.parquet": item_table(world),
                "truth/items.parquet": true_items(world),
                "truth/tastes.parquet": true_tastes(world),
            }.items()
        }
        parts = list(_parts(world, output.part_rows))
        told = {number: _told(place, number) for number in range(len(parts))}
        missing = [number for number in told if told[number] is None]
        bar = tqdm(total=len(parts), initial=len(parts) - len(missing), unit="part", disable=None)
        with bar, _mapped(world, output, missing, parts) as results:
            for number, result in results:
                told[number] = result
                bar.update()
        found = [one for one in told.values() if one is not None]
        account = Account.total(Account(**one["account"]) for one in found)
        files["truth/account.json"] = place.write_json("truth/account.json", asdict(account))
        for one in found:
            files |= one["files"]
        place.write_json(MANIFEST, _identity(settings, output) | {"files": files, "account": asdict(account)})
        return Simulated(account, len(parts), len(parts) - len(missing))


def _begin(settings: WorldSettings, output: Output, *, overwrite: bool) -> None:
    asked, there = _identity(settings, output), output.place.read_json(SETTINGS)
    if there is not None and there != asked:
        if not overwrite:
            raise ConfigError(
                f"{output.place.root} holds a log of other settings. Name another place, or replace it: --overwrite."
            )
        output.place.clear()
    output.place.write_json(SETTINGS, asked)


def _identity(settings: WorldSettings, output: Output) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "recsys_vae": __version__,
        "settings": asdict(settings),
        "form": output.form,
        "part_rows": output.part_rows,
    }


def _parts(world: World, part_rows: int) -> Iterator[range]:
    """Blocks of each part."""
    first = 0
    for block in range(1, world.n_blocks + 1):
        if block == world.n_blocks or world.rows_before(block) - world.rows_before(first) >= part_rows:
            yield range(first, block)
            first = block


def _told(place: Place, number: int) -> dict[str, Any] | None:
    """What is known of a part that is there whole; None of one that is to be made."""
    told = place.read_json(_account_name(number))
    try:
        whole = told is not None and all(place.holds(name, file) for name, file in told["files"].items())
    except (KeyError, TypeError, AttributeError):
        return None
    return told if whole else None


def _account_name(number: int) -> str:
    return f"truth/parts/part-{number:05}.json"


class _mapped:  # noqa: N801  # a context, as a function would be
    """Results of the missing parts as they come, in this process or several."""

    def __init__(self, world: World, output: Output, missing: list[int], parts: list[range]) -> None:
        self._world, self._output = world, output
        self._jobs = [(number, parts[number]) for number in missing]
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        if self._output.workers == 1 or len(self._jobs) < 2:
            return ((number, _make(self._world, self._output, number, blocks)) for number, blocks in self._jobs)
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(
            min(self._output.workers, len(self._jobs)), context, _set_up, (self._world.settings, self._output)
        )
        return zip((number for number, _ in self._jobs), self._pool.map(_make_here, self._jobs), strict=True)

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_here: list[tuple[World, Output]] = []
"""Of a worker process, what it works on."""


def _set_up(settings: WorldSettings, output: Output) -> None:
    _here.append((World(settings), output))


def _make_here(job: tuple[int, range]) -> dict[str, Any]:
    return _make(*_here[0], *job)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A block: its rows, their account, and what is known and true of its users."""

    rows: Rows
    account: Account
    tables: tuple[pl.DataFrame, pl.DataFrame]


def _drawn(world: World, block: int, form: Form) -> _Drawn:
    rows, account = world.block(block, has_times_as_text=form != "parquet")
    return _Drawn(rows, account, (user_table(world, block), true_users(world, block)))


def _make(world: World, output: Output, number: int, blocks: range) -> dict[str, Any]:
    """Write a part, its users and their truth, and last the account by which it is known to be whole."""
    place, form = output.place, output.form
    drawn = [_drawn(world, block, form) for block in blocks]
    account = Account.total(one.account for one in drawn)
    names = [
        f"events/part-{number:05}.{form}",
        *(f"{room}/part-{number:05}.parquet" for room in ("users", "truth/users")),
    ]
    if not place.is_remote:
        for name in names:
            remove_partials(Path(place.root) / name)
    users, truth = (pl.concat([one.tables[which] for one in drawn]) for which in (0, 1))
    log = log_frame([one.rows for one in drawn])
    del drawn
    writers: tuple[Callable[[Path], object], ...] = (
        partial(write_log, log, form=form),
        users.write_parquet,
        truth.write_parquet,
    )
    files: dict[str, File] = {name: place.write(name, writer) for name, writer in zip(names, writers, strict=True)}
    told = {"files": files, "account": asdict(account)}
    place.write_json(_account_name(number), told)
    return told
