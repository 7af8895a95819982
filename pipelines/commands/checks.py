"""`recsys check`."""

import json
from pathlib import Path

import typer

from recsys_vae.errors import ConfigError


def check_dataset(
    dataset: str | None = typer.Argument(None, help="Name of an ingested dataset, or its folder."),
    *,
    against: str | None = typer.Option(
        None, help="Dataset that it is compared with; without it, what was last accepted under its name."
    ),
    limits: Path | None = typer.Option(None, help="File of limits, see --write-limits."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    accepting: bool = typer.Option(
        False, "--accept", help="Compare what comes later under this name with this dataset, unless a check stops."
    ),
    limits_to_write: Path | None = typer.Option(None, "--write-limits", help="Write the usual limits to a file."),
) -> None:
    """Check a dataset before training: volume, new and lost ids, drift, quarantine, schema, times.

    Ends with status 0 where all is well or a check warns, 1 where one stops.
    """
    from pipelines.checks.check import check
    from pipelines.checks.limits import Limits, write_limits
    from pipelines.checks.profile import Profile, accept, accepted
    from pipelines.console import output_console
    from pipelines.dataset.directory import DatasetDir

    if limits_to_write is not None:
        write_limits(limits_to_write)
        print(limits_to_write)
    if dataset is None:
        if limits_to_write is None:
            raise ConfigError("Name the dataset to check, or a file for the limits: --write-limits limits.toml.")
        return
    chosen = Limits() if limits is None else Limits.read(limits)
    checked = DatasetDir.open(dataset)
    before = accepted(checked) if against is None else Profile.of(DatasetDir.open(against))
    profile = Profile.of(checked)
    report = check(profile, before, chosen)
    if as_json:
        print(json.dumps(report.as_json()))
    else:
        output_console(highlight=False).print(report.table())
        print(report.sentence())
    if not report.may_go_on:
        raise typer.Exit(1)
    if accepting:
        accept(profile, checked)


def mount(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("check")(check_dataset)
