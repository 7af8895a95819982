"""`recsys split` and `recsys evaluate`."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from pipelines.commands.ray_option import Ray, chosen_address
from pipelines.imports import uncollected
from recsys_vae.data.columns import ORDER
from recsys_vae.data.signal_rules import Repeat

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.evaluation.results import EvaluationRun
    from recsys_vae.evaluation.bootstrap import Interval
    from recsys_vae.evaluation.evaluate import Evaluation, Spread

DATASET = typer.Argument(help="Name of an ingested dataset, or its folder.")


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("split")(split)
    app.command("evaluate")(evaluate)


def split(
    dataset: str = DATASET,
    *,
    protocol: str = typer.Option(..., help="strong, temporal, last-out or given."),
    name: str | None = typer.Option(None, help="Name of the split; its protocol when not given."),
    seed: int | None = typer.Option(None, help="Seed of the draw [strong, given]."),
    heldout: float | None = typer.Option(
        None, help="Users for validation, and as many for test: a share below 1 or a count [strong; 0.1]."
    ),
    fold_in: float | None = typer.Option(None, help="Share of a held-out user's items that is shown [strong; 0.8]."),
    min_items: int | None = typer.Option(None, help="Leave out users with fewer items [strong; 5]."),
    validation: float | None = typer.Option(
        None,
        help="Share for validation: of each user's training items [given; 0.1], of all interactions [temporal; 0.1].",
    ),
    test: float | None = typer.Option(None, help="Share of all interactions for test [temporal; 0.1]."),
    validation_from: datetime | None = typer.Option(None, help="Moment the validation window begins, UTC [temporal]."),
    test_from: datetime | None = typer.Option(None, help="Moment the test window begins, UTC [temporal]."),
    validation_users: int | None = typer.Option(None, help="Draw validation from so many users only [given; all]."),
    repeats: Literal["drop", "keep"] | None = typer.Option(
        None,
        help="drop: ask for what is new to a user; keep: for all of the next basket [temporal; drop].",
        show_default=False,
    ),
) -> None:
    """Cut a dataset into training, validation and test parts."""
    from pipelines.dataset.directory import DatasetDir
    from pipelines.dataset.split_recipes import recipe
    from pipelines.dataset.splits import make_split
    from pipelines.evaluation.cautions import of_split

    chosen = recipe(
        protocol,
        seed=seed,
        heldout=heldout,
        fold_in=fold_in,
        min_items=min_items,
        validation=validation,
        test=test,
        validation_from=validation_from,
        test_from=test_from,
        validation_users=validation_users,
        repeats=repeats,
    )
    manifest = make_split(DatasetDir.open(dataset), chosen, name)
    print(f"Split {manifest.name!r} of {manifest.dataset}:")
    for part, sizes in manifest.sizes.items():
        told = [f"{number:,} {what.replace('_', ' ')}" for what, number in sizes.items() if what != ORDER]
        print(f"  {part:<11}" + ", ".join([*told, *(["in order"] if ORDER in sizes else [])]))
    for heading, counted in (("left out", manifest.counts), ("asked too", manifest.notes)):
        for what, number in counted.items():
            if number:
                print(f"  {heading:<11}{number:,} {what.replace('_', ' ')}")
    for caution in of_split(manifest):
        print(f"warning: {caution}", file=sys.stderr)


def evaluate(
    bundles: list[Path] = typer.Argument(
        help="Bundles that were trained on the split; the first is compared with each."
    ),
    dataset: str = DATASET,
    *,
    split: str = typer.Option(..., help="Name of the split."),
    part: str = typer.Option("test", help="test or validation."),
    baselines: str = typer.Option("", help="Models to compare with: popularity,ease or with settings ease:l2=200."),
    metrics: str = typer.Option(
        "",
        help="Names with commas, as in recall@20,ndcg@100; `accuracy` stands for the eleven that are measured when "
        "none is given, `beyond` for concentration, popularity lift, diversity and calibration.",
    ),
    by: str = typer.Option("", help="Column of the users: the metrics by its values too, and their gaps."),
    repeat: Repeat = typer.Option("exclude", help="exclude, allow or only: items of the history in the lists."),
    at_most: list[str] = typer.Option([], help="N:COLUMN, as in 3:brand: so many items of a list share a value."),
    at_least: list[str] = typer.Option(
        [], help="N:GROUP: so many of a list are of long-tail, new, or fit brand=Own, year>=2024, price<=10."
    ),
    calibrate: str | None = typer.Option(
        None, help="COLUMN[:STRENGTH], as in genres:0.5: lists have the history's shares of its values."
    ),
    k: int = typer.Option(20, "--k", min=1, help="Length of the lists that rules and impressions speak of."),
    impressions: Path | None = typer.Option(
        None, help="What was shown, with propensities: what these lists would have earned (IPS, SNIPS, DR)."
    ),
    largest_weight: float = typer.Option(
        math.inf, help="Of an impression; larger ones are cut.  [default: none]", show_default=False
    ),
    batch_size: int | None = typer.Option(None, min=1, help="Users scored at once.  [default: what fits a cache]"),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object and nothing else on standard output."),
    report: Path | None = typer.Option(None, help="Write a page with tables and plots to this HTML file."),
    ray: Ray = None,
    context: typer.Context,
) -> None:
    """Measure a bundle on held-out users, beside other bundles and baselines."""
    with uncollected():
        from pipelines.dataset.directory import DatasetDir
        from pipelines.evaluation import evaluate as pipeline
        from pipelines.evaluation import results
        from pipelines.evaluation.further import Further
        from recsys_vae.reranking.rules import parse_rules

    if report is not None:
        from pipelines.evaluation.report import WRITTEN, write_report
        from recsys_vae.outputs import check_output

        check_output(report, WRITTEN)  # before the work, not after
    run = pipeline.evaluate_bundle(
        bundles[0],
        DatasetDir.open(dataset),
        split,
        others=bundles[1:],
        part=part,
        baselines=_names(baselines),
        metrics=_names(metrics) or None,
        batch_size=batch_size,
        progress=sys.stderr.isatty(),
        spread=context.with_resource(_spread(ray)),
        further=Further(by, parse_rules(at_most, at_least, calibrate), k, repeat, impressions, largest_weight),
    )
    if report is not None:
        write_report(run, report)
    for caution in run.cautions:
        print(f"warning: {caution}", file=sys.stderr)
    if as_json:
        print(json.dumps(results.as_json(run)))
        return
    _print_run(run)
    if report is not None:
        print(f"Report: {report}")


@contextmanager
def _spread(ray: str | None) -> Iterator["Spread | None"]:
    """What measures on the cluster that is named; None where none is."""
    address = chosen_address(ray)
    if address is None:
        yield None
        return
    from pipelines.cluster.connection import connected
    from pipelines.evaluation.on_cluster import spread_on

    with connected(address) as cluster:
        yield spread_on(cluster)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print_run(run: "EvaluationRun") -> None:
    from pipelines.console import output_console

    console = output_console()
    console.print(_figures_table(run))
    if run.differences:
        console.print(_differences_table(run))
    if run.groups:
        console.print(_groups_table(run))
    if run.earned:
        console.print(_earned_table(run))


def _figures_table(run: "EvaluationRun") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    asked = run.ours.evaluation
    table = Table(
        title=f"{run.split.dataset}, split {run.split.name}, {run.part} part: {asked.n_users:,} users "
        f"({asked.n_left_out:,} left out: nothing to predict)"
        + (f", {run.n_unknown:,} targets of items that a bundle does not know left out" if run.n_unknown else ""),
        caption="mean ± standard error over users",
        title_justify="left",
    )
    table.add_column("metric")
    for result in run.results:
        table.add_column(result.label, justify="right")
    for name in run.metrics:
        table.add_row(escape(name), *(_figure(result.evaluation, name) for result in run.results))
    return table


def _figure(evaluation: "Evaluation", name: str) -> str:
    if math.isnan(evaluation.means[name]):
        return "means nothing here"
    error = evaluation.standard_errors.get(name, math.nan)
    return f"{evaluation.means[name]:.4f}" + (f" ± {error:.4f}" if math.isfinite(error) else " " * 9)


def _differences_table(run: "EvaluationRun") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=f"{run.ours.label} minus {'the others' if run.others else 'baseline'}",
        caption="95 % intervals, bootstrap paired over users",
        title_justify="left",
    )
    table.add_column("metric")
    baselines = [result.label for result in run.results[1:]]
    for baseline in baselines:
        table.add_column(baseline, justify="right")
    for metric in dict.fromkeys(difference.metric for difference in run.differences):
        found = [difference.interval for difference in run.differences if difference.metric == metric]
        table.add_row(escape(metric), *map(_difference, found))
    return table


def _difference(interval: "Interval") -> str:
    ends = f"({interval.low:+.4f} to {interval.high:+.4f})" if interval.is_known else "(no interval)"
    return f"{interval.difference:+.4f} {ends}"


def _groups_table(run: "EvaluationRun") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    from recsys_vae.evaluation.user_groups import widest_gap

    groups = list(dict.fromkeys(group.name for found in run.groups.values() for group in found))
    table = Table(
        title=f"{run.ours.label} by {escape(run.further.by)} of the users",
        caption="mean ± standard error; gap: best minus worst group of at least 30 users, 95 % interval",
        title_justify="left",
    )
    table.add_column("metric")
    for name in groups:
        table.add_column(escape(name), justify="right")
    table.add_column("gap", justify="right")
    for metric, found in run.groups.items():
        told = {group.name: _told(group.mean, group.standard_error) for group in found}
        gap = widest_gap(found)
        ends = "" if gap is None else f"{escape(gap[0].name)} - {escape(gap[1].name)}: {_difference(gap[2])}"
        table.add_row(escape(metric), *(told.get(name, "") for name in groups), ends)
    return table


def _earned_table(run: "EvaluationRun") -> "Table":
    from rich.table import Table

    assert run.shown is not None
    first = run.earned[0].estimated
    table = Table(
        title=f"Rewards a place, lists of {run.further.k}, from {len(run.shown.impressions.items):,} impressions "
        f"({run.shown.n_strangers:,} of other users left out); as shown: {_told(first.logged, first.logged_error)}",
        caption="± standard error over users; weight is 1 in expectation: else propensities are not what they say",
        title_justify="left",
    )
    for heading in ("model", "IPS", "SNIPS", "DR", "effective impressions", "weight"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for one in run.earned:
        figures = (_told(each.value, each.standard_error) for each in one.estimated.estimates)
        table.add_row(one.label, *figures, f"{one.estimated.effective:,.0f}", f"{one.estimated.weight:.2f}")
    return table


def _told(mean: float, error: float) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:.4f}" + (f" ± {error:.4f}" if math.isfinite(error) else "")
