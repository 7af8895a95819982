"""Estimates: memory, processor time and disk of ingest, training, bundle and serving, from sizes and unit costs.

What a process holds is what one holds that has next to no data (measured, see calibration.py), and beside it

    ingest    97 bytes a row up to four million rows, and 63 a row of the block that is read, a million at most; of
              more, 35 a row of these four, and 97 a row of a part of one million, two of which are cleaned side by
              side when all are read; 117 a user and an item for ids and counts
    training  the larger of the model's peak (`cost` of each model) with the matrix it learns from and gradients of
              leaves (training_memory.py), and, when it has learned, the model as it is kept with the events that lists
              and neighbours are counted from, which go where it has learned
    serving   the model, its item vectors, the index, the neighbours and the table of items

Constants without a formula were measured on simulated logs of 1 to 100 million rows, see docs/scale.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipelines.sizing.calibration import Calibration
from pipelines.sizing.index_bytes import index_bytes
from pipelines.sizing.training_memory import BYTES_AN_INTERACTION, cost_of, learning_bytes
from recsys_vae.bundles.neighbours import n_kept
from recsys_vae.data.co_occurrence import PRODUCT_ENTRIES
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.evaluate import MOST_SCORES
from recsys_vae.models import catalog
from recsys_vae.models.cost import BYTES_A_NUMBER, Cost, Sizes
from recsys_vae.training.config import TrainingConfig

HELD_ROWS, PART_ROWS = 4_000_000, 1_000_000
INGEST_ROW, HELD_ROW, GROUP_ROW, INGEST_ID = 97.0, 35.0, 63.0, 117.0
PARTS_AT_ONCE = 1.4
"""Parts of a long log that are in memory at a time: two are cleaned side by side."""
CLEAN_ROW, REPEATED_ROW, ACCEPTED_ROW = 8.0, 8.0, 24.0
"""Bytes on disk of a row of the clean tables, and of one that is kept for `--append`."""
EVENT_BYTES, PRODUCT_BYTES = 100.0, 12.0
"""Of an event, and of a pair of items at a time, while lists and neighbours are counted."""
EVENTS_A_PAIR: Final = 1.5
"""Of a user and an item, about, where all of them are in what is learned from."""
PAIR_BYTES, TOGETHER = 12, 0.2
"""Of a pair of neighbours; pairs that are bought together, by those that are similar."""
ITEM_BYTES: Final = 20.0
USED: Final = 0.2
"""Share of the speed of a large product that training by gradient reaches, with all that is sparse in it."""
LEAVES_COST: Final = 0.15
"""What leaves add to it."""


@dataclass(frozen=True)
class Workload:
    """What is to be sized.

    Attributes:
        rows: of the log.
        sizes: of what is learned from.
    """

    rows: int
    sizes: Sizes


@dataclass(frozen=True)
class Stage:
    """What a step takes; None where nothing is known.

    Attributes:
        name: of the step.
        memory: bytes at the peak, of the whole process.
        seconds: of the processor; of training by gradient, an epoch; None where nobody can tell.
        disk: bytes that it leaves.
    """

    name: str
    memory: float | None
    seconds: float | None
    disk: float | None


def stages(
    work: Workload,
    model: str,
    config: Any,
    machine: Calibration,
    how: TrainingConfig | None = None,
    workers: int = 1,
    index: str = "flat",
) -> tuple[Stage, ...]:
    """Estimates of all steps, in their order.

    Args:
        how: a model is trained, where that is by gradient.
        workers: by how many; the memory of training is that of each.
        index: kind of the bundle's index, where the model has item vectors.

    Raises:
        ConfigError: sizes are not above 0.
    """
    if min(work.rows, work.sizes.n_users, work.sizes.n_items, work.sizes.n_interactions) < 1:
        raise ConfigError("Rows, users, items and interactions are at least 1 each.")
    cost = cost_of(model, config, work.sizes)
    return (
        ingest(work, machine),
        training(work, model, config, cost, machine, how, workers),
        bundle(work, model, config, cost, index),
        serving(work, model, config, cost, machine, index),
    )


def ingest(work: Workload, machine: Calibration) -> Stage:
    """Of the log, as Parquet or text; the form matters little to memory."""
    ids = work.sizes.n_users + work.sizes.n_items
    rows = INGEST_ROW * work.rows + GROUP_ROW * min(work.rows, PART_ROWS)
    if work.rows > HELD_ROWS:
        rows = HELD_ROW * HELD_ROWS + INGEST_ROW * PART_ROWS * PARTS_AT_ONCE
    memory = machine.ingest_bytes + rows + INGEST_ID * ids
    seconds = machine.ingest_seconds + machine.ingest_row_seconds * work.rows
    disk = CLEAN_ROW * work.sizes.n_interactions + (REPEATED_ROW + ACCEPTED_ROW) * work.rows
    return Stage("ingest", memory, seconds, disk)


def training(
    work: Workload,
    model: str,
    config: Any,
    cost: Cost | None,
    machine: Calibration,
    how: TrainingConfig | None = None,
    workers: int = 1,
) -> Stage:
    """Of `recsys train` on a split that is there; the seconds are those of all workers."""
    if cost is None:
        return Stage("training", None, None, None)
    solved = not hasattr(catalog.entry(model).model, "loss") and not hasattr(config, "autoencoder")
    held = cost.n_bytes if solved else learning_bytes(cost, how, work.sizes.n_items, workers)
    learning = held + BYTES_AN_INTERACTION * work.sizes.n_interactions
    speed = machine.solve_flops if solved else USED * machine.flops
    process = machine.train_bytes if solved else machine.gradient_bytes
    if not solved and how is not None and how.leaves:
        speed /= 1 + LEAVES_COST
    # Weights of tables that were shared out are mapped then, and users are scored a few at a time.
    kept = 2 * BYTES_A_NUMBER * MOST_SCORES if how is not None and how.shard_items else cost.kept_bytes
    memory = max(process + learning, machine.train_bytes + min(kept, cost.kept_bytes) + counting_bytes(work))
    # With a sample of the items a step waits for memory, by rows: what its operations take says nothing of that.
    is_sampled = not solved and (how or TrainingConfig()).samples_items(work.sizes.n_items)
    return Stage("training", memory, None if is_sampled else cost.operations / speed, 0.0)


def counting_bytes(work: Workload) -> float:
    """What lists and neighbours of items are counted in once a model has learned, whichever it is."""
    events = min(work.rows, EVENTS_A_PAIR * work.sizes.n_interactions)
    return EVENT_BYTES * events + PRODUCT_BYTES * min(PRODUCT_ENTRIES, work.sizes.together)


def bundle(work: Workload, model: str, config: Any, cost: Cost | None, index: str = "flat") -> Stage:
    """The directory that training writes."""
    if cost is None:
        return Stage("bundle", None, None, None)
    return Stage("bundle", None, None, sum(parts_of_bundle(work, model, config, cost, index).values()))


def parts_of_bundle(work: Workload, model: str, config: Any, cost: Cost, index: str = "flat") -> Mapping[str, float]:
    """Bytes by what they are for."""
    n = work.sizes.n_items
    return {
        "weights": cost.kept_bytes,
        "index": index_bytes(index, n, width_of(model, config)).disk,
        "neighbours": neighbour_bytes(work.sizes),
        "items": ITEM_BYTES * n,
    }


def serving(
    work: Workload, model: str, config: Any, cost: Cost | None, machine: Calibration, index: str = "flat"
) -> Stage:
    """Of one worker."""
    if cost is None:
        return Stage("serving", None, None, None)
    parts = {**parts_of_bundle(work, model, config, cost, index)}
    parts["index"] = index_bytes(index, work.sizes.n_items, width_of(model, config)).memory
    return Stage("serving", machine.serve_bytes + sum(parts.values()), None, None)


def neighbour_bytes(sizes: Sizes) -> float:
    """Of the tables of items that are similar and that are bought together."""
    return PAIR_BYTES * (1 + TOGETHER) * min(sizes.n_items * n_kept(sizes.n_items), sizes.together)


def width_of(model: str, config: Any) -> int:
    """Numbers of an item's vector, with the bias; 0 of models without item vectors."""
    if not hasattr(catalog.entry(model).model, "item_vectors"):
        return 0
    for name, more in (("factors", 0), ("hidden", 1), ("latent", 1)):
        if isinstance(value := getattr(config, name, None), int):
            return value + more
    return 1
