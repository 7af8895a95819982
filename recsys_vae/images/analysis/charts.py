"""Charts of latent space, codebooks and training, as matplotlib figures: no file and no global state."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from recsys_vae.errors import DataError
from recsys_vae.images.layers.quantizer import codebook_use, perplexity
from recsys_vae.plot_style import OURS, STYLE, colour

LABELLED = 20
"""Labels that can still be told apart by colour."""


def latent_map(
    points: NDArray[np.float32],
    labels: NDArray[np.int64] | None = None,
    *,
    names: Sequence[str] = (),
    axes_of: str = "z",
    caption: str = "",
) -> Figure:
    """Codes as points in the plane, coloured by label.

    Args:
        points: shape (n, 2).
        labels: shape (n,), where they are known.
        names: of the labels; their numbers when not given.
        axes_of: what the coordinates are, such as z, PCA, t-SNE.

    Raises:
        DataError: points that do not lie in a plane, or more labels than colours.
    """
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError(f"A map takes two coordinates a code, got shape {points.shape}: project them first.")
    groups = np.zeros(len(points), dtype=np.int64) if labels is None else labels
    present = np.unique(groups)
    if len(present) > LABELLED:
        raise DataError(f"A map can tell {LABELLED} labels apart by colour, got {len(present)}: leave the labels out.")

    def draw(axes: Axes) -> None:
        palette = mpl.colormaps["tab10" if len(present) <= 10 else "tab20"]
        for place, group in enumerate(present):
            x, y = points[groups == group].T
            name = None if labels is None else (names[group] if names else str(group))
            ink = OURS if labels is None else palette(place)
            axes.scatter(x, y, s=5, color=ink, alpha=0.6, linewidths=0, label=name, rasterized=True)
        axes.set_xlabel(f"{axes_of} 1")
        axes.set_ylabel(f"{axes_of} 2")

    return _chart(draw, caption, size=(6.4, 5.2), legend_beside=labels is not None)


def codebook(usage: Tensor, *, caption: str = "") -> Figure:
    """How often each code of a codebook was chosen, the most frequent first; its use and perplexity in the legend.

    Args:
        usage: counts by code, shape (codes,).

    Raises:
        DataError: nothing was counted.
    """
    if not usage.sum():
        raise DataError("No code was chosen: count the codes of some images first.")
    shares = (usage.double() / usage.sum()).sort(descending=True).values.tolist()
    label = f"use {codebook_use(usage):.0%} of {len(usage)} codes, perplexity {perplexity(usage):.1f}"

    def draw(axes: Axes) -> None:
        axes.bar(range(1, len(shares) + 1), shares, width=1.0, color=OURS, label=label)
        axes.axhline(1 / len(shares), color=colour(1), linewidth=1, label="all equally often")
        axes.set_xlabel("codes, by frequency")
        axes.set_ylabel("share of choices")
        axes.grid(visible=False, axis="x")

    return _chart(draw, caption)


def training_curves(
    history: Sequence[Mapping[str, float]], names: Sequence[str], *, unit: str, caption: str = ""
) -> Figure:
    """What was measured after each epoch.

    Args:
        history: a record an epoch.
        names: of the measurements to draw; those that no epoch has are left out.
        unit: of all of them, such as nats an image.

    Raises:
        DataError: none of them was measured.
    """
    found = [name for name in names if any(name in record for record in history)]
    if not found:
        raise DataError(f"No epoch has any of {', '.join(names)}: nothing to draw.")

    def draw(axes: Axes) -> None:
        for place, name in enumerate(found):
            points = [(number, record[name]) for number, record in enumerate(history, 1) if name in record]
            axes.plot(*zip(*points, strict=True), color=colour(place), linewidth=1.6, marker=".", label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)

    return _chart(draw, caption)


def _chart(
    draw: Callable[[Axes], None],
    caption: str,
    *,
    size: tuple[float, float] = (5.6, 3.4),
    legend_beside: bool = False,
) -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_title(caption, loc="left")
        handles, labels = axes.get_legend_handles_labels()
        if legend_beside:
            figure.legend(handles, labels, loc="outside right center", markerscale=3)
        elif handles:
            figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    return figure
