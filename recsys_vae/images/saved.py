"""A saved image model: one directory, written whole and verified whole.

    DIRECTORY/
        manifest.json           what it is, where it comes from, and a SHA-256 of every other file
        weights.safetensors     weights and buffers, a fitted prior's among them
        history.json            what was measured after each epoch of the training
        examples.safetensors    some images as the model sees them, with their labels, to look at it by; may be missing

Nothing in it is pickled, and nothing is unpickled when it is loaded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from recsys_vae.arrays import check_finite
from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.bundles.manifest import (
    Kind,
    file_hashes,
    library_versions,
    newer,
    product_of,
    read_content,
    verify_files,
    write_manifest,
)
from recsys_vae.errors import BundleCorruptError, DataError, RecsysError, UnknownNameError
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.models import catalog
from recsys_vae.images.protocol import ImageModule
from recsys_vae.outputs import check_output
from recsys_vae.settings import from_plain

FORMAT_VERSION = 1
WEIGHTS, HISTORY, EXAMPLES = "weights.safetensors", "history.json", "examples.safetensors"
MOST_EXAMPLES = 256
"""Images that are kept beside a model."""
KIND = Kind("image model", "an", "Train the model again, or fetch another copy.", "Train the model again")
WRITTEN = product_of(KIND)
"""What writing an image model may replace."""


@dataclass(frozen=True)
class Origin:
    """Where an image model comes from.

    Attributes:
        dataset: its name, or the folder of images.
        dataset_fingerprint: of the images that the model has learned from.
        n_images: that it has learned from.
        labels: names of the classes, in the order of the numbers that stand for them; empty where there are none.
        pixels: static, dynamic or grayscale: what the model has seen.
        training: settings of the training loop.
        epochs: passes over the images that the weights have seen.
        seconds: that the training took.
        metrics: what was measured, by name.
        metrics_on: the part of the data that they were measured on.
        run_id: identity at the tracking server.
        git_commit: of the working tree that trained it, where it is one.
    """

    dataset: str = ""
    dataset_fingerprint: str = ""
    n_images: int = 0
    labels: Sequence[str] = ()
    pixels: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 0
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    metrics_on: str = ""
    run_id: str | None = None
    git_commit: str | None = None


@dataclass(frozen=True)
class ImageManifest:
    """The first thing that is read of a saved image model.

    Attributes:
        kind: always `image model`.
        format_version: of the directory's layout.
        version: identity: model name and the start of a hash over the files.
        model: name in the catalogue.
        settings: the model's configuration.
        shape: channels, height and width of its images.
        origin: where it comes from.
        created_at: ISO 8601, UTC.
        libraries: versions at the time of writing.
        files: SHA-256 of every other file, by name.
    """

    kind: str
    format_version: int
    version: str
    model: str
    settings: Mapping[str, Any]
    shape: tuple[int, int, int]
    origin: Origin
    created_at: str
    libraries: Mapping[str, str]
    files: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class SavedImageModel:
    """A loaded image model.

    Attributes:
        manifest: what it says about itself.
        model: with its weights, on the CPU, in evaluation mode.
        history: what was measured after each epoch.
        examples: images to look at it by; None in models that were saved without any.
    """

    manifest: ImageManifest
    model: ImageModule
    history: list[dict[str, float]]
    examples: ImageSet | None = None


def save_image_model(
    directory: Path,
    model: ImageModule,
    origin: Origin,
    history: Sequence[Mapping[str, float]] = (),
    examples: ImageSet | None = None,
) -> ImageManifest:
    """Write a model of the catalogue to `directory`, whole or not at all; an image model there is replaced.

    Args:
        examples: images as the model sees them, of which the first `MOST_EXAMPLES` are kept beside it.

    Raises:
        ConfigError: something else stands there.
        UnknownNameError: the model's class is not in the catalogue.
    """
    directory = check_output(directory, WRITTEN)
    remove_partials(directory)
    name = catalog.name_of(model)
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    with atomic_directory(directory, WRITTEN) as temporary:
        save_file(weights, temporary / WEIGHTS)
        (temporary / WEIGHTS).chmod(0o644)  # safetensors makes it readable to its owner only
        if examples is not None:
            _write_examples(temporary / EXAMPLES, examples.only(slice(MOST_EXAMPLES)))
        (temporary / HISTORY).write_text(json.dumps([dict(record) for record in history], indent=1))
        files = file_hashes(temporary)
        identity = sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]
        manifest = ImageManifest(
            kind=KIND.name,
            format_version=FORMAT_VERSION,
            version=f"{name}-{identity}",
            model=name,
            settings=catalog.settings_of(model),
            shape=model.shape,
            origin=origin,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            libraries=library_versions(),
            files=files,
        )
        write_manifest(temporary, manifest)
    return manifest


def load_image_model(directory: Path) -> SavedImageModel:
    """Read and verify a saved model; nothing of it is used before all of it is found in order.

    Raises:
        BundleCorruptError: a file is missing, truncated or altered, contradicts the manifest, or belongs to no image
            model.
        BundleVersionError: written in a format that this version does not read, or with a model or settings that it
            does not know.
    """
    manifest = read_image_manifest(directory)
    verify_files(directory, manifest, KIND)
    try:
        model = catalog.create(manifest.model, manifest.shape, catalog.configure(manifest.model, manifest.settings))
        weights = load_file(directory / WEIGHTS)
        for name, value in weights.items():
            check_finite(name, value.numpy())
        model.load_state_dict(weights)
        history = _read_history(directory / HISTORY)
        examples = _read_examples(directory / EXAMPLES) if EXAMPLES in manifest.files else None
    except UnknownNameError as error:
        raise newer(directory, KIND, error) from error
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError, OSError, RecsysError) as error:
        raise BundleCorruptError(f"{directory} contradicts its manifest: {error}") from error
    return SavedImageModel(manifest, model.eval(), history, examples)


def _write_examples(path: Path, examples: ImageSet) -> None:
    labels = {} if examples.y is None else {"y": examples.y.contiguous()}
    save_file({"x": examples.x.contiguous()} | labels, path)
    path.chmod(0o644)


def _read_examples(path: Path) -> ImageSet:
    held = load_file(path)
    return ImageSet(held["x"], held.get("y"))


def _read_history(path: Path) -> list[dict[str, float]]:
    return [{str(name): float(value) for name, value in record.items()} for record in json.loads(path.read_text())]


def read_image_manifest(directory: Path) -> ImageManifest:
    """Read `manifest.json` alone.

    Raises:
        BundleCorruptError: there is none, it was altered, something is missing, or it is that of something else.
        BundleVersionError: it describes a layout that this version does not read, or says what it does not know.
    """
    content = read_content(directory, KIND, FORMAT_VERSION)
    try:
        channels, height, width = content["shape"]
        origin = from_plain(Origin, content["origin"], "an origin", passing_over=True)
        shaped = content | {"shape": (channels, height, width), "origin": origin}
        return from_plain(ImageManifest, shaped, "an image model's manifest")
    except UnknownNameError as error:
        raise newer(directory, KIND, error) from error
    except (KeyError, TypeError, ValueError, DataError) as error:
        raise BundleCorruptError(
            f"{directory} has a manifest with something missing: {error}. {KIND.remedy}"
        ) from error
