"""Memory of a training, told before it is taken; what does not fit is refused, with what would."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from pipelines.free_memory import free_memory
from recsys_vae.errors import ConfigError, PluginError, RecsysError
from recsys_vae.models import catalog
from recsys_vae.models.blend import Part
from recsys_vae.models.cost import BYTES_A_NUMBER, BYTES_A_WEIGHT, Cost, Sizes, expected_cost
from recsys_vae.training.config import ADAM, BFLOAT16, FLOAT32, MOST_ITEMS, ROWWISE_ADAM, TrainingConfig
from recsys_vae.training.fit import ModelSpec

GIB: Final = 1 << 30
BYTES_AN_INTERACTION: Final = 24
"""Of the matrix as it is learned from: an index of 8 bytes and a value of 4, and both once more by items."""
WIDTHS: Final = ("hidden", "latent", "factors", "rank", "neighbours")
"""Settings by which models grow narrower."""
NARROWEST: Final = 8
MOST_WORKERS: Final = 64
SHARED_OUT: Final = {(ADAM, FLOAT32): 12.0, (ROWWISE_ADAM, FLOAT32): 4.0, (ROWWISE_ADAM, BFLOAT16): 2.0}
"""Bytes that workers hold among them for a weight whose tables are shared out, by optimizer and precision: itself and
two moments of Adam. Gradients are of a few rows, and the best epoch's weights lie on disk."""
ROWWISE: Final = 26.0
"""Further bytes an item of row-wise Adam: a moment and a step of two rows and a bias, and what the bias has more."""
SAMPLED: Final = 20.0
"""Bytes an item that every worker holds to draw items: counts, probabilities, their sums."""


@dataclass(frozen=True)
class Need:
    """What a training takes beside what the process has already.

    Attributes:
        model: its name.
        n_bytes: at the peak; None where the model does not say.
        free: bytes that may be taken.
    """

    model: str
    n_bytes: float | None
    free: float = math.inf

    def __str__(self) -> str:
        """For people."""
        if self.n_bytes is None:
            return f"memory: {self.model} does not say what it takes; {gib(self.free)} are free"
        return f"memory: {self.model} takes about {gib(self.n_bytes)} to learn; {gib(self.free)} are free"


def cost_of(name: str, config: Any, sizes: Sizes) -> Cost | None:
    """Cost of a model; of one that is made of others, theirs added up."""
    parts = [value for value in (getattr(config, one.name) for one in fields(config)) if isinstance(value, Part)]
    if not parts:
        return expected_cost(catalog.entry(name), config, sizes)
    costs = [cost_of(part.model, part.config, sizes) for part in parts]
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return None
    return Cost(*(sum(getattr(cost, one.name) for cost in known) for one in fields(Cost)))


def need_of(name: str, config: Any, sizes: Sizes, training: TrainingConfig | None = None, workers: int = 1) -> Need:
    """What a training takes, of each of its workers."""
    cost = cost_of(name, config, sizes)
    if cost is None:
        return Need(name, None)
    held = learning_bytes(cost, training, sizes.n_items, workers)
    return Need(name, held + BYTES_AN_INTERACTION * sizes.n_interactions)


def learning_bytes(cost: Cost, training: TrainingConfig | None, n_items: int, workers: int = 1) -> float:
    """What a worker holds beside what it learns from."""
    if training is not None and training.shard_items:
        weights = cost.kept_bytes / BYTES_A_NUMBER
        tables = weights * SHARED_OUT[training.table_optimizer, training.table_precision]
        if training.table_optimizer == ROWWISE_ADAM:
            tables += ROWWISE * n_items
        return cost.n_bytes - weights * BYTES_A_WEIGHT + SAMPLED * n_items + tables / workers
    return cost.n_bytes + leaf_gradients(training) * cost.kept_bytes


def leaf_gradients(training: TrainingConfig | None) -> int:
    """Gradients of all weights, beyond one, that a process holds at most whose batches are cut into leaves.

    Each of its threads adds up those of a subtree, one for each level; with the sampled likelihood they are of a few
    rows only.
    """
    if training is None or not training.leaves or training.likelihood == "sampled":
        return 0
    import torch

    threads = min(training.leaves, 1 << (torch.get_num_threads().bit_length() - 1))
    return threads * (training.leaves // threads).bit_length() - 1


def check_memory(
    name: str,
    config: Any,
    sizes: Sizes,
    training: TrainingConfig | None = None,
    *,
    free: float | None = None,
    workers: int = 1,
) -> Need:
    """What a training takes, where there is room for it.

    Args:
        training: how, of models that are trained by gradient.
        workers: that train together, of whom this is one.
        free: bytes that may be taken; by default those of the machine and the container that are free now.

    Raises:
        ConfigError: it takes more than is free; the message says what would fit.
    """
    need = need_of(name, config, sizes, training, workers)
    free = free_memory() if free is None else free
    if need.n_bytes is None or need.n_bytes <= free:
        return replace(need, free=free)
    raise ConfigError(
        f"{name} takes about {gib(need.n_bytes)} of memory to learn from {sizes.n_users:,} users, {sizes.n_items:,} "
        f"items and {sizes.n_interactions:,} interactions, and {gib(free)} are free. "
        f"What would fit: {'; '.join(what_fits(name, config, sizes, free, training, workers))}."
    )


def what_fits(
    name: str, config: Any, sizes: Sizes, free: float, training: TrainingConfig | None = None, workers: int = 1
) -> Iterator[str]:
    """Ways out, in words: the model narrower, its tables smaller or shared out, other models by name, more memory."""
    if narrower := _narrower(name, config, sizes, free, training, workers):
        yield narrower
    if smaller := _smaller(name, config, sizes, free, training, workers):
        yield smaller
    if shared_out := _shared_out(name, config, sizes, free, training, workers):
        yield shared_out
    others = sorted(_others(name, sizes, free), key=lambda need: need.n_bytes or 0)
    if others:
        yield "--model " + " or ".join(f"{need.model} ({gib(need.n_bytes or 0)})" for need in others)
    need = need_of(name, config, sizes, training, workers).n_bytes
    yield f"{gib(need or 0)} of free memory; or fewer items, by a higher --min-item of `recsys ingest`"


def gib(n_bytes: float) -> str:
    """For people."""
    if not math.isfinite(n_bytes):
        return "unknown amounts"
    return f"{n_bytes / GIB:.1f} GiB" if n_bytes >= GIB / 10 else f"{n_bytes / (1 << 20):.0f} MiB"


def _smaller(name: str, config: Any, sizes: Sizes, free: float, training: TrainingConfig | None, workers: int) -> str:
    """Item tables of bfloat16 with a moment a row; empty where that does not do, or cannot be, or is so already."""
    if sizes.n_items <= MOST_ITEMS:
        return ""  # every step looks at all of them, unless asked otherwise
    asked = replace(training or TrainingConfig(), likelihood="sampled", weight_decay=0.0)
    asked = replace(asked, shard_items=True, leaves=max(asked.leaves, workers))
    try:
        how = replace(asked, table_optimizer=ROWWISE_ADAM, table_precision=BFLOAT16)
        spec = ModelSpec(name, config, how)
    except RecsysError:
        return ""
    if how == training or (need_of(name, spec.config, sizes, how, workers).n_bytes or 0) > free:
        return ""
    tables = f"--set table_optimizer={ROWWISE_ADAM} --set table_precision={BFLOAT16}"
    return f"--shard-items --leaves {how.leaves} --likelihood sampled {tables}"


def _shared_out(
    name: str, config: Any, sizes: Sizes, free: float, training: TrainingConfig | None, workers: int
) -> str:
    """How many more workers among whom the item tables are shared out; empty where that does not do, or cannot be."""
    sampled = replace(training or TrainingConfig(), likelihood="sampled")
    while workers < MOST_WORKERS:
        workers *= 2
        try:
            how = replace(sampled, shard_items=True, leaves=max(sampled.leaves, workers))
            spec = ModelSpec(name, config, how)
        except RecsysError:
            return ""
        if (need_of(name, spec.config, sizes, how, workers).n_bytes or 0) <= free:
            return f"--shard-items --leaves {how.leaves} --likelihood sampled on {workers} workers with as much each"
    return ""


def _narrower(name: str, config: Any, sizes: Sizes, free: float, training: TrainingConfig | None, workers: int) -> str:
    """The largest power-of-two part of the model's widths by which it fits; empty where none does."""
    widths = {one.name: getattr(config, one.name) for one in fields(config) if one.name in WIDTHS}
    widths = {key: value for key, value in widths.items() if isinstance(value, int)}
    while widths and max(widths.values()) > NARROWEST:
        widths = {key: max(NARROWEST, value // 2) for key, value in widths.items()}
        try:
            made = replace(config, **widths)
        except RecsysError:
            return ""
        if (need_of(name, made, sizes, training, workers).n_bytes or 0) <= free:
            return " ".join(f"--set {key}={value}" for key, value in widths.items())
    return ""


def _others(name: str, sizes: Sizes, free: float) -> Iterator[Need]:
    """Models with their defaults that fit, but popularity, and those that need an order or metadata."""
    for other in catalog.names():
        if other in (name, "popularity"):
            continue
        try:
            spec = ModelSpec(other, catalog.entry(other).config())
        except PluginError:
            continue
        if spec.takes_order or (spec.may_take_metadata and not spec.is_hybrid):
            continue
        need = need_of(other, spec.config, sizes)
        if need.n_bytes is not None and need.n_bytes <= free:
            yield need
