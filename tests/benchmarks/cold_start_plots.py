"""Plots of the cold-start benchmark, as SVG files for docs/cold-start.md."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recsys_vae.evaluation.bootstrap import Interval
from recsys_vae.plot_style import INK, MARKERS, STYLE, colour


def plot_lengths(path: Path, curves: Mapping[str, Sequence[Sequence[float]]], lengths: Sequence[int]) -> None:
    """One line a tier over the history's length, with bars of one standard error over users."""

    def draw(axes: Axes) -> None:
        for place, (name, points) in enumerate(curves.items()):
            means, errors = [point[0] for point in points], [point[1] for point in points]
            at = [number + (place - len(curves) / 2) * 0.05 for number in range(len(lengths))]
            axes.errorbar(
                at, means, yerr=errors, color=colour(place), marker=MARKERS[place % len(MARKERS)], markersize=4,
                linewidth=2 if place == 0 else 1.2, elinewidth=0.8, label=name,
            )  # fmt: skip
        axes.set_ylabel("ndcg@100")

    _save(path, draw, lengths)


def plot_gaps(path: Path, gaps: Mapping[str, Sequence[Interval]], lengths: Sequence[int]) -> None:
    """Differences with their 95 % intervals over the history's length."""

    def draw(axes: Axes) -> None:
        for place, (name, intervals) in enumerate(gaps.items()):
            middles = [interval.difference for interval in intervals]
            low = [interval.difference - interval.low for interval in intervals]
            high = [interval.high - interval.difference for interval in intervals]
            at = [number + (place - 0.5) * 0.12 for number in range(len(lengths))]
            marker = MARKERS[place]
            axes.errorbar(at, middles, yerr=[low, high], fmt=marker, color=colour(place + 1), markersize=5, label=name)
        axes.axhline(0, color=INK, linewidth=1)
        axes.set_ylabel("difference in ndcg@100")

    _save(path, draw, lengths)


def _save(path: Path, draw: Callable[[Axes], None], lengths: Sequence[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE | {"svg.hashsalt": path.stem}):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_xticks(range(len(lengths)), [str(length) for length in lengths])
        axes.set_xlabel("items of the history that are shown")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=4)
        figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
