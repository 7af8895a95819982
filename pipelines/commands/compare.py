"""`recsys compare`."""

import json
import os
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.models import Dataset
from recsys_vae.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.selection.compare import Compared, Question

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def mount(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(compare)


def compare(
    dataset: Dataset,
    split: Annotated[str, typer.Option(help="Split whose validation part decides.")] = "strong",
    budget: Annotated[str, typer.Option(help="Time for all of it: 90s, 10m, 2h.")] = "10m",
    metric: Annotated[
        str | None,
        typer.Option(help="What is to be high on validation; ndcg@100 when not given, less in small catalogues."),
    ] = None,
    models: Annotated[str, typer.Option(help="Names with commas; all of `recsys models` when not given.")] = "",
    name: Annotated[str | None, typer.Option(help="Name of the comparison; the split's when not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the settings that are tried and of every training.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Planned epochs of a training.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be tried, and train nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a comparison, also with more time.")] = False,
) -> None:
    """Say which model to ship: try those that fit memory and time on the validation part of a split."""
    from pipelines.dataset.directory import DatasetDir
    from pipelines.selection import compare as pipeline
    from pipelines.selection.compare import Question
    from pipelines.selection.outcome import as_json as plain
    from pipelines.selection.outcome import track, write_page
    from recsys_vae.training.config import TrainingConfig

    training = TrainingConfig()
    training = training if seed is None else replace(training, seed=seed)
    training = training if epochs is None else replace(training, epochs=epochs)
    only = tuple(part.strip() for part in models.split(",") if part.strip())
    opened = DatasetDir.open(dataset)
    question = Question(opened, split, metric, seconds_of(budget), only, training, name or split)
    if dry_run:
        _tell_plan(question)
        return
    compared = pipeline.compare(question, resume=resume)
    write_page(compared)
    track(compared)
    for caution in compared.cautions:
        print(f"warning: {caution}", file=sys.stderr)
    if as_json:
        print(json.dumps(plain(compared)))
    else:
        tell(compared)


def seconds_of(text: str) -> float:
    """`90s`, `10m` or `2h` as seconds; a number alone is seconds.

    Raises:
        ConfigError: it is none of these, or no time at all.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", text.strip())
    if not found or float(found[1]) == 0:
        raise ConfigError(f"--budget is a time such as 90s, 10m or 2h, got {text!r}.")
    return float(found[1]) * UNITS[found[2]]


def check_alone() -> None:
    """Refuse several processes where one does all the work.

    Raises:
        ConfigError: torchrun started this.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("Models are compared by one process. Name the --model to train in several.")


def tell(compared: "Compared") -> None:
    """Print the models, what is recommended, and what to do."""
    from rich.table import Table

    from pipelines.console import output_console
    from pipelines.selection.outcome import train_command

    found, standings = compared.recommendation, compared.record.standings
    table = Table("model", *standings[found.pick].means, f"minus {found.best.model}", "training", "answer", "MB")
    for rival in found.rivals:
        standing = standings[rival.model]
        interval = rival.interval
        ends = f" ({interval.low:+.4f} to {interval.high:+.4f})" if interval and interval.is_known else ""
        difference = f"{interval.difference:+.4f}{ends}" if interval else ""
        figures = [f"{value:.4f}" for value in standing.means.values()]
        cost = (f"{standing.seconds:.1f} s", f"{standing.milliseconds:.2f} ms", f"{standing.n_bytes / 1e6:.1f}")
        style = "bold" if rival.model == found.pick else None
        table.add_row(rival.model, *figures, difference, *cost, style=style)
    console = output_console()
    console.print(table)
    for name, reason in compared.contest.left_out.items():
        print(f"left out  {name}: {reason}")
    print(" ".join(found.reasons()))
    console.print(f"page      {compared.page_path}", soft_wrap=True, highlight=False, markup=False)
    print(f"train it:\n{train_command(compared)}")


def _tell_plan(question: "Question") -> None:
    """What would be tried, in order, and what would not."""
    from pipelines.selection.compare import plan

    planned, _, contest, _ = plan(question)
    print(f"{planned.dataset.name}, split {planned.split}: {planned.metric} decides; {planned.budget:.0f} s")
    for one in contest.candidates:
        unit = "an epoch" if one.is_trained else "to solve"
        cost = "at an unknown cost" if one.seconds is None else f"about {one.seconds:.2g} s {unit}"
        print(f"  {one.name:<16} {len(one.choices)} choices of settings, {cost}")
    for name, reason in contest.left_out.items():
        print(f"  {name:<16} left out: {reason}")
