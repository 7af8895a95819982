"""A saved image model, opened, and images put before it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from pipelines.images.datasets import load_images_for
from pipelines.images.png import read_pictures
from pipelines.images.splits import Remark
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.data.pixels import GRAYSCALE, static
from recsys_vae.images.protocol import ImageModule
from recsys_vae.images.saved import SavedImageModel, load_image_model


def open_model(directory: Path) -> "Opened":
    """Read and verify a saved model.

    Raises:
        BundleCorruptError, BundleVersionError: it cannot be used.
    """
    return Opened(load_image_model(directory))


@dataclass(frozen=True, eq=False)
class Opened:
    """A saved model.

    Attributes:
        saved: model, manifest and history.
    """

    saved: SavedImageModel

    @property
    def model(self) -> ImageModule:
        """In evaluation mode."""
        return self.saved.model

    @property
    def name(self) -> str:
        """Of the model, in the catalogue."""
        return self.saved.manifest.model

    @property
    def pixels(self) -> str:
        """static, dynamic or grayscale."""
        return self.saved.manifest.origin.pixels

    @property
    def run_id(self) -> str | None:
        """Of the tracked run that it came from."""
        return self.saved.manifest.origin.run_id

    @property
    def history(self) -> list[dict[str, float]]:
        """What was measured after each epoch."""
        return self.saved.history

    @property
    def caption(self) -> str:
        """Model, data, and how pixels are read."""
        return f"{self.name}, {self.saved.manifest.origin.dataset}, {self.pixels}"

    @property
    def classes(self) -> int:
        """Classes that the model is conditional on, 0 where it is not."""
        return int(getattr(self.model.config, "classes", 0))

    @property
    def label_names(self) -> list[str]:
        """Of the classes; their numbers where they have no names."""
        return list(self.saved.manifest.origin.labels) or [str(number) for number in range(self.classes)]

    def before(self, data: str | None, part: str) -> "Subject":
        """The model before a part of a set of images; of the one that it has learned from where none is named.

        Raises:
            UnknownNameError: no such set, or no such part.
            DataError: images of another shape than the model's.
        """
        parts = load_images_for(data or self.saved.manifest.origin.dataset, self.saved.manifest.shape)
        return Subject(
            self,
            self._as_seen(parts.part(part)),
            f"{Path(parts.name).name} {part}",
            parts.labels,
            passed_over=parts.passed_over,
            misnamed=parts.misnamed,
        )

    def before_files(self, paths: Sequence[Path]) -> "Subject":
        """The model before pictures, each brought to its size.

        Raises:
            DataError: one of them cannot be read, or there is none.
        """
        files, images, misnamed = read_pictures(paths, self.saved.manifest.shape)
        return Subject(self, self._as_seen(images), "files", files=files, misnamed=misnamed)

    def _as_seen(self, images: ImageSet) -> ImageSet:
        """Grey as they are, or drawn once where the model has learned from drawn pixels."""
        return images if self.pixels == GRAYSCALE else static(images)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and the images before it.

    Attributes:
        opened: the model.
        images: as the model sees them: drawn where it has learned from drawn pixels.
        source: where they come from, such as `mnist test`.
        labels: names of the labels, where they have names.
        files: names of the images, where they are files.
        passed_over: files of a folder that were left out.
        misnamed: files that were read, and are not what their endings say.
    """

    opened: Opened
    images: ImageSet
    source: str
    labels: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    passed_over: tuple[Remark, ...] = ()
    misnamed: tuple[Remark, ...] = ()

    @property
    def model(self) -> ImageModule:
        """In evaluation mode."""
        return self.opened.model

    @property
    def name(self) -> str:
        """Of the model, in the catalogue."""
        return self.opened.name

    @property
    def x(self) -> Tensor:
        """All images as float32 in [0, 1]."""
        return self.images.floats()

    @property
    def y(self) -> Tensor | None:
        """Labels for the model: None where it takes none."""
        return self.images.y if self.opened.classes else None

    def first(self, n: int) -> "Subject":
        """The first n images, all where there are fewer."""
        return replace(self, images=self.images.only(slice(n)), files=self.files[:n])

    def label_name(self, number: int) -> str:
        """Of a label; its number where it has no name."""
        return self.labels[number] if self.labels else str(number)

    def caption(self, what: str) -> str:
        """What a picture shows, of which model and images, and how pixels are read."""
        return f"{what}: {self.name}, {self.source}, {self.opened.pixels}"
