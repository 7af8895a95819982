"""`recsys register`, `upload`, `promote`, `rollback`: a bundle becomes a version, a version the one that is served."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.retraining.exit_status import REFUSED
from recsys_vae.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.promotion.decision import Decision
    from pipelines.promotion.promote import Promoted


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(register)
    app.command()(upload)
    app.command()(promote)
    app.command()(rollback)


def register(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `recsys train` or `recsys publish` wrote.")],
    name: Annotated[
        str | None, typer.Option("--as", help="Registered model; default: the name of the bundle's dataset.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be registered; change nothing.")] = False,
) -> None:
    """Register a bundle whose registration failed or was cut off, or under another name; the challenger is it now."""
    from pipelines.artifacts import registration

    done = registration.register(bundle.expanduser().resolve(), name, dry_run=dry_run)
    if dry_run and done.is_new:
        print(f"{done.manifest.version} would be a new version of models:/{done.name}, its challenger")
        return
    note = "alias challenger" if done.is_new else "it was registered already"
    print(f"{done.manifest.version} is models:/{done.name}/{done.version}  ({note})")


def upload(
    bundle: Annotated[Path, typer.Argument(help="Bundle of this machine.")],
    address: Annotated[
        str, typer.Argument(help="Where to: s3://BUCKET/PATH, gs:// or az:// alike; PATH/ puts its version behind.")
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another bundle that is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent where; send nothing.")] = False,
) -> None:
    """Copy a bundle into a bucket, from which `recsys serve` and `recommend` take it; one that is there stays."""
    from pipelines.artifacts import upload as uploading

    done = uploading.upload(bundle.expanduser().resolve(), address, overwrite=overwrite, dry_run=dry_run)
    if dry_run and done.is_new:
        print(f"{done.manifest.version} would be at {done.address}, {len(done.manifest.files) + 1} files")
        return
    print(f"{done.manifest.version} is at {done.address}{'' if done.is_new else '  (it was already)'}")


def promote(
    name: Annotated[str, typer.Argument(help="Registered model; `recsys train` names it after the dataset.")],
    version: Annotated[
        str | None, typer.Option(help="Version to promote; default: the challenger.", show_default=False)
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="DATASET or DATASET/SPLIT to compare on; default: the dataset that the challenger learned from.",
            show_default=False,
        ),
    ] = None,
    limits: Annotated[
        Path | None, typer.Option(help="TOML file of tolerances and guard rails; default: docs/lifecycle.md's.")
    ] = None,
    force: Annotated[
        str | None, typer.Option(metavar="REASON", help="Promote whatever the gate says; the reason is kept.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compare and print; change nothing, write nothing.")
    ] = False,
    only_compare: Annotated[
        bool, typer.Option("--only-compare", help="Compare, keep what was found, and promote nobody.")
    ] = False,
    judged: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="VERSION",
            help="Promote by what --only-compare found of VERSION, which was made alike without the newest events.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")
    ] = False,
) -> None:
    """Compare a version with the champion, and make it the champion unless it is worse; refused: exit status 3."""
    from pipelines.promotion import promote as promotion
    from pipelines.promotion.limits import read_limits
    from pipelines.promotion.made_alike import judge, promote_as

    if only_compare or judged is not None:
        if version is None or force is not None or dry_run or (only_compare and judged is not None):
            raise ConfigError("--only-compare and --as VERSION go with --version, and without --force and --dry-run.")
        done = (
            judge(name, version, on=on, limits=read_limits(limits))
            if judged is None
            else promote_as(name, version, judged)
        )
    else:
        done = promotion.promote(name, version, on=on, limits=read_limits(limits), force=force, dry_run=dry_run)
    if as_json:
        print(json.dumps(_as_json(done, dry_run)))
    else:
        _tell(done, dry_run)
    if done.decision is not None:
        for warning in done.decision.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if done.doubt:
        print(f"warning: {done.doubt}", file=sys.stderr)
    if not done.is_champion:
        raise typer.Exit(REFUSED)


def rollback(
    name: Annotated[str, typer.Argument(help="Registered model.")],
    version: Annotated[
        str | None, typer.Option(help="A former champion; default: the last one.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the version that is left.", show_default=False)] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be champion; change nothing.")] = False,
) -> None:
    """Make the former champion the champion again, at once: nothing is measured."""
    from pipelines.promotion.champions import roll_back

    done = roll_back(name, version, reason=reason, dry_run=dry_run)
    would = "would be" if dry_run else "is"
    print(f"models:/{done.name}@champion {would} version {done.version} ({done.bundle}) again; it was {done.previous}.")


def _as_json(done: "Promoted", dry_run: bool) -> dict[str, Any]:
    decision = {"decision": None} if done.decision is None else done.decision.as_json()
    return {
        "model": done.name,
        "version": done.version,
        "champion_version": done.champion,
        "is_champion": done.is_champion and not (done.decision is not None and done.decision.is_comparison),
        "went_back": done.went_back,
        "dry_run": dry_run,
        "page": None if done.page is None else str(done.page),
    } | decision


def _tell(done: "Promoted", dry_run: bool) -> None:
    if done.decision is not None:
        _tell_decision(done.decision, None if done.champion is None else f"version {done.champion}")
    champion = f"models:/{done.name}@champion"
    would = "would be" if dry_run else "is now"
    if done.decision is not None and done.decision.is_comparison:
        print(f"Nobody was promoted. What is made alike can be: --version V --as {done.version}.")
    elif done.version == done.champion:
        print(f"{champion} is version {done.version} ({done.bundle}) already.")
    elif not done.is_champion:
        stays = "has none still" if done.champion is None else f"stays version {done.champion}"
        print(f"{champion} {stays}. To promote it all the same: --force REASON.")
    else:
        again = ", which was champion before: nothing was measured" if done.went_back else ""
        print(f"{champion} {would} version {done.version} ({done.bundle}){again}.")
        if done.champion is not None:
            print(f"Before it was version {done.champion}." + ("" if dry_run or done.went_back else _way_back(done)))
    if done.page is not None:
        print(f"Page: {done.page}")


def _way_back(done: "Promoted") -> str:
    return f" Back: recsys rollback {done.name}"


def _tell_decision(decision: "Decision", champion: str | None) -> None:
    from pipelines.console import output_console

    console = output_console(highlight=False)
    if decision.slices:
        console.print(_slices_table(decision, champion))
    if decision.rails:
        console.print(_rails_table(decision))
    verb = {"promoted": "Promoted", "passed": "Passed", "refused": "Refused", "forced": "Refused by the gate"}[
        decision.word
    ]
    console.print(f"{verb}: {decision.why}", soft_wrap=True, markup=False)
    if decision.forced is not None:
        forced = f"Forced by {decision.forced.by}: {decision.forced.reason}"
        console.print(forced, soft_wrap=True, markup=False)


def _slices_table(decision: "Decision", champion: str | None) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    from pipelines.promotion.comparison import Verdict

    asked = decision.asked
    assert asked is not None
    drawn = f" of {asked.n_of:,}" if asked.n_of > asked.n_users else ""
    table = Table(
        title=escape(f"{asked.dataset}, {asked.place}: {asked.n_users:,} users{drawn}"),
        caption="intervals of the difference: bootstrap paired over users; on slices corrected for their number",
        title_justify="left",
    )
    table.add_column("slice")
    table.add_column("metric")
    for heading in ("users", champion or "popularity", "challenger", "difference", "tolerated"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    judged = [one for one in decision.slices if one.is_overall or one.verdict != Verdict.TOO_FEW]
    if len(judged) < len(decision.slices):
        table.caption = f"{table.caption};\n{len(decision.slices) - len(judged)} slices of too few users left out"
    for one in judged:
        ends = "" if one.low is None or one.high is None else f"{one.low:+.4f} to {one.high:+.4f}"
        figures = (
            f"{one.n_users:,}",
            f"{one.champion:.4f}",
            f"{one.challenger:.4f}",
            ends,
            f"{-one.margin:+.4f}" if one.margin else "0",
        )
        table.add_row(escape(one.name), escape(one.metric), *figures, str(one.verdict))
    return table


def _rails_table(decision: "Decision") -> "Table":
    from rich.table import Table

    table = Table("guard rail", "champion", "challenger", "allowed", "")
    for rail in decision.rails:
        figures = ["" if value is None else f"{value:.3g}" for value in (rail.champion, rail.challenger)]
        state = rail.note if rail.holds is None else "holds" if rail.holds else "broken"
        table.add_row(rail.name, *figures, rail.limit, state)
    return table
