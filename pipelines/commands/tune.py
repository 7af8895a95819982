"""`recsys tune`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.models import Dataset
from pipelines.commands.ray_option import Ray, chosen_address
from pipelines.commands.settings import Set, chosen, with_options_of
from recsys_vae.training.config import TrainingConfig

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.tuning.tune import Tuned

SHOWN = 5
"""Trials in the table at the end."""
FIXED = ("epochs", "batch_size", "learning_rate", "kl_weight", "patience", "device", "precision", "checkpoint_seconds")
"""Settings of the training that have an option here; `--set` takes the others."""


def mount(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(tune)


@with_options_of(TrainingConfig, *FIXED, show_defaults=False)
def tune(
    dataset: Dataset,
    model: Annotated[str, typer.Option(help="Name of a model; `recsys models` lists them.")],
    trials: Annotated[int, typer.Option(help="So many, those done before a --resume counted.")] = 40,
    split: Annotated[str, typer.Option(help="Split whose validation part decides.")] = "strong",
    metric: Annotated[
        str | None, typer.Option(help="What is to be high on validation; ndcg@100 when not given.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="Name of the study; MODEL-SPLIT when not given.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Minutes after which no trial is begun.")] = None,
    sets: Set = None,
    *,
    training: Mapping[str, Any],
    seed: Annotated[int | None, typer.Option(help="Of the search and of every training.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a study.")] = False,
    at_once: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Trials drawn at a time, which decides what they know of each other.  [default: 1; with --ray, the "
            "processors of the cluster]",
            show_default=False,
        ),
    ] = None,
    ray: Ray = None,
    context: typer.Context,
) -> None:
    """Search a model's settings on the validation part of a split; what is set here is not searched."""
    from pipelines.dataset.directory import DatasetDir
    from pipelines.tuning import tune as pipeline
    from pipelines.tuning.search import Search

    fixed = chosen(sets, **training)
    opened = DatasetDir.open(dataset)
    search = Search.of(model, fixed, split=split, metric=metric, seed=seed)
    spread, side_by_side = None, 1
    if address := chosen_address(ray):
        from pipelines.cluster.connection import connected
        from pipelines.tuning.on_cluster import spread_on

        cluster = context.with_resource(connected(address))
        spread, side_by_side = spread_on(cluster), cluster.cpus
    found = pipeline.tune(
        opened,
        search,
        trials=trials,
        study=study,
        minutes=timeout,
        resume=resume,
        at_once=at_once or side_by_side,
        spread=spread,
    )
    _tell(found)


def _tell(tuned: "Tuned") -> None:
    from pipelines.console import output_console

    console = output_console()
    console.print(_table(tuned))
    if tuned.remark:
        console.print(tuned.remark, soft_wrap=True, highlight=False, markup=False)
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
    # Only what was the best when it was done has been measured as served.
    table.add_row("served", *(short(outcome.facts.get("served")) for outcome in best))
    table.add_row("s.e.", *(short(outcome.facts.get("standard_error")) for outcome in best))
    if tuned.search.base.is_trained_by_gradient:
        table.add_row("epochs", *(short(outcome.facts.get("epochs")) for outcome in best), end_section=True)
    for name in tuned.search.space:
        table.add_row(name, *(short(outcome.settings[name]) for outcome in best))
    return table
