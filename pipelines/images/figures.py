"""Pictures of a trained image model: what it reconstructs and draws, what lies between and behind its codes."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from pipelines.images.inputs import Opened, Subject
from recsys_vae.errors import ConfigError, ModelError
from recsys_vae.images.analysis import charts, figures
from recsys_vae.images.analysis.embeddings import embed
from recsys_vae.images.analysis.fidelity import psnr, squared_error
from recsys_vae.images.analysis.interpolation import PATHS, traversals
from recsys_vae.images.analysis.latent_map import plane
from recsys_vae.images.analysis.reconstruction import means, reconstruct
from recsys_vae.images.models.vector_quantized import VectorQuantized
from recsys_vae.images.training.code_set import CodeSet

AXES = {"direct": "z", "pca": "PCA", "tsne": "t-SNE"}
MAPPED = 2_000
"""Images over which codes are measured."""


def samples(opened: Opened, n: int, label: int | None, seed: int) -> Figure:
    """New images; of one class where a label is given.

    Raises:
        ModelError: the model cannot draw, or not yet, or takes no label.
    """
    if label is not None:
        _check_conditional(opened)
    labels = None if label is None else torch.full((n,), label)
    drawn = opened.model.sample(n, labels, torch.Generator().manual_seed(seed))
    return figures.samples(drawn, caption=f"samples: {opened.caption}")


def class_samples(opened: Opened, each: int, seed: int) -> Figure:
    """New images of each class, a class a row.

    Raises:
        ModelError: the model cannot draw, or not yet, or is not conditional.
    """
    _check_conditional(opened)
    labels = torch.arange(opened.classes).repeat_interleave(each)
    drawn = opened.model.sample(len(labels), labels, torch.Generator().manual_seed(seed))
    rows = torch.stack(torch.split(drawn, each))
    return figures.class_samples(rows, opened.label_names, caption=f"samples by class: {opened.caption}")


def distance(subject: Subject) -> str:
    """How far reconstructions are from all images of the subject, in words."""
    found = reconstruct(subject.model, subject.x, subject.y)
    error, decibels = squared_error(found, subject.x).mean(), psnr(found, subject.x)
    return (
        f"{subject.source}, {len(subject.images):,} images: mean squared error a pixel {error:.5f}, "
        f"PSNR {decibels[decibels.isfinite()].mean():.2f} dB"
    )


def reconstructions(subject: Subject) -> Figure:
    """All images of the subject above their reconstructions."""
    found = reconstruct(subject.model, subject.x, subject.y)
    return figures.reconstructions(subject.x, found, caption=subject.caption("reconstructions"))


def paths(subject: Subject, *, kind: str, steps: int) -> Figure:
    """Paths between the codes of the first and second image, the third and fourth ...; a row each.

    A conditional model decodes a path under the label that its first image has.

    Args:
        kind: linear, spherical, or both for one below the other.

    Raises:
        ConfigError: another kind, or fewer than two images.
    """
    kinds = list(PATHS) if kind == "both" else [kind]
    if not set(kinds) <= set(PATHS) or len(subject.images) < 2:
        raise ConfigError(
            f"A path is {', '.join(PATHS)} or both, between two images; got {kind!r}, {len(subject.images)}."
        )
    codes = _codes(subject)
    rows, names = [], []
    for start in range(0, len(codes) - 1, 2):
        for name in kinds:
            rows.append(_decoded(subject, PATHS[name](codes[start], codes[start + 1], steps), start))
            names.append(name)
    return figures.interpolations(torch.stack(rows), names=names, caption=subject.caption("interpolations"))


def traversal(subject: Subject, *, image: int, dimensions: int, steps: int, width: float = 3.0) -> Figure:
    """What the dimensions of the code do to one image, those that differ most between images first.

    Each walks over `width` standard deviations to either side of its mean, both taken over the subject's images.

    Args:
        image: number of the image to start from.
        dimensions: how many of them.

    Raises:
        ConfigError: no such image.
        ModelError: the code is no vector.
    """
    codes = _codes(subject)
    if not 0 <= image < len(codes):
        raise ConfigError(f"There are images 0 to {len(codes) - 1}, not {image}.")
    if codes.ndim != 2:
        raise ModelError(
            f"The code of {subject.name} is a grid of shape {tuple(codes.shape[1:])}: no axes to walk along."
        )
    deviations, centre = codes.std(dim=0), codes.mean(dim=0)
    chosen = deviations.argsort(descending=True)[:dimensions].tolist()
    walk = torch.linspace(-width, width, steps)
    values = centre[chosen, None] + deviations[chosen, None] * walk
    grid = traversals(codes[image], chosen, values)
    found = _decoded(subject, grid.flatten(0, 1), image).view(len(chosen), steps, *subject.x.shape[1:])
    return figures.traversals(found, chosen, walk.tolist(), caption=subject.caption("traversals, in deviations"))


def latent_map(subject: Subject, *, method: str, seed: int) -> Figure:
    """The codes of all images in the plane, coloured by label where there are labels.

    Args:
        method: direct, pca or tsne.
    """
    points = plane(embed(subject.model, subject.x, subject.y), method, seed=seed)
    labels = None if subject.images.y is None else subject.images.y.numpy()
    return charts.latent_map(
        points, labels, names=subject.labels, axes_of=AXES[method], caption=subject.caption("codes")
    )


def training_curves(opened: Opened) -> Figure:
    """Loss and its parts after each epoch, on validation where there was one.

    Raises:
        DataError: the model has no history.
    """
    names = ["loss", "validation_loss", "reconstruction", "regularizer"]
    return charts.training_curves(opened.history, names, unit="nats an image", caption=f"training: {opened.caption}")


def codebook_use(subject: Subject) -> Figure:
    """How often each code was chosen for the images of the subject, of the finest grid.

    Raises:
        ModelError: the model has no codebook.
    """
    if not isinstance(subject.model, VectorQuantized):
        raise ModelError(f"{subject.name} has no codebook: take a vq-vae or vq-vae-2.")
    codes = CodeSet.of(subject.model, subject.images).codes
    finest = subject.model.layout.split(codes)[-1]
    usage = torch.bincount(finest.flatten(), minlength=subject.model.layout.sizes[-1])
    return charts.codebook(usage, caption=subject.caption("codebook"))


def _codes(subject: Subject) -> Tensor:
    with torch.no_grad():
        return subject.model.encode(subject.x, subject.y)


def _decoded(subject: Subject, codes: Tensor, image: int) -> Tensor:
    labels = None if subject.y is None else subject.y[image].repeat(len(codes))
    with torch.no_grad():
        return means(subject.model, subject.model.decode(codes, labels))


def _check_conditional(opened: Opened) -> None:
    if not opened.classes:
        raise ModelError(
            f"{opened.name} draws without labels. To choose a class, train a conditional-vae, or fit a prior by class."
        )
