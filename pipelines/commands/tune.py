"""`recsys tune`."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.models import Dataset
from pipelines.commands.settings import (
    BatchSize,
    CheckpointSeconds,
    Device,
    Epochs,
    KlWeight,
    LearningRate,
    Metric,
    Patience,
    Precision,
    Set,
    chosen,
)

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.tuning.tune import Tuned

SHOWN = 5
"""Trials in the table at the end."""


def mount(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(tune)


def tune(
    dataset: Dataset,
    model: Annotated[str, typer.Option(help="Name of a model; `recsys models` lists them.")],
    trials: Annotated[int, typer.Option(help="So many, those done before a --resume counted.")] = 40,
    split: Annotated[str, typer.Option(help="Split whose validation part decides.")] = "strong",
    metric: Metric = None,
    study: Annotated[str | None, typer.Option(help="Name of the study; MODEL-SPLIT when not given.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Minutes after which no trial is begun.")] = None,
    sets: Set = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    kl_weight: KlWeight = None,
    patience: Patience = None,
    seed: Annotated[int | None, typer.Option(help="Of the search and of every training.")] = None,
    device: Device = None,
    precision: Precision = None,
    checkpoint_seconds: CheckpointSeconds = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a study.")] = False,
) -> None:
    """Search a model's settings on the validation part of a split; what is set here is not searched."""
    from pipelines.dataset.directory import DatasetDir
    from pipelines.tuning import tune as pipeline
    from pipelines.tuning.search import Search

    fixed = chosen(
        sets,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        kl_weight=kl_weight,
        patience=patience,
        device=device,
        precision=precision,
        checkpoint_seconds=checkpoint_seconds,
    )
    opened = DatasetDir.open(dataset)
    search = Search.of(model, fixed, split=split, metric=metric, seed=seed)
    _tell(pipeline.tune(opened, search, trials=trials, study=study, minutes=timeout, resume=resume))


def _tell(tuned: "Tuned") -> None:
    from rich.console import Console

    console = Console()
    console.print(_table(tuned))
    console.print(f"settings  {tuned.settings_path}", soft_wrap=True, highlight=False, markup=False)
    print(f"train with them:\n{tuned.command}")


def _table(tuned: "Tuned") -> "Table":
    """The best trials, a column each: a model has more settings than a line has room for."""
    from rich.markup import escape
    from rich.table import Table

    from pipelines.tuning.tune import short

    done = [outcome for outcome in tuned.outcomes if not outcome.pruned]
    best = sorted(done, key=lambda outcome: outcome.value or 0.0, reverse=True)[:SHOWN]
    table = Table(
        "",
        *(f"trial {outcome.number}" for outcome in best),
        title=f"{len(tuned.outcomes)} trials, {len(tuned.outcomes) - len(done)} cut short; the best on validation",
        title_justify="left",
    )
    table.add_row(escape(tuned.search.metric), *(short(outcome.value) for outcome in best))
    table.add_row("s.e.", *(short(outcome.facts.get("standard_error")) for outcome in best))
    if tuned.search.base.is_trained_by_gradient:
        table.add_row("epochs", *(short(outcome.facts.get("epochs")) for outcome in best), end_section=True)
    for name in tuned.search.space:
        table.add_row(name, *(short(outcome.settings[name]) for outcome in best))
    return table
