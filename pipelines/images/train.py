"""Train an image model: images in, a saved model out, with a tracked run beside it.

The model learns from the train part; its best epoch is chosen on the validation part, and that is what is reported.
The test part is left alone.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from pipelines.artifacts.workspace import check_workspace, clear_workspace, workspace_of
from pipelines.images.splits import VALIDATION, ImageParts
from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.data.pixels import GRAYSCALE, static
from recsys_vae.images.models import catalog
from recsys_vae.images.saved import MOST_EXAMPLES, WRITTEN, ImageManifest, Origin, save_image_model
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import ImageTrainingResult, train_images
from recsys_vae.settings import with_plain_settings
from recsys_vae.training.checkpoint import saved_run_id
from recsys_vae.training.tracking import Tracker, git_commit, tracked_run

EXPERIMENT = "images"
"""Experiments at the tracking server begin so; the name of the images, or of their folder, comes after it."""
CLASSES = "classes"
"""Setting of models that are conditional on labels."""


@dataclass(frozen=True)
class ImageModelSpec:
    """Which image model, and how it is trained.

    Attributes:
        name: in the catalogue.
        config: its configuration.
        training: settings of the loop.
    """

    name: str
    config: Any
    training: ImageTrainingConfig = field(default_factory=ImageTrainingConfig)

    def with_classes_of(self, parts: ImageParts) -> "ImageModelSpec":
        """The same for the classes of these images, where the model is conditional on any.

        Raises:
            ConfigError: it is, and the images have none.
        """
        if not getattr(self.config, CLASSES, 0):
            return self
        if not parts.labels:
            raise ConfigError(
                f"{self.name} is conditional on classes, and {parts.name} has none. Sort its pictures into subfolders, "
                "one a class, or choose a model without classes."
            )
        return replace(self, config=replace(self.config, classes=len(parts.labels)))


@dataclass(frozen=True)
class ImageOutput:
    """Where an image model goes.

    Attributes:
        path: its directory; a folder beside it holds the checkpoint while training goes on.
        overwrite: whether what stands at `path` may be replaced.
    """

    path: Path
    overwrite: bool = False

    @property
    def workspace(self) -> Path:
        """Folder of the checkpoint."""
        return workspace_of(self.path)

    @property
    def checkpoint(self) -> Path:
        """File of the run under way."""
        return self.workspace / "run.safetensors"


@dataclass(frozen=True)
class TrainedImageModel:
    """What a training made.

    Attributes:
        manifest: of the saved model.
        result: of the loop.
        run_id: at the tracking server.
    """

    manifest: ImageManifest
    result: ImageTrainingResult
    run_id: str | None


def specify_image_model(model: str, settings: Mapping[str, Any]) -> ImageModelSpec:
    """The model and training that settings by name ask for; what they do not name is as the defaults have it.

    Raises:
        UnknownNameError: no such model or setting.
        ConfigError: a value out of its range.
    """
    own = {item.name for item in fields(catalog.entry(model).config)}
    of_training = {item.name for item in fields(ImageTrainingConfig)}
    if unknown := sorted(settings.keys() - own - of_training):
        raise UnknownNameError(f"setting of {model}", unknown[0], own | of_training)
    config = catalog.configure(model, {name: value for name, value in settings.items() if name in own})
    rest = {name: value for name, value in settings.items() if name not in own}
    return ImageModelSpec(model, config, with_plain_settings(ImageTrainingConfig(), rest, of="training"))


def train_image_model(
    parts: ImageParts, spec: ImageModelSpec, output: ImageOutput, *, resume: bool, progress: bool = True
) -> TrainedImageModel:
    """Train a model with fresh weights, save it, and clear the checkpoint away.

    Raises:
        ConfigError: an interrupted run is there, and neither resumed nor removed; or the images do not suit the model.
    """
    check_workspace(output, resume, WRITTEN)
    spec = spec.with_classes_of(parts)
    torch.manual_seed(spec.training.seed)
    model = catalog.create(spec.name, parts.shape, spec.config)
    run_id = saved_run_id(output.checkpoint) if resume else None
    with tracked_run(f"{EXPERIMENT}-{Path(parts.name).name}", spec.name, run_id=run_id) as tracker:
        tracker.log_parameters(parameters(parts, spec))
        result = train_images(
            model,
            parts.train,
            spec.training,
            validation=parts.validation,
            tracker=tracker,
            checkpoint=output.checkpoint,
            resume=resume,
            progress=progress,
        )
        found = origin(parts, spec, result, tracker)
        manifest = save_image_model(output.path, model, found, result.history, examples(parts, result.pixels))
        tracker.log_metrics(dict(manifest.origin.metrics) | {"training_seconds": result.seconds}, result.epoch)
    clear_workspace(output.workspace)
    return TrainedImageModel(manifest, result, tracker.run_id)


def examples(parts: ImageParts, pixels: str) -> ImageSet:
    """Images of the validation part as the model sees them, for whoever looks at it later."""
    shown = parts.validation.only(slice(MOST_EXAMPLES))
    return shown if pixels == GRAYSCALE else static(shown)


def parameters(parts: ImageParts, spec: ImageModelSpec) -> dict[str, object]:
    """What a tracked run is told about the choices made."""
    chosen: dict[str, object] = {"model": spec.name, "dataset": parts.name, "split": parts.split}
    chosen |= {"git_commit": git_commit(), "n_images": len(parts.train)}
    chosen |= {f"model.{key}": value for key, value in asdict(spec.config).items()}
    return chosen | {f"training.{key}": value for key, value in asdict(spec.training).items()}


def origin(parts: ImageParts, spec: ImageModelSpec, result: ImageTrainingResult, tracker: Tracker) -> Origin:
    """Where a trained model comes from; its metrics are those of the epoch whose weights were kept."""
    kept = result.history[result.epoch - 1]
    return Origin(
        dataset=parts.name,
        dataset_fingerprint=parts.train.fingerprint(),
        n_images=len(parts.train),
        labels=list(parts.labels),
        pixels=result.pixels,
        training=asdict(spec.training),
        epochs=result.epoch,
        seconds=result.seconds,
        metrics={name: value for name, value in kept.items() if name.startswith(VALIDATION)},
        metrics_on=VALIDATION,
        run_id=tracker.run_id,
        git_commit=git_commit(),
    )
