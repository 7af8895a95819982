"""`recsys simulate`."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pipelines.commands.settings import with_options_of
from recsys_vae.simulation.settings import WorldSettings


@with_options_of(WorldSettings)
def simulate(
    to: Annotated[str, typer.Argument(help="Folder of the log, or an address of a bucket (s3://, gs://, az://).")],
    *,
    training: Mapping[str, Any],
    form: Annotated[str, typer.Option("--format", help="Of the rows: parquet, csv, csv.gz or ndjson.")] = "parquet",
    part_rows: Annotated[int, typer.Option(help="Rows of a part, about.")] = 1_000_000,
    workers: Annotated[int, typer.Option(help="Processes; rows are the same with any number.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a simulated log of other settings.")] = False,
) -> None:
    """Write a simulated log of known law, with its truth; what is there of the same log is kept."""
    from dataclasses import asdict

    from rich.table import Table

    from pipelines.console import output_console
    from pipelines.simulation.places import Place
    from pipelines.simulation.simulate import Output, simulate

    settings = WorldSettings(**training)
    output = Output(Place.of(to), form, part_rows, workers)  # type: ignore[arg-type]  # Output says which forms there are
    done = simulate(settings, output, overwrite=overwrite)
    table = Table("what", "rows", title=_parts(done.parts), title_justify="left")
    for name, count in asdict(done.account).items():
        if count:
            table.add_row(name.replace("_", " "), f"{count:,}")
    output_console().print(table)
    if done.found:
        print(f"{_parts(done.found)} {'was' if done.found == 1 else 'were'} there already", file=sys.stderr)
    print(output.place.root)


def _parts(number: int) -> str:
    return f"{number:,} part{'' if number == 1 else 's'}"


def mount(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("simulate")(simulate)
