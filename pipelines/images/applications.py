"""What a trained image model is used for: anomaly scores, embeddings, files without noise."""

from pathlib import Path

import polars as pl
import torch
from matplotlib.figure import Figure

from pipelines.images.inputs import Subject
from pipelines.images.png import write_pictures
from recsys_vae.errors import DataError, UnknownNameError
from recsys_vae.images.analysis import figures
from recsys_vae.images.analysis.anomaly import auroc, scores
from recsys_vae.images.analysis.embeddings import embed, linear_probe
from recsys_vae.images.analysis.reconstruction import reconstruct
from recsys_vae.images.layers.corruption import corrupt

NOISE, LEVEL = "gaussian", 0.3
"""Added to images that a model is to clean, where it was not trained on another."""


def scored(subject: Subject, by: str) -> pl.DataFrame:
    """One row an image: image, label (null where unknown), score; higher is stranger."""
    found = scores(subject.model, subject.x, subject.y, by=by)
    return _rows(subject).with_columns(score=pl.Series(found))


def separation(table: pl.DataFrame, ordinary: str | None) -> str:
    """How the scores lie, and how well they separate images of one label from all others, in words.

    Args:
        table: of `scored`.
        ordinary: name of the label; None where nothing is to be separated.

    Raises:
        UnknownNameError: no image has that label.
        DataError: labels are unknown, or all images have that label.
    """
    low, middle, high = (table["score"].quantile(share) for share in (0.05, 0.5, 0.95))
    told = f"median {middle:.4g}, from {low:.4g} to {high:.4g} (5 % and 95 %)"
    if ordinary is None:
        return told
    if table["label"].null_count():
        raise DataError("These images have no labels, so none is known to be ordinary: leave --ordinary out.")
    if ordinary not in (names := table["label"].unique().to_list()):
        raise UnknownNameError("label", ordinary, names)
    strange = (table["label"] != ordinary).to_numpy()
    area = auroc(table["score"].to_numpy(), strange)
    return f"{told}; {strange.sum():,} anomalies told apart with an area under the curve of {area:.4f}"


def embedded(subject: Subject) -> pl.DataFrame:
    """One row an image: image, label (null where unknown), code as an array of float32."""
    codes = embed(subject.model, subject.x, subject.y)
    return _rows(subject).with_columns(code=pl.Series(codes, dtype=pl.Array(pl.Float32, codes.shape[1])))


def probed(train: Subject, asked: Subject) -> str:
    """How well a linear classifier, trained on one part, names the labels of another: from codes and from pixels.

    Raises:
        DataError: labels are unknown.
    """
    if train.images.y is None or asked.images.y is None:
        raise DataError(f"{asked.source} has no labels for a probe to learn.")
    told = []
    for name, codes in (
        ("codes", [embed(part.model, part.x, part.y) for part in (train, asked)]),
        ("pixels", [part.x.flatten(1).numpy() for part in (train, asked)]),
    ):
        probe = linear_probe(codes[0], train.images.y.numpy(), codes[1], asked.images.y.numpy())
        width = codes[0].shape[1]
        told.append(f"linear probe on {width} {name}: accuracy {probe.accuracy:.4f} ± {probe.standard_error:.4f}")
    return "\n".join(told)


def denoised(subject: Subject, seed: int) -> Figure:
    """Images, with noise, and without it again; noise as in the training where the model was trained on some."""
    config = subject.model.config
    noise, level = getattr(config, "noise", NOISE), getattr(config, "level", LEVEL)
    noisy = corrupt(subject.x, noise, level, torch.Generator().manual_seed(seed))
    clean = reconstruct(subject.model, noisy, subject.y)
    return figures.denoising(subject.x, noisy, clean, caption=subject.caption(f"denoising, {noise} {level:g}"))


def clean_files(subject: Subject, folder: Path) -> list[Path]:
    """Write what the model makes of pictures to a folder, as PNG files of the model's size.

    Raises:
        ConfigError: two of them would have one name, or one would replace the file that it comes from.
    """
    found = reconstruct(subject.model, subject.x, subject.y)
    return write_pictures(found, subject.files, folder)


def _rows(subject: Subject) -> pl.DataFrame:
    numbers = subject.images.y
    names = subject.files or [str(place) for place in range(len(subject.images))]
    labels = [None] * len(names) if numbers is None else [subject.label_name(int(number)) for number in numbers]
    return pl.DataFrame({"image": names, "label": labels}, schema={"image": pl.String, "label": pl.String})
