"""Image models under RECSYS_HOME, and what a page shows of one: codes of its examples, and decodings of any code.

A model is looked at by the images that were saved beside it. Everything is computed on the CPU, a few images at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from recsys_vae.bundles.manifest import MANIFEST
from recsys_vae.errors import BundleError, ModelError
from recsys_vae.home import folders_with
from recsys_vae.images.analysis.interpolation import PATHS, traversals
from recsys_vae.images.analysis.reconstruction import means
from recsys_vae.images.models.pixelcnn_vae import PixelCNNVAE
from recsys_vae.images.models.vector_quantized import VectorQuantized
from recsys_vae.images.saved import ImageManifest, SavedImageModel, load_image_model, read_image_manifest
from service.ui.plain_files import LARGEST

MOST_MODELS: Final = 100
SHOWN: Final = 16
"""Images of a gallery."""
DIMENSIONS: Final = 8
"""Of a code that can be moved: those that vary most over the examples."""
STEPS: Final = 9
WIDTH: Final = 3.0
"""Standard deviations to either side that a dimension is moved over."""
MOST_CODES: Final = 256
"""Of a codebook that are drawn."""
KEPT: Final = 4
"""Models that are kept in memory."""


def saved_models() -> dict[str, tuple[Path, ImageManifest]]:
    """Folder and manifest of each image model, by version; what cannot be read is passed over."""
    found = {}
    for folder in folders_with(MANIFEST):
        try:
            if any(path.is_symlink() for path in folder.iterdir()) or (folder / MANIFEST).stat().st_size > LARGEST:
                continue
            manifest = read_image_manifest(folder)
        except (BundleError, OSError, ValueError, RecursionError):
            continue
        found[manifest.version] = (folder, manifest)
        if len(found) == MOST_MODELS:
            break
    return found


@lru_cache(maxsize=KEPT)
def opened(folder: Path, _version: str) -> "Studio":
    """A model, ready to be looked at.

    Raises:
        BundleError: it cannot be read.
    """
    return Studio(load_image_model(folder))


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane through the codes: the first two principal axes, or the code itself where it has two dimensions.

    Attributes:
        centre: shape (d,).
        axes: shape (2, d), of length 1.
        points: of the examples, shape (n, 2).
        reach: largest distance of a point from the middle along either axis.
    """

    centre: Tensor
    axes: Tensor
    points: Tensor
    reach: float

    @classmethod
    def through(cls, codes: Tensor) -> "Plane":
        """The plane of these codes, shape (n, d), n at least 3 and d at least 2."""
        centre = codes.mean(dim=0)
        is_plane = codes.shape[1] == 2
        axes = torch.eye(2) if is_plane else torch.linalg.svd(codes - centre, full_matrices=False).Vh[:2]
        points = (codes - centre) @ axes.T
        return cls(centre, axes, points, max(float(points.abs().max()), 1e-6) * 1.05)

    def code(self, x: float, y: float) -> Tensor:
        """The code at a place, each coordinate in -1 to 1 of the reach, shape (d,)."""
        return self.centre + self.reach * (x * self.axes[0] + y * self.axes[1])


class Studio:
    """A model with its examples.

    Args:
        saved: the model.
    """

    def __init__(self, saved: SavedImageModel) -> None:
        self.manifest, self.model, self.history = saved.manifest, saved.model, saved.history
        self.examples = saved.examples
        self.is_slow = isinstance(saved.model, PixelCNNVAE)  # it decodes pixel by pixel

    @property
    def n(self) -> int:
        """Examples."""
        return 0 if self.examples is None else len(self.examples)

    @property
    def labels(self) -> list[int]:
        """Of the examples; empty where they have none."""
        return [] if self.examples is None or self.examples.y is None else self.examples.y.tolist()

    def name_of(self, label: int) -> str:
        """Of a label; its number where it has none."""
        names = self.manifest.origin.labels
        return str(names[label]) if label < len(names) else str(label)

    @cached_property
    def x(self) -> Tensor:
        """The examples as float32 in [0, 1]."""
        assert self.examples is not None
        return self.examples.floats()

    @cached_property
    def codes(self) -> Tensor:
        """Of the examples, in the shape that the model gives them."""
        with torch.no_grad():
            return self.model.encode(self.x, self._labels(slice(None)))

    @property
    def has_axes(self) -> bool:
        """Whether the code is a vector, whose dimensions can be moved."""
        return self.codes.ndim == 2

    @cached_property
    def plane(self) -> Plane | None:
        """Where the codes lie; None where they span no plane."""
        if not self.n or not self.has_axes or self.n < 3 or self.codes.shape[1] < 2:
            return None
        return Plane.through(self.codes)

    @cached_property
    def varying(self) -> list[int]:
        """The dimensions of the code that vary most, most first."""
        return [] if not self.has_axes else self.codes.std(dim=0).argsort(descending=True)[:DIMENSIONS].tolist()

    @cached_property
    def reconstructions(self) -> Tensor:
        """Of the first examples."""
        first = SHOWN // 2 if self.is_slow else SHOWN
        with torch.no_grad():
            return means(self.model, self.model.forward(self.x[:first], self._labels(slice(first))))

    @cached_property
    def samples(self) -> Tensor | None:
        """New images; None where the model draws none."""
        classes = int(getattr(self.model.config, "classes", 0))
        labels = torch.arange(SHOWN) % classes if classes else None
        try:
            return self.model.sample(SHOWN, labels, torch.Generator().manual_seed(0))
        except ModelError:
            return None

    def decode(self, codes: Tensor, example: int = 0) -> Tensor:
        """Pixel means of codes; a conditional model decodes them under the label of an example."""
        labels = self._labels(slice(example, example + 1))
        with torch.no_grad():
            return means(self.model, self.model.decode(codes, None if labels is None else labels.repeat(len(codes))))

    def nearest(self, x: float, y: float) -> int:
        """The example whose point on the plane is nearest to a place."""
        assert self.plane is not None
        place = torch.tensor([x, y]) * self.plane.reach
        return int((self.plane.points - place).square().sum(dim=1).argmin())

    def deviations(self, example: int) -> dict[int, float]:
        """How far an example's code lies from the mean, in standard deviations, by dimension that varies."""
        centre, width = self.codes.mean(dim=0), self.codes.std(dim=0).clamp(min=1e-9)
        own = ((self.codes[example] - centre) / width).tolist()
        return {dimension: own[dimension] for dimension in self.varying}

    def moved(self, example: int, moves: dict[int, float]) -> Tensor:
        """An example's code with some dimensions set, in deviations from the mean; shape (1, d)."""
        centre, width = self.codes.mean(dim=0), self.codes.std(dim=0)
        code = self.codes[example].clone()
        for dimension, value in moves.items():
            code[dimension] = centre[dimension] + value * width[dimension]
        return code.unsqueeze(0)

    def strips(self, example: int) -> dict[int, Tensor]:
        """Images along each dimension that varies, from `WIDTH` deviations below the mean to as many above."""
        if not self.varying:
            return {}
        centre, width = self.codes.mean(dim=0)[self.varying], self.codes.std(dim=0)[self.varying]
        values = centre[:, None] + width[:, None] * torch.linspace(-WIDTH, WIDTH, STEPS)
        grid = traversals(self.codes[example], self.varying, values)
        decoded = torch.split(self.decode(grid.flatten(0, 1), example), STEPS)
        return dict(zip(self.varying, decoded, strict=True))

    def paths(self, start: int, end: int) -> dict[str, Tensor]:
        """Images between two examples, by the kind of path; along a line only where codes are no vectors."""
        kinds = PATHS if self.has_axes else {"linear": PATHS["linear"]}
        return {
            name: self.decode(path(self.codes[start], self.codes[end], STEPS), start) for name, path in kinds.items()
        }

    @cached_property
    def codebook(self) -> tuple[list[int], Tensor] | None:
        """How often each code of the finest grid is chosen for the examples, and what an image of that code alone is,
        the most used first; None where the model has no codebook.
        """  # fmt: skip
        if not isinstance(self.model, VectorQuantized) or not self.n:
            return None
        layout = self.model.layout
        grids = layout.split(self.model.codes(self.x))
        usage = torch.bincount(grids[-1].flatten(), minlength=layout.sizes[-1])
        order = usage.argsort(descending=True, stable=True)[:MOST_CODES]
        usual = [grid.flatten().mode().values for grid in grids[:-1]]
        parts = [value.repeat(len(order), *size) for value, size in zip(usual, layout.grids[:-1], strict=True)] + [
            order.view(-1, 1, 1).expand(-1, *layout.grids[-1])
        ]
        with torch.no_grad():
            drawn = means(self.model, self.model.decode_codes(layout.join(parts)))
        return usage.tolist(), drawn

    def _labels(self, rows: slice) -> Tensor | None:
        is_told = self.examples is not None and int(getattr(self.model.config, "classes", 0))
        return self.examples.y[rows] if is_told and self.examples and self.examples.y is not None else None


def clamp(value: float, least: float, most: float) -> float:
    """A number within bounds."""
    return max(least, min(most, value))


def places(text: Sequence[str], most: int) -> list[int]:
    """Numbers of examples as they were typed; 0 for what is none."""
    return [min(int(one), most - 1) if one.isascii() and one.isdigit() and len(one) < 9 else 0 for one in text]
