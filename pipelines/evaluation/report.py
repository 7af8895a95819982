"""Report: an evaluation as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipelines.evaluation import plots
from pipelines.evaluation.results import Difference, EvaluationRun
from pipelines.pages import render_page
from recsys_vae.atomic import write_atomically
from recsys_vae.evaluation.bootstrap import Interval
from recsys_vae.evaluation.breakdown import by_history_length, by_item_popularity, recall_by_k
from recsys_vae.evaluation.metrics import Coverage, Novelty, parse_metric
from recsys_vae.evaluation.ranked_lists import HIGHER, NEITHER, direction
from recsys_vae.evaluation.user_groups import widest_gap
from recsys_vae.outputs import marked_product
from recsys_vae.pages.formatting import NOTHING, interval, number, signed

KS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100)
POPULARITY_K = 20
WRITTEN = marked_product(
    "a page by `recsys evaluate`",
    b'<meta name="generator" content="recsys evaluate">',
    b"<style>\n  :root { --ink: #1d2327;",  # pages from before they said what wrote them
)
"""What a report may replace."""


@dataclass(frozen=True)
class Cell:
    """One figure of the table."""

    mean: str
    error: str
    best: bool


@dataclass(frozen=True)
class Row:
    """One metric of the table: what it is, and the figure of each model."""

    metric: str
    meaning: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Gap:
    """One difference: in words and as a sign, `ahead`, `behind` or `open`."""

    text: str
    interval: str
    verdict: str


@dataclass(frozen=True)
class Figure:
    """One plot and what it shows."""

    title: str
    caption: str
    svg: str
    wide: bool = False


def write_report(run: EvaluationRun, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        ConfigError: something else stands there.
    """
    write_atomically(path, render(run), WRITTEN)


def render(run: EvaluationRun) -> str:
    """The page as text."""
    rows = _rows(run)
    return render_page(
        "report.html",
        run=run,
        headline=headline(run),
        rows=rows,
        baselines=[result.label for result in run.results[1:]],
        gaps=_gaps(run),
        figures=_figures(run),
        groups=_groups(run),
        earned=_earned(run),
        measured=_measured(run, rows),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _measured(run: EvaluationRun, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """How it was measured: names and what they stand for."""
    recipe = run.split.recipe.model_dump(mode="json", exclude_none=True)
    return [
        *((r.label, f"{r.description}; scored and ranked in {number(r.seconds, 1)} s") for r in run.results),
        ("split", ", ".join(f"{key} {value}" for key, value in recipe.items())),
        *((part, ", ".join(f"{n:,} {what}" for what, n in sizes.items())) for part, sizes in run.split.sizes.items()),
        *((reason.replace("_", " "), f"{n:,} left out") for reason, n in run.split.counts.items() if n),
        *((what.replace("_", " "), f"{n:,} asked too") for what, n in run.split.notes.items() if n),
        *([("targets of items that a bundle does not know", f"{run.n_unknown:,} left out")] if run.n_unknown else []),
        *((row.metric, row.meaning) for row in rows),
    ]


def headline(run: EvaluationRun) -> str:
    """What came out, in words: the first metric, and each baseline beside it."""
    metric = next((name for name in run.metrics if not math.isnan(run.ours.evaluation.means[name])), run.metrics[0])
    ours = run.ours.evaluation.means[metric]
    error = run.ours.evaluation.standard_errors.get(metric, math.nan)
    figure = f"{ours:.3f}" if math.isnan(error) else f"{ours:.3f} ± {error:.3f}"
    beside = " and ".join(_beside(d, ours) for d in run.differences if d.metric == metric)
    return f"{run.ours.label} reaches {metric} of {figure}" + (f": {beside}." if beside else ".")


def _beside(difference: Difference, ours: float) -> str:
    interval = difference.interval
    gap = interval.difference
    theirs = ours - gap
    name = f"{difference.baseline} ({theirs:.3f})"
    if not interval.is_known:
        return f"beside {name}, of one user"
    if not interval.excludes_zero:
        return f"within chance of {name}"
    size = f"{abs(gap / theirs):.0%}" if theirs else f"{abs(gap):.3f}"
    return f"{size} {'above' if gap > 0 else 'below'} {name}"


def _rows(run: EvaluationRun) -> list[Row]:
    rows = []
    for name in run.metrics:
        metric = parse_metric(name)
        means = [result.evaluation.means[name] for result in run.results]
        better, known = direction(metric), [mean for mean in means if not math.isnan(mean)]
        best = math.nan
        if len(known) > 1 and better != NEITHER:
            best = max(known) if better == HIGHER else min(known)
        cells = tuple(
            _cell(mean, result.evaluation.standard_errors.get(name, math.nan), best=mean == best)
            for result, mean in zip(run.results, means, strict=True)
        )
        rows.append(Row(name, (metric.__doc__ or "").splitlines()[0], cells))
    return rows


def _cell(mean: float, error: float, *, best: bool = False) -> Cell:
    if math.isnan(mean):
        return Cell(NOTHING, "", best=False)
    return Cell(number(mean, 4), "" if math.isnan(error) else number(error, 4), best)


def _gaps(run: EvaluationRun) -> list[tuple[str, list[Gap]]]:
    return [(name, [_gap(difference) for difference in found]) for name, found in _by_metric(run)]


def _gap(difference: Difference) -> Gap:
    found = difference.interval
    verdict = "open"
    if found.excludes_zero and (better := direction(parse_metric(difference.metric))) != NEITHER:
        verdict = "ahead" if found.difference * better > 0 else "behind"
    return Gap(signed(found.difference), interval(found.low, found.high) if found.is_known else "no interval", verdict)


def _groups(run: EvaluationRun) -> list[tuple[str, list[tuple[str, int, Cell]], str]]:
    """Metric, its groups, and the widest gap."""
    found = []
    for metric, groups in run.groups.items():
        cells = [(group.name, group.size, _cell(group.mean, group.standard_error)) for group in groups]
        gap = widest_gap(groups)
        ends = "" if gap is None else f"{gap[0].name} over {gap[1].name}: {_gap_of(gap[2])}"
        found.append((metric, cells, ends))
    return found


def _gap_of(found: Interval) -> str:
    return f"{signed(found.difference)} ({interval(found.low, found.high)})"


def _earned(run: EvaluationRun) -> list[tuple[str, list[Cell], int]]:
    """Model, its estimates, and how many impressions they count for."""
    return [
        (
            one.label,
            [_cell(each.value, each.standard_error) for each in one.estimated.estimates],
            round(one.estimated.effective),
        )
        for one in run.earned
    ]


def _by_metric(run: EvaluationRun) -> list[tuple[str, list[Difference]]]:
    measured = dict.fromkeys(difference.metric for difference in run.differences)
    return [(name, [d for d in run.differences if d.metric == name]) for name in measured]


def _figures(run: EvaluationRun) -> list[Figure]:
    return [*_difference_figure(run), *_accuracy_figures(run), *_reach_figure(run), *_latents_figure(run)]


def _difference_figure(run: EvaluationRun) -> list[Figure]:
    comparable = [(name, d) for name, d in _by_metric(run) if direction(parse_metric(name)) == HIGHER]
    if not comparable:
        return []
    rows = [(name, [difference.interval for difference in found]) for name, found in comparable]
    svg = plots.plot_differences(rows, [result.label for result in run.results[1:]])
    caption = f"Right of the line {run.ours.label} is ahead; an interval that crosses it settles nothing."
    return [Figure("How sure the differences are", caption, svg, wide=True)]


def _accuracy_figures(run: EvaluationRun) -> list[Figure]:
    results, held_out = run.results, run.held_out
    curves = [(r.label, recall_by_k(r.evaluation, held_out, KS)) for r in results]
    found = [(r.label, by_item_popularity(r.evaluation, held_out, run.item_counts, POPULARITY_K)) for r in results]
    figures = [
        Figure(
            "Recall by length of the list",
            "Hits over min(k, relevant); bands of one standard error.",
            plots.plot_recall_by_k(curves),
        )
    ]
    metric = next((name for name, values in run.ours.evaluation.per_user.items() if not np.isnan(values).any()), None)
    if metric is not None:
        lengths = [(r.label, by_history_length(r.evaluation, held_out, metric)) for r in results]
        figures.append(
            Figure(
                "By length of the history",
                "Users in groups of about equal size; bars of one standard error.",
                plots.plot_groups("by-history", lengths, across="items in the history shown", metric=metric),
            )
        )
    figures.append(
        Figure(
            "By popularity of the item",
            f"Share of the targets found among the first {POPULARITY_K}, targets in groups of about equal size.",
            plots.plot_groups(
                "by-popularity", found, across="training users of the item", metric=f"found in the first {POPULARITY_K}"
            ),
        )
    )
    return figures


def _reach_figure(run: EvaluationRun) -> list[Figure]:
    coverage = next((name for name in run.metrics if isinstance(parse_metric(name), Coverage)), None)
    novelty = next((name for name in run.metrics if isinstance(parse_metric(name), Novelty)), None)
    if coverage is None or novelty is None or len(run.results) < 2:
        return []
    points = [(r.label, r.evaluation.means[coverage], r.evaluation.means[novelty]) for r in run.results]
    return [
        Figure(
            "Coverage and novelty",
            "How much of the catalogue is shown at all, and how far from the bestsellers the lists are.",
            plots.plot_reach(points, coverage=coverage, novelty=novelty),
        )
    ]


def _latents_figure(run: EvaluationRun) -> list[Figure]:
    if run.activity is None:
        return []
    caption = (
        f"How far {run.ours.label}'s posterior of each latent is from saying nothing, averaged over the users asked; "
        "active ones differ between users."
    )
    return [Figure("Use of the code", caption, plots.plot_latents(run.activity.kl, run.activity.active_units))]
