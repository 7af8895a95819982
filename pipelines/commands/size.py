"""`recsys size`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.models import KINDS_OF_INDEX
from pipelines.commands.settings import Set, SettingsFile, chosen
from recsys_vae.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from pipelines.sizing.estimate import Stage, Workload

MOST, MOST_ITEMS = 10**15, 10**8
"""Users and events, and items, that numbers are asked for; more than any machine takes."""


def size(
    dataset: Annotated[
        str | None, typer.Argument(help="Name or path of an ingested dataset; or give its sizes.")
    ] = None,
    *,
    users: Annotated[int | None, typer.Option(help="Users, where there is no dataset yet.", min=1, max=MOST)] = None,
    items: Annotated[int | None, typer.Option(help="Items, likewise.", min=1, max=MOST_ITEMS)] = None,
    events: Annotated[int | None, typer.Option(help="Rows of the log, likewise.", min=1, max=MOST)] = None,
    split: Annotated[str | None, typer.Option(help="Split to train on; all of the dataset when not given.")] = None,
    model: Annotated[str, typer.Option(help="Name of a model; `recsys models` lists them.")] = "mult-vae",
    settings: SettingsFile = None,
    sets: Set = None,
    memory: Annotated[
        float | None, typer.Option(help="GiB to fit into; default: what is free, of machine and container.", min=0)
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Workers that train together; the memory of training is that of each.", min=1, max=4096)
    ] = 1,
    index: Annotated[str, typer.Option(help=f"Index of the bundle: {KINDS_OF_INDEX}.")] = "flat",
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure this machine again.")] = False,
) -> None:
    """Estimate memory, processor time and disk of every step before any begins; exit with 1 where it cannot fit."""
    from rich.table import Table

    from pipelines.console import output_console
    from pipelines.free_memory import free_memory
    from pipelines.sizing.calibration import calibrated
    from pipelines.sizing.estimate import counting_bytes, stages, width_of
    from pipelines.sizing.training_memory import GIB, check_memory, gib
    from pipelines.training.model_settings import read_settings, specify
    from recsys_vae.retrieval.index_files import KINDS, check_index

    check_index(index, 1.0)
    work = _workload(dataset, split, users, items, events)
    file = read_settings(settings) if settings else None
    named: dict[str, Any] = (file.settings if file else {}) | chosen(sets)
    spec = specify(file.model if file else model, named)
    machine = calibrated(afresh=calibrate, say=lambda line: print(line, file=sys.stderr))
    free = free_memory() if memory is None else memory * GIB
    kinds = KINDS if width_of(spec.name, spec.config) else (index,)
    by_kind = {
        kind: stages(work, spec.name, spec.config, machine, spec.training, workers, kind) for kind in (index, *kinds)
    }
    found = by_kind[index]
    sizes = work.sizes
    title = f"{spec.name}: {sizes.n_users:,} users, {sizes.n_items:,} items, {sizes.n_interactions:,} interactions"
    table = Table("step", "memory", "processor", "disk", title=title, title_justify="left")
    for stage in found:
        per = " an epoch" if stage.name == "training" and spec.is_trained_by_gradient else ""
        time = "" if stage.seconds is None else f"{stage.seconds:,.0f} s{per}"
        told = [("" if value is None else gib(value)) for value in (stage.memory, stage.disk)]
        table.add_row(stage.name, told[0], time, told[1])
    output_console().print(table)
    if len(by_kind) > 1:
        output_console().print(_index_table(by_kind))
    print(f"{gib(free)} of memory {'are free' if memory is None else 'to fit into'}")
    if found[1].memory is None:
        raise ConfigError(f"{spec.name} does not say what it takes, so nothing is known of its training.")
    left = max(0.0, free - machine.train_bytes)
    if (counting := counting_bytes(work)) > left:
        raise ConfigError(
            f"Once a model has learned, lists and neighbours of items are counted: that takes about {gib(counting)}, "
            f"whichever model it is, and {gib(left)} are free. What would fit: more memory, or fewer interactions."
        )
    check_memory(spec.name, spec.config, sizes, spec.training, free=left, workers=workers)
    for stage in (found[0], found[1], found[3]):
        if stage.memory is not None and stage.memory > free:
            others = _fitting(by_kind, free) if stage.name == "serving" else ""
            raise ConfigError(
                f"{stage.name} takes about {gib(stage.memory)}, and {gib(free)} are free. What would fit: {others}more "
                "memory, or fewer users and items."
            )


def _index_table(by_kind: "Mapping[str, tuple[Stage, ...]]") -> "Table":
    """Bundle and worker by kind of index."""
    from rich.table import Table

    from pipelines.sizing.training_memory import gib

    table = Table("index", "bundle", "a worker of the service")
    for kind, found in by_kind.items():
        told = [("" if value is None else gib(value)) for value in (found[2].disk, found[3].memory)]
        table.add_row(kind, *told)
    return table


def _fitting(by_kind: "Mapping[str, tuple[Stage, ...]]", free: float) -> str:
    """Kinds of index with which a worker fits, for people; the smallest first."""
    from pipelines.sizing.training_memory import gib

    sizes = {kind: found[3].memory for kind, found in by_kind.items()}
    fit = sorted((size, kind) for kind, size in sizes.items() if size is not None and size <= free)
    return "".join(f"--index {kind} (fits in {gib(size)}), " for size, kind in fit)


def _workload(
    dataset: str | None, split: str | None, users: int | None, items: int | None, events: int | None
) -> "Workload":
    from pipelines.sizing.workloads import of_dataset, of_numbers

    if dataset is not None:
        if any(value is not None for value in (users, items, events)):
            raise ConfigError("A dataset has sizes of its own: leave out --users, --items and --events.")
        return of_dataset(dataset, split)
    if users is None or items is None or events is None or split is not None:
        raise ConfigError("Give a dataset (and perhaps its --split), or all of --users, --items and --events.")
    return of_numbers(users, items, events)


def mount(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("size")(size)
