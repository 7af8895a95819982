"""Pictures of what an image model does, as matplotlib figures: pure functions of images, no file and no global state.

Images are float32 in [0, 1]; grey ones have one channel, coloured ones three. Every figure takes a caption, to say
what is seen: the model, the data, and whether pixels are static, dynamic or grayscale.
"""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from recsys_vae.errors import DataError
from recsys_vae.images.analysis.fidelity import psnr
from recsys_vae.plot_style import STYLE

GAP = 1 / 14
"""Paper between two images, as a share of their width; at least a pixel."""
CELL = 0.62
"""Inches that an image takes."""


def rows(images: Sequence[Tensor], labels: Sequence[str], caption: str = "") -> Figure:
    """Rows of images with their labels: what all pictures here are made of.

    Args:
        images: shape (n, c, h, w) each, one n for all.
        labels: one a row; empty where there is nothing to say.

    Raises:
        DataError: there are no images, or the rows differ in shape.
    """
    paper = mosaic(images)
    with mpl.rc_context(STYLE | {"axes.grid": False, "font.size": 8, "axes.titlesize": 8}):
        size = (CELL * len(images[0]) + 0.8 * any(labels), CELL * len(images) + 0.3 * bool(caption))
        figure = Figure(figsize=(max(2.4, size[0]), size[1]), layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        axes.imshow(paper.squeeze(-1) if paper.shape[-1] == 1 else paper, cmap="gray", vmin=0, vmax=1)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xticks([])
        axes.set_yticks(_middles(len(labels), images[0].shape[-2], gap_of(images[0])), labels)
        axes.set_title(caption, loc="left")
    return figure


def reconstructions(originals: Tensor, reconstructed: Tensor, *, caption: str = "") -> Figure:
    """Originals above, what the model makes of them below.

    Args:
        originals, reconstructed: shape (n, c, h, w), n at most about 16.
    """
    return rows([originals, reconstructed], ["original", "reconstruction"], caption)


def denoising(clean: Tensor, noisy: Tensor, denoised: Tensor, *, caption: str = "") -> Figure:
    """Triptychs, one a column: the image, with noise, without it again; with their mean PSNR.

    Args:
        clean, noisy, denoised: shape (n, c, h, w).
    """
    labels = ["clean", f"noisy\n{psnr(noisy, clean).mean():.1f} dB", f"denoised\n{psnr(denoised, clean).mean():.1f} dB"]
    return rows([clean, noisy, denoised], labels, caption)


def samples(images: Tensor, *, columns: int = 8, caption: str = "") -> Figure:
    """New images, row by row.

    Args:
        images: shape (n, c, h, w).
        columns: images a row.
    """
    missing = -len(images) % columns
    paper = images.new_ones(missing, *images.shape[1:])
    parts = torch.split(torch.cat([images, paper]), columns)
    return rows(parts, [""] * len(parts), caption)


def class_samples(images: Tensor, names: Sequence[str], *, caption: str = "") -> Figure:
    """New images of each class, a class a row.

    Args:
        images: shape (classes, n, c, h, w).
        names: of the classes.
    """
    return rows(list(images), names, caption)


def interpolations(images: Tensor, *, names: Sequence[str] = (), caption: str = "") -> Figure:
    """Paths between two images, a path a row; their ends are the first and the last column.

    Args:
        images: shape (paths, steps, c, h, w).
        names: of the paths.
    """
    return rows(list(images), names or [""] * len(images), caption)


def traversals(images: Tensor, dimensions: Sequence[int], values: Sequence[float], *, caption: str = "") -> Figure:
    """What each latent dimension does: a dimension a row, its value rising from left to right.

    Args:
        images: shape (dimensions, steps, c, h, w).
        dimensions: numbers of the rows.
        values: of the columns.
    """
    figure = rows(list(images), [f"z{number}" for number in dimensions], caption)
    axes = figure.axes[0]
    axes.set_xticks(_middles(len(values), images.shape[-1], gap_of(images)), [f"{value:+.1f}" for value in values])
    return figure


def mosaic(rows: Sequence[Tensor]) -> NDArray[np.float32]:
    """Rows of images on white paper, shape (height, width, channels).

    Args:
        rows: shape (n, c, h, w) each, one n for all.

    Raises:
        DataError: there are no images, or the rows differ in shape.
    """
    if not rows or any(row.ndim != 4 or row.shape != rows[0].shape or not len(row) for row in rows):
        raise DataError(
            f"A picture is made of equal rows of images, got rows of shapes {[tuple(r.shape) for r in rows]}."
        )
    grid = torch.stack(list(rows)).detach().float().cpu().clamp(0, 1)
    gap = gap_of(rows[0])
    padded = torch.nn.functional.pad(grid, (0, gap, 0, gap), value=1.0)
    lines, columns, channels, height, width = padded.shape
    paper: NDArray[np.float32] = (
        padded.permute(0, 3, 1, 4, 2).reshape(lines * height, columns * width, channels).numpy()
    )
    return paper[:-gap, :-gap]


def gap_of(images: Tensor) -> int:
    """Pixels of paper between two images of this size."""
    return max(1, round(GAP * images.shape[-1]))


def _middles(n: int, length: int, gap: int) -> list[float]:
    return [place * (length + gap) + length / 2 - 0.5 for place in range(n)]
