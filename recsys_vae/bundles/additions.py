"""Additions: a new version of a bundle with some parts changed, such as a head or a second stage that it lacked."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.bundles.bundle import REPEAT, WRITTEN, libraries_of, write_repeat
from recsys_vae.bundles.manifest import Manifest, read_manifest, renewed, verify_files, write_manifest
from recsys_vae.bundles.second_stage import ModelPart, is_part, write_ranker
from recsys_vae.errors import DataError
from recsys_vae.models.repeat import RepeatHead
from recsys_vae.outputs import check_output
from recsys_vae.second_stage.ranker import Ranker

UNRANKED = ", before the second stage"
"""Ends what the metrics of a manifest were measured on where lists are by another order now."""


def with_repeat(source: Path, directory: Path, repeat: RepeatHead, cutoff: str | None = None) -> Manifest:
    """Write the bundle `source` with another repeat-purchase head to `directory`, which may be its own place.

    Args:
        cutoff: time of the latest event that the head has learned from, in ISO 8601.

    Raises:
        ConfigError: something else than a bundle stands there.
        DataError: the head is over other items.
        BundleError: `source` is no bundle in order.
    """
    old = _read(source)
    if repeat.n_items != old.n_items:
        raise DataError(f"The repeat-purchase head has {repeat.n_items} items, the bundle {old.n_items}.")
    old = replace(old, provenance=replace(old.provenance, repeat_cutoff=cutoff))
    return new_version(source, directory, old, lambda name: name == REPEAT, lambda folder: write_repeat(folder, repeat))


def with_ranker(source: Path, directory: Path, ranker: Ranker, parts: Sequence[ModelPart]) -> Manifest:
    """Write the bundle `source` with another second stage to `directory`, which may be its own place.

    What was measured on it before was measured without; the manifest says so, and names LightGBM among its libraries.

    Args:
        parts: what there is to say of each of its further models.

    Raises:
        ConfigError: something else than a bundle stands there.
        BundleError: `source` is no bundle in order.
    """
    old = _read(source)
    measured = old.provenance.metrics_on
    if measured and not measured.endswith(UNRANKED):
        old = replace(old, provenance=replace(old.provenance, metrics_on=measured + UNRANKED))
    old = replace(old, libraries={**old.libraries, **libraries_of(ranker)})
    return new_version(source, directory, old, is_part, lambda folder: write_ranker(folder, ranker, parts))


def _read(source: Path) -> Manifest:
    manifest = read_manifest(source)
    verify_files(source, manifest)
    return manifest


def new_version(
    source: Path, directory: Path, told: Manifest, is_replaced: Callable[[str], bool], write: Callable[[Path], None]
) -> Manifest:
    """Write a bundle once more with some files changed; nothing else of it is lost, whatever it has.

    Args:
        source: the bundle, which is in order.
        directory: place of the new one, which may be its own.
        told: its manifest, with what there is to say otherwise.
        is_replaced: whether a file is not taken over.
        write: writes new files into a folder.

    Raises:
        ConfigError: something else than a bundle stands there.
    """
    directory = check_output(directory, WRITTEN)
    remove_partials(directory)
    with atomic_directory(directory, WRITTEN) as temporary:
        for name in told.files:
            if not is_replaced(name):
                shutil.copyfile(source / name, temporary / name)
        write(temporary)
        manifest = renewed(told, temporary)
        write_manifest(temporary, manifest)
    return manifest
