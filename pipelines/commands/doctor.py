"""`recsys doctor`: say what is installed, what computes, and whether the stores answer."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.doctor import Finding

MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "broken": "[bold red]broken[/]"}


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Look at the installation; exit status 1 where something needed is broken."""
    from pipelines.doctor import examine, is_healthy

    findings = examine()
    healthy = is_healthy(findings)
    if as_json:
        print(json.dumps({"healthy": healthy, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        _print_table(findings)
        print("Everything needed works." if healthy else "Something needed is broken; see above.")
    if not healthy:
        raise typer.Exit(1)


def _print_table(findings: "list[Finding]") -> None:
    from rich.markup import escape
    from rich.table import Table

    from pipelines.console import output_console

    table = Table("", "", "found", "state", box=None, pad_edge=False)
    area = None
    for finding in findings:
        if area not in (None, finding.area):
            table.add_section()
        heading = f"[bold]{finding.area}[/]" if finding.area != area else ""
        table.add_row(heading, finding.name, escape(finding.value), MARKS[finding.state])
        area = finding.area
    output_console().print(table)
