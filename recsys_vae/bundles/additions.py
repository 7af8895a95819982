"""Additions: a new version of a bundle with some parts changed, such as a head or a second stage that it lacked."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.bundles.bundle import REPEAT, WRITTEN, Bundle, libraries_of, write_repeat
from recsys_vae.bundles.manifest import Manifest, read_manifest, renewed, verify_files, write_manifest
from recsys_vae.bundles.second_stage import ModelPart, is_part, write_ranker
from recsys_vae.errors import DataError
from recsys_vae.models.repeat import RepeatHead
from recsys_vae.outputs import check_output
from recsys_vae.protocols import FactorizedRecommender, Float32Array
from recsys_vae.retrieval.index_files import KINDS, check_index, file_of, write_index
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


def with_index(
    source: Path, directory: Path, kind: str, *, queries: Float32Array | None = None, min_recall: float = 0.99
) -> Manifest:
    """Write the bundle `source` with another index to `directory`, which may be its own place.

    Args:
        kind: one of `index_files.KINDS`.
        queries: shape (n, d), as they will be asked; approximate kinds are measured with them.
        min_recall: what an approximate index must reach.

    Raises:
        ConfigError: something else than a bundle stands there.
        DataError: the model has no item vectors.
        RetrievalError: the index misses `min_recall`.
        BundleError: `source` is no bundle in order.
    """
    check_index(kind, min_recall)
    bundle = Bundle.load(source)
    if not isinstance(bundle.model, FactorizedRecommender):
        raise DataError(f"Model {bundle.manifest.model} has no item vectors, so its bundle has no index.")
    vectors = bundle.model.item_vectors()

    def write(folder: Path) -> Manifest:
        report = write_index(folder, vectors, kind, queries=queries, min_recall=min_recall)
        return replace(bundle.manifest, index=asdict(report))

    files = {file_of(known) for known in KINDS}
    return new_version(source, directory, bundle.manifest, files.__contains__, write)


def _read(source: Path) -> Manifest:
    manifest = read_manifest(source)
    verify_files(source, manifest)
    return manifest


def new_version(
    source: Path,
    directory: Path,
    told: Manifest,
    is_replaced: Callable[[str], bool],
    write: Callable[[Path], Manifest | None],
) -> Manifest:
    """Write a bundle once more with some files changed; nothing else of it is lost, whatever it has.

    Args:
        source: the bundle, which is in order.
        directory: place of the new one, which may be its own.
        told: its manifest, with what there is to say otherwise.
        is_replaced: whether a file is not taken over.
        write: writes new files into a folder; returns what the manifest is to say where that depends on them.

    Raises:
        ConfigError: something else than a bundle stands there.
    """
    directory = check_output(directory, WRITTEN)
    remove_partials(directory)
    with atomic_directory(directory, WRITTEN) as temporary:
        for name in told.files:
            if not is_replaced(name):
                shutil.copyfile(source / name, temporary / name)
        manifest = renewed(write(temporary) or told, temporary)
        write_manifest(temporary, manifest)
    return manifest
