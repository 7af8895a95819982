"""ImageParts: a set of images cut into what is learned from, what choices are made on, and what is measured on."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from recsys_vae.errors import DataError, UnknownNameError
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.layers.checks import Shape

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SHARE = 0.1
"""Of the images, for validation, and as many for test, where nobody has published a cut."""
SPLIT_SEED = 0
FEWEST = 3


@dataclass(frozen=True)
class Remark:
    """What is to be said of a file."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, eq=False)
class ImageParts:
    """A set of images in three parts.

    Attributes:
        name: of the set.
        train, validation, test: its parts, each with at least one image.
        split: how it was cut, in words.
        labels: names of the classes, in the order of the numbers that stand for them; empty where there are none.
        passed_over: files that were left out.
        misnamed: files that were read, and are not what their endings say.

    Raises:
        DataError: all images are the same, so there is nothing to learn.
    """

    name: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    split: str
    labels: tuple[str, ...] = ()
    passed_over: tuple[Remark, ...] = ()
    misnamed: tuple[Remark, ...] = ()

    def __post_init__(self) -> None:
        first = self.train.x[:1]
        if all(bool((part.x == first).all()) for part in (self.train, self.validation, self.test)):
            low, high = (f"{float(value):g}" for value in first.aminmax())
            raise DataError(
                f"All images of {self.name} are the same (pixels from {low} to {high}), so there is nothing to learn. "
                "Look at one of the files: is it what the others should differ from?"
            )

    @property
    def shape(self) -> Shape:
        """Channels, height and width of an image."""
        return self.train.shape

    def part(self, name: str) -> ImageSet:
        """A part by its name.

        Raises:
            UnknownNameError: it is none of train, validation and test.
        """
        parts = {TRAIN: self.train, VALIDATION: self.validation, TEST: self.test}
        if name not in parts:
            raise UnknownNameError("part", name, parts)
        return parts[name]


def cut_at_random(name: str, images: ImageSet, labels: tuple[str, ...]) -> ImageParts:
    """Cut a set in an order that its size alone decides: 80 % train, 10 % validation, 10 % test.

    Raises:
        DataError: fewer than three images.
    """
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    return cut_in_order(name, images, order, labels, f"80/10/10 at random, seed {SPLIT_SEED}")


def cut_in_order(name: str, images: ImageSet, order: np.ndarray, labels: tuple[str, ...], split: str) -> ImageParts:
    """Cut a set along an order of its rows: the first tenth is test, the next validation, the rest train.

    Raises:
        DataError: fewer than three images.
    """
    if len(images) < FEWEST:
        raise DataError(f"{name} has {len(images)} images; at least {FEWEST} are needed, one for each part.")
    held = math.ceil(SHARE * len(images))
    test, validation, train = (torch.from_numpy(rows.copy()) for rows in np.split(order, [held, 2 * held]))
    return ImageParts(name, images.only(train), images.only(validation), images.only(test), split, labels)
