"""Plots of an evaluation as SVG text, to stand inside a page: no files, no global state of matplotlib."""

import re
from collections.abc import Callable, Sequence
from io import StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from recsys_vae.evaluation.bootstrap import Interval
from recsys_vae.evaluation.breakdown import Group, Point
from recsys_vae.plot_style import INK, MARKERS, OURS, STYLE, colour
from recsys_vae.protocols import Float32Array

LEGEND_SHARE = 0.97
"""Of the width, that a legend may take."""
LINE_HEIGHT = 0.19
"""Of a legend, in inches."""


def plot_recall_by_k(curves: Sequence[tuple[str, Sequence[Point]]]) -> str:
    """Lines with a band of one standard error."""

    def draw(axes: Axes) -> None:
        for place, (label, points) in enumerate(curves):
            ks, means = [p.k for p in points], [p.mean for p in points]
            low, high = ([p.mean + sign * p.standard_error for p in points] for sign in (-1, 1))
            axes.fill_between(ks, low, high, color=colour(place), alpha=0.15, linewidth=0)
            axes.plot(ks, means, color=colour(place), linewidth=2 if place == 0 else 1.5, label=label)
        axes.set_xlabel("length of the list, k")
        axes.set_ylabel("recall@k")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)

    return _svg("recall-by-k", draw)


def plot_groups(name: str, series: Sequence[tuple[str, Sequence[Group]]], *, across: str, metric: str) -> str:
    """Points with bars of one standard error, group by group."""

    def draw(axes: Axes) -> None:
        for place, (label, groups) in enumerate(series):
            at = [number + _beside(place, len(series), 0.14) for number in range(len(groups))]
            axes.errorbar(
                at,
                [group.mean for group in groups],
                yerr=[group.standard_error for group in groups],
                fmt=MARKERS[place % len(MARKERS)],
                color=colour(place),
                markersize=6,
                elinewidth=1.2,
                clip_on=False,
                label=label,
            )
        groups = series[0][1]
        axes.set_xticks(range(len(groups)), [group.label for group in groups])
        axes.grid(visible=False, axis="x")
        axes.set_xlabel(across)
        axes.set_ylabel(metric)
        axes.set_ylim(bottom=0)

    return _svg(name, draw)


def plot_reach(points: Sequence[tuple[str, float, float]], *, coverage: str, novelty: str) -> str:
    """Coverage across, novelty up, one point a model."""

    def draw(axes: Axes) -> None:
        for place, (label, x, y) in enumerate(points):
            marker = MARKERS[place % len(MARKERS)]
            axes.plot([x], [y], marker, color=colour(place), markersize=9, linestyle="none", label=label)
        axes.margins(0.18)
        axes.set_xlabel(f"{coverage}: share of the catalogue shown to anybody")
        axes.set_ylabel(f"{novelty}, bits")
        axes.xaxis.set_major_formatter(PercentFormatter(1))

    return _svg("reach", draw)


def plot_differences(rows: Sequence[tuple[str, Sequence[Interval]]], baselines: Sequence[str]) -> str:
    """One line a metric, one interval a baseline; right of zero the bundle's model is ahead."""

    def draw(axes: Axes) -> None:
        outermost = _beside(len(baselines) - 1, len(baselines), 0.22)
        for place, baseline in enumerate(baselines):
            intervals = [intervals[place] for _, intervals in rows]
            middles = [interval.difference for interval in intervals]
            axes.errorbar(
                middles,
                [row + _beside(place, len(baselines), 0.22) for row in range(len(rows))],
                xerr=[
                    [middle - interval.low for middle, interval in zip(middles, intervals, strict=True)],
                    [interval.high - middle for middle, interval in zip(middles, intervals, strict=True)],
                ],
                fmt=MARKERS[(place + 1) % len(MARKERS)],
                color=colour(place + 1),
                markersize=5,
                elinewidth=1.6,
                label=f"against {baseline}",
            )
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 1 + outermost + 0.25, -outermost - 0.25)  # no marker stands on the frame
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("difference of the means, with its 95 % interval")

    return _svg("differences", draw, width=9.2, height=1.1 + max(0.38, 0.13 * len(baselines)) * len(rows))


def plot_latents(kl: Float32Array, active_units: int) -> str:
    """One bar a latent dimension, the busiest first."""

    def draw(axes: Axes) -> None:
        label = f"{active_units} of {len(kl)} latents active"
        axes.bar(range(1, len(kl) + 1), np.sort(kl)[::-1], width=1.0, color=OURS, label=label)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("latent dimensions, by KL")
        axes.set_ylabel("KL, nats a user")
        axes.set_ylim(bottom=0)

    return _svg("latents", draw)


def _beside(place: int, number: int, step: float) -> float:
    """Where the mark of one of so many series stands beside the middle, within 0.4 to either side of it."""
    return (place - (number - 1) / 2) * min(step, 0.8 / number)


def _add_legend(figure: Figure, axes: Axes) -> None:
    """A legend above the axes in as many columns as fit the width; the figure grows by its further lines."""
    handles, labels = axes.get_legend_handles_labels()
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    for columns in range(len(labels), 0, -1):
        legend = figure.legend(
            handles, labels, loc="outside upper left", ncols=columns, handlelength=1.4, columnspacing=1.4
        )
        if columns == 1 or legend.get_window_extent(renderer).width <= LEGEND_SHARE * figure.bbox.width:
            break
        legend.remove()
    lines = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + (lines - 1) * LINE_HEIGHT)


def _svg(name: str, draw: Callable[[Axes], None], *, width: float = 4.7, height: float = 3.3) -> str:
    # The salt keeps the ids of one plot apart from those of another on the same page, and equal from run to run.
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        _add_legend(figure, axes)
        text = StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return re.sub(
        r'(<svg[^>]*?) width="[^"]+"', rf'\1 role="img" aria-label="{name}"', svg[svg.index("<svg") :], count=1
    )
