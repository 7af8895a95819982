"""A paper model: hours, bytes and memory of ingest, training and lists at sizes that nobody here can run.

What a row, a user, a product and a byte cost was measured on this machine (the records under results); how many there
are is arithmetic; what is assumed beside stands in `Work` and `Machines`, and is varied where it matters. Money is left
out. Stages do not overlap: processors, network and what one process does alone are added up, an upper bound.
docs/scale.md has the table and what it says.

    python -m tests.benchmarks.paper_model

The last line of output is JSON.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from pipelines.sizing.estimate import INGEST_ID
from tests.benchmarks.records import existing

HOUR, GIB, TB = 3600.0, float(2**30), 1e12
ROW_BYTES: Final = 4.0
"""Of a float32, of which rows are made."""
NUMBERS_A_WEIGHT: Final = 4
"""Kept for each weight: itself, two moments of Adam, and the best one so far; gradients are of a few rows."""
NUMBERS_A_SHARDED_WEIGHT: Final = 3
"""The same where rows are sharded: the best ones lie on disk."""
ENTRY_BYTES: Final = 8.0
"""Of an interaction in a matrix of histories: an index of four bytes, and a value."""


@dataclass(frozen=True)
class UnitCosts:
    """What was measured; seconds are of one processor.

    Attributes:
        ingest_rows: rows a second.
        ingest_on_ray: what Ray adds to these seconds, as a share.
        ingest_alone: seconds a row of the one process that numbers ids and puts parts together.
        log_bytes, spilled_bytes, kept_bytes: a row of a log, of files between calls, of a dataset.
        train_users: users a second, sampled likelihood, a million items.
        leaves: what leaves add to these seconds, as a share.
        sharded: what rows that travel add to those of leaves, as a share.
        products: multiplications and additions of scores a second, with the choice of the best.
    """

    ingest_rows: float
    ingest_on_ray: float
    ingest_alone: float
    log_bytes: float
    spilled_bytes: float
    kept_bytes: float
    train_users: float
    leaves: float
    sharded: float
    products: float


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        rows_a_user, items_a_user: of the log, and different items.
        width: numbers of an item's row, in each of two tables.
        epochs, batch: of training, users a step of all workers together.
        trained: share of the users that is trained on.
        negatives: items that a step draws.
        k: length of a list.
        scored: share of the items whose scores are computed for a user; 1 scans the catalogue.
        rows_are_sharded: whether a row of the tables is on one worker only.
    """

    users: float
    items: float
    rows_a_user: float = 50.0
    items_a_user: float = 40.0
    width: float = 128.0
    epochs: float = 10.0
    batch: float = 131_072.0
    trained: float = 1.0
    negatives: float = 4096.0
    k: float = 100.0
    scored: float = 1.0
    rows_are_sharded: bool = False


@dataclass(frozen=True)
class Machines:
    """Nodes, all alike; a core is one of those that were measured.

    Attributes:
        network: bytes a second that a node sends, and receives.
    """

    nodes: float = 64.0
    cores: float = 64.0
    network: float = 25e9 / 8

    @property
    def processors(self) -> float:
        """Of all nodes."""
        return self.nodes * self.cores


@dataclass(frozen=True)
class Stage:
    """What a stage takes.

    Attributes:
        processor_hours: of one core.
        hours: on the clock.
        alone_hours: of these, what no further node shortens.
        moved: bytes that leave a node or storage.
        memory: bytes of the process that takes most.
    """

    processor_hours: float
    hours: float
    alone_hours: float
    moved: float
    memory: float


def ingest(work: Work, units: UnitCosts, machines: Machines) -> Stage:
    """Rows read, cut into ranges of users, cleaned and written; the ids of all in one process."""
    rows = work.users * work.rows_a_user
    seconds, alone = rows * (1 + units.ingest_on_ray) / units.ingest_rows, rows * units.ingest_alone
    moved = rows * (units.log_bytes + 2 * units.spilled_bytes + units.kept_bytes)  # written, and read again
    return _stage(machines, seconds, alone, moved, INGEST_ID * (work.users + work.items))


def training(work: Work, units: UnitCosts, machines: Machines) -> Stage:
    """Steps of which each moves the rows that it read: to every worker, or, where rows are sharded, there and back.

    Then each worker fetches the rows that its own users and the sample look at, but for those that it holds.
    """
    seen = work.users * work.trained * work.epochs
    seconds, steps = seen * (1 + units.leaves) / units.train_users, seen / work.batch
    read = min(work.batch * work.items_a_user, work.items)
    touched = read + min(read + work.negatives, work.items)  # of the first table, and of the last
    row, weights = ROW_BYTES * work.width + 8, 2 * work.items * work.width
    kept = ROW_BYTES * NUMBERS_A_WEIGHT * weights
    histories = ENTRY_BYTES * work.users * work.trained * work.items_a_user
    if work.rows_are_sharded:
        own = min(work.batch / machines.nodes * work.items_a_user, work.items)
        fetched = own + min(own + work.negatives, work.items)
        kept *= NUMBERS_A_SHARDED_WEIGHT / NUMBERS_A_WEIGHT
        seconds *= 1 + units.sharded
        moved = 2 * steps * fetched * row * (machines.nodes - 1)  # of each worker's rows, all but its share of them
        return _stage(machines, seconds, 0.0, moved, (kept + histories) / machines.nodes)
    return _stage(machines, seconds, 0.0, steps * touched * row * (machines.nodes - 1), kept + histories)


def lists(work: Work, units: UnitCosts, machines: Machines) -> Stage:
    """The k best items of every user, by nodes that each hold the bundle once."""
    seconds = work.users * work.items * work.scored * work.width / units.products
    bundle = ROW_BYTES * 2 * work.items * work.width
    moved = machines.nodes * bundle + work.users * (ENTRY_BYTES * work.items_a_user + ENTRY_BYTES * work.k)
    return _stage(machines, seconds, 0.0, moved, bundle)


def stages(work: Work, units: UnitCosts, machines: Machines) -> dict[str, Stage]:
    """All of them, by name."""
    return {one.__name__: one(work, units, machines) for one in (ingest, training, lists)}


def _stage(machines: Machines, seconds: float, alone: float, moved: float, memory: float) -> Stage:
    on_the_clock = seconds / machines.processors + alone + moved / (machines.nodes * machines.network)
    return Stage(seconds / HOUR, on_the_clock / HOUR, alone / HOUR, moved, memory)


def measured() -> UnitCosts:
    """Unit costs as the records have them.

    Raises:
        SystemExit: one is missing.
    """
    log, small, ray = (_figures("scale", name) for name in ("ingest-10m", "ingest-1m", "ray-overhead-long"))
    train, leaves = _figures("train", "scaling-1000000"), _figures("scale-training", "1m-items-sampled-by-1")
    on_ray, best = ray["ingest"], _figures("train", "top-k")
    whole, shared = (_figures("scale-sharded", f"1m-large-batches-{name}") for name in ("whole-by-1", "shared-by-4"))
    return UnitCosts(
        ingest_rows=log["rows"] / log["processor_s"],
        ingest_on_ray=on_ray["on_ray_processor_s"] / on_ray["here_processor_s"] - 1,
        ingest_alone=on_ray["on_ray_own_processor_s"] / ray["events"],
        log_bytes=small["log_bytes"] / small["rows"],
        spilled_bytes=max(0.0, on_ray["on_ray_written_mb"] - on_ray["here_written_mb"]) * 1e6 / ray["events"],
        kept_bytes=log["dataset_bytes"] / log["rows"],
        train_users=train["users_per_second"] / THREADS,
        leaves=leaves["processor_cost"],
        sharded=whole["users_per_processor_s"] / shared["users_per_processor_s"] - 1,
        products=best["users_per_second"]["ours"] * GOWALLA_ITEMS * best["dimensions"] / THREADS,
    )


GOWALLA_ITEMS, THREADS = 40_981, 2
"""Of the records of the best items for every user; threads also of that of training."""
LARGEST: Final = Work(1e9, 1e8)
SIZES: Final = {
    "10M users x 1M items": Work(1e7, 1e6),
    "100M users x 10M items": Work(1e8, 1e7),
    "1B users x 100M items": LARGEST,
}
VARIED: Final = {
    "rows of the tables sharded": replace(LARGEST, rows_are_sharded=True),
    "trained on a twentieth of the users": replace(LARGEST, trained=0.05),
    "both": replace(LARGEST, rows_are_sharded=True, trained=0.05),
    "a hundredth of the items scored": replace(LARGEST, scored=0.01),
}


def _figures(benchmark: str, name: str) -> dict[str, Any]:
    found = existing(benchmark, name)
    if found is None:
        raise SystemExit(f"There is no record {benchmark}/{name}: run the benchmark that makes it.")
    return dict(found["figures"])


def cases(units: UnitCosts) -> Iterator[tuple[str, dict[str, Stage]]]:
    """All that is told: sizes, and the largest with one assumption changed."""
    machines = Machines()
    for name, work in (SIZES | VARIED).items():
        yield name, stages(work, units, machines)
    yield "network four times as fast", stages(LARGEST, units, replace(machines, network=4 * machines.network))
    yield "a core half as fast at ten times the rows", stages(LARGEST, _slower(units), machines)


def _slower(units: UnitCosts) -> UnitCosts:
    rates = {name: getattr(units, name) / 2 for name in ("ingest_rows", "train_users", "products")}
    return replace(units, **rates, ingest_alone=2 * units.ingest_alone)


def main() -> None:
    """Print unit costs and tables, and end in one line of JSON."""
    units, console = measured(), Console(width=120)
    console.print(units)
    table = Table("case", "stage", "core hours", "hours", "alone", "moved, TB", "memory, GiB")
    told: dict[str, Any] = {}
    for name, found in cases(units):
        for stage, one in found.items():
            figures = (one.processor_hours, one.hours, one.alone_hours, one.moved / TB, one.memory / GIB)
            table.add_row(name, stage, *(f"{figure:,.1f}" for figure in figures))
        told[name] = {
            stage: {what: round(value, 3) for what, value in asdict(one).items()} for stage, one in found.items()
        }
    console.print(table)
    print(json.dumps({"unit_costs": asdict(units), "machines": asdict(Machines()), "paper_model": told}))


if __name__ == "__main__":
    main()
