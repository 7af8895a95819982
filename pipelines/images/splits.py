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
class PassedOver:
    """A file that gave no image, and why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class ImageParts:
    """A set of images in three parts.

    Attributes:
        name: of the set.
        train, validation, test: its parts, each with at least one image.
        split: how it was cut, in words.
        labels: names of the classes, in the order of the numbers that stand for them; empty where there are none.
        passed_over: files that were left out.
    """

    name: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    split: str
    labels: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()

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
